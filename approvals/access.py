"""Who may see and act on requests and their steps."""

from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.roles import Permission
from approvals.models import Request, Step
from approvals.policy import Person, why_not
from approvals.wording import WHY_NOT
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


def person_of(user: User) -> Person:
    """What approvals.policy knows of a member of staff."""
    return Person(ref=user.public_id, roles=user.roles, is_active=user.is_active)


def why_may_not_decide(user: User, step: Step) -> str:
    """A code of approvals.wording.WHY_NOT, or `""` when the person may decide the step now or in its turn."""
    decided = step.request.decisions.exclude(staff=None).values_list("staff__public_id", flat=True)
    return why_not(
        person_of(user),
        role=step.role,
        requester=step.request.requester.public_id,
        decided=set(decided),
        named=step.people,
    )


def require_may_decide(user: User, step: Step) -> None:
    """NotAllowed, with the reason in words, unless the person may decide this step (A1, A4)."""
    code = why_may_not_decide(user, step)
    if code:
        raise NotAllowed(WHY_NOT[code])


def require_requester(user: User, request: Request) -> None:
    """NotAllowed unless it is the person's own request."""
    if request.requester_id != user.pk:
        raise NotAllowed(_("Only the requester may do this."))
