"""Makes the demo's credentials file fit its database, where another database's file stands in its place."""

from datetime import datetime

from accounts.models import User
from demo import credentials
from demo.credentials import Credentials
from demo.people import actor_for
from keys.models import Secret
from keys.secrets import form, hashing
from verifier.models import Gateway, GatewayCredential
from verifier.portal.services import rotate_credential

ISSUER = "naoto.takahashi@example.jp"


def mend_credentials(*, now: datetime) -> str:
    """Issue the demo's gateway a credential where the file's is unknown, and forget keys of another database.

    Returns one sentence for a person; an empty one where everything fits.
    """
    known = credentials.read()
    if _is_good(known.gateway):
        return ""
    gateway = Gateway.objects.filter(is_active=True, mode=Gateway.Mode.STANDARD).order_by("id").first()
    by = User.objects.filter(email=ISSUER, is_active=True).first()
    if gateway is None or by is None:
        return f"{credentials.path().name} does not fit this database; --fresh loads the demo anew."
    keys = [key for key in known.keys if _is_here(key.secret)]
    issued = rotate_credential(actor=actor_for(by), by=by, gateway=gateway, now=now)
    credentials.write(Credentials(gateway=issued.text, keys=keys))
    said = f"{credentials.path().name} did not fit this database: it has a new credential for the gateway now"
    if keys:
        return f"{said}."
    return f"{said}, but no keys, so there is no traffic; --fresh loads the demo anew."


def _is_good(text: str) -> bool:
    found = [digest for _version, digest in hashing.digests(text)]
    live = GatewayCredential.objects.filter(digest__in=found, revoked_at=None, expires_at=None)
    return live.filter(gateway__is_active=True).exists()


def _is_here(text: str) -> bool:
    parts = form.parse(text)
    return parts is not None and Secret.objects.filter(public_id=parts.key_id).exists()
