"""What happens to keys in tests, by the services that do it in the product."""

from datetime import datetime

from django.utils import timezone

from accounts.models import User
from core.actors import SYSTEM, staff_actor
from core.links import token_of
from keys.delivery.services.delivery import PURPOSE, reveal_secret
from keys.models import Delivery, Key, Secret
from keys.status.services import revoke_key, suspend_key


def link_of(key: Key) -> str:
    """The token of the key's newest link, as its mail would carry it."""
    delivery = Delivery.objects.filter(key=key).order_by("-id")[0]
    return token_of(bytes(delivery.nonce), purpose=PURPOSE)


def reveal(key: Key, *, now: datetime | None = None) -> tuple[Secret, str]:
    """Collect the key as its recipient would: the secret and its text."""
    shown = reveal_secret(actor=SYSTEM("tests"), token=link_of(key), now=now or timezone.now())
    assert shown.delivery.secret is not None
    key.refresh_from_db()
    return shown.delivery.secret, shown.text


def suspend(key: Key, by: User, *, now: datetime | None = None) -> None:
    """Stop the key for a while."""
    suspend_key(actor=staff_actor(by), by=by, key=key, reason="An audit asked.", now=now or timezone.now())
    key.refresh_from_db()


def revoke(key: Key, by: User, *, now: datetime | None = None) -> None:
    """End the key."""
    revoke_key(
        actor=staff_actor(by),
        by=by,
        key=key,
        reason=Key.RevokeReason.LEAKED,
        note="",
        typed_number=key.public_id,
        now=now or timezone.now(),
    )
    key.refresh_from_db()
