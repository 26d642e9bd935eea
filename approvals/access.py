"""Who may see and act on requests and their steps."""

from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.roles import Permission
from approvals.models import Request
from core.errors import NotAllowed, NotFound


def visible_requests(user: User) -> QuerySet[Request]:
    """All requests for those who may see them; else one's own. Drafts are their author's alone."""
    if not user.is_active:
        return Request.objects.none()
    mine = Q(requester=user)
    if user.may(Permission.SEE_REQUESTS):
        return Request.objects.filter(mine | ~Q(state=Request.State.DRAFT))
    return Request.objects.filter(mine)


def find_request(user: User, number: str) -> Request:
    """The request with this number, if the person may see it. NotFound otherwise."""
    request = (
        visible_requests(user)
        .select_related("requester", "partner", "policy", "key")
        .filter(public_id=number)
        .first()
    )
    if request is None:
        raise NotFound(_("There is no such request."))
    return request


def require_requester(user: User, request: Request) -> None:
    """NotAllowed unless it is the person's own request."""
    if request.requester_id != user.pk:
        raise NotAllowed(_("Only the requester may do this."))


def require_may_request(by: User) -> None:
    """NotAllowed unless one of the person's roles makes requests."""
    if not by.may(Permission.MAKE_REQUESTS):
        raise NotAllowed(_("Your roles do not allow making requests."))
