"""What holds a key once something that it stood on has come to an end (A7, A9)."""

from datetime import datetime

from approvals.path.selectors.holds import is_consent_withdrawn, is_in_doubt
from core.actors import Actor
from keys.models import Key
from keys.status.services import hold_key, release_key


def settle_holds(*, actor: Actor, key: Key, now: datetime) -> None:
    """Release the key where nothing is in doubt any more; hold it where a withdrawn consent counts again.

    The key is locked first: of two doubts about it that are cleared at once, the second finds both cleared.
    """
    key = Key.objects.select_for_update(of=("self",)).get(pk=key.pk)
    if key.has_ended:
        return
    if not is_in_doubt(key):
        release_key(actor=actor, key=key, hold=Key.Hold.DOUBT, now=now)
    if is_consent_withdrawn(key):
        hold_key(actor=actor, key=key, hold=Key.Hold.CONSENT, now=now)
