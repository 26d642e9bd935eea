"""A request's lock, which every act on it takes first, and its version, which every act raises (A10)."""

from datetime import datetime

from django.utils.translation import gettext_lazy as _

from accounts.models import User
from approvals.access import require_requester
from approvals.models import Request
from approvals.wording import FROZEN
from core.errors import Conflict


def lock_request(pk: int) -> Request:
    """The request as it is now, locked, with its partner and requester.

    Not with its key: what is joined would be as it was before we waited for the lock.
    """
    return Request.objects.select_for_update(of=("self",)).select_related("partner", "requester").get(pk=pk)


def lock_free_request(pk: int) -> Request | None:
    """`lock_request` for a sweep: None where somebody acts on it just now, or it is frozen.

    The sweep leaves it to its next look.
    """
    requests = Request.objects.select_for_update(of=("self",), skip_locked=True)
    return requests.select_related("partner", "requester").filter(pk=pk, frozen_at=None).first()


def lock_for_requester(request: Request, *, by: User, version: int, states: list[Request.State]) -> Request:
    """`lock_request` for an act of its requester, on the page with this version.

    Raises NotAllowed for anybody else, Conflict in another state, while it is frozen, and when it was
    changed since the page was opened.
    """
    locked = lock_request(request.pk)
    require_requester(by, locked)
    if locked.state not in states:
        raise Conflict(
            _("The request is “%(state)s” now, so this is no longer possible.")
            % {"state": locked.get_state_display()}
        )
    if locked.frozen_at is not None:
        raise Conflict(FROZEN)
    if locked.version != version:
        raise Conflict(_("The request was changed meanwhile, perhaps in another window. Look at it again."))
    return locked


def save_request(request: Request, *fields: str, now: datetime) -> None:
    """Save these fields of a locked request, as a new version of it."""
    request.version += 1
    request.changed_at = now
    request.save(update_fields=["version", "changed_at", *fields])
