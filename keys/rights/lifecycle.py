"""Which status a key may go to from which: the one table (ARCHITECTURE, "legal state changes")."""

from datetime import datetime

from django.utils.translation import gettext_lazy as _

from core.errors import Conflict
from keys.models import Key

S = Key.Status

TRANSITIONS: dict[Key.Status, frozenset[Key.Status]] = {
    S.PENDING: frozenset({S.ACTIVE, S.SUSPENDED, S.REVOKED, S.EXPIRED}),
    # Back to pending: the recipient never saw the secret, and it was never used.
    S.ACTIVE: frozenset({S.PENDING, S.RETIRING, S.SUSPENDED, S.REVOKED, S.EXPIRED}),
    # Active again: its retirement was called off.
    S.RETIRING: frozenset({S.ACTIVE, S.SUSPENDED, S.REVOKED, S.EXPIRED}),
    S.SUSPENDED: frozenset({S.PENDING, S.ACTIVE, S.RETIRING, S.REVOKED, S.EXPIRED}),
    S.REVOKED: frozenset(),
    S.EXPIRED: frozenset(),
}
ENDED = frozenset({S.REVOKED, S.EXPIRED})
RUNNING = frozenset(set(S) - ENDED)


def can(key: Key, target: Key.Status) -> bool:
    """Whether the key may go to this status now."""
    return target in TRANSITIONS[Key.Status(key.status)]


def running_status(key: Key, now: datetime) -> Key.Status:
    """What a key is while nothing stops it: not collected yet, retiring once notice is given, or active."""
    if key.activated_at is None:
        return S.PENDING
    noticed = key.retiring_from is not None and key.retiring_from <= now
    return S.RETIRING if noticed else S.ACTIVE


def require(key: Key, target: Key.Status) -> None:
    """Raise Conflict when the key, as locked, may not go there; a second click finds it there already."""
    if not can(key, target):
        raise Conflict(
            _("Key %(number)s is “%(status)s” now, so this is no longer possible.")
            % {"number": key.public_id, "status": key.get_status_display()}
        )
