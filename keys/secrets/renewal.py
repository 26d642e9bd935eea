"""Renewing how a secret is kept (K2)."""

from keys.models import Secret
from keys.secrets import hashing


def renew_secret(*, secret: Secret, text: str) -> bool:
    """Keep a secret under the current pepper and Argon2 parameters, now that its text is at hand.

    The secret itself stays the same, so there is no event and no new revision. Somebody else who renews it at
    the same time wins: then False. Changes the instance as well.
    """
    version = hashing.current_version()
    digest = hashing.digest(text, version)
    stored = hashing.hash_digest(digest)
    changed = Secret.objects.filter(pk=secret.pk, argon2_hash=secret.argon2_hash).update(
        digest=digest, pepper_version=version, argon2_hash=stored
    )
    secret.digest, secret.pepper_version, secret.argon2_hash = digest, version, stored
    return changed == 1
