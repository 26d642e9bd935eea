"""What every act on a change of a key needs: the locks, in their order, and who hears of it (R3)."""

from datetime import datetime

from approvals.models import KeyChange, Request
from approvals.path.services.locking import lock_request
from core.ids import refs
from notifications.services import enqueue


def lock_change(request: Request) -> KeyChange:
    """The change of a request that is locked already, locked too."""
    return (
        KeyChange.objects.select_for_update(of=("self",))
        .select_related("key__recipient", "key__owner", "request__requester", "request__partner")
        .get(request=request)
    )


def lock_change_of(request: Request) -> KeyChange:
    """Lock a request and then its change."""
    return lock_change(lock_request(request.pk))


def objects_of(change: KeyChange) -> list[str]:
    """What an event about a change is about."""
    return refs(change.request, change.key)


def tell_of(change: KeyChange, what: str, now: datetime) -> None:
    """A mail to the requester and the owner; the recipient hears of what happens to the key, not of plans."""
    people = [change.request.requester.public_id, change.key.owner.public_id]
    if what != "failed":
        people.append(change.key.recipient.public_id)
    for ref in dict.fromkeys(people):
        enqueue(
            "change_news",
            recipient_ref=ref,
            context={"request": change.request.public_id, "what": what},
            dedupe_key=f"change_{what}:{change.request.public_id}:{ref}",
            objects=objects_of(change),
            now=now,
        )
