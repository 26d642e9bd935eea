"""Who may see and act on requests and their steps."""

from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.roles import Permission
from approvals.bench import Bench, barring, refs_in
from approvals.models import Request, Step
from approvals.standing import StandIn
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


def why_may_not_decide(user: User, step: Step) -> str:
    """A code of approvals.wording.WHY_NOT, or `""` when the person may decide the step now or in its turn."""
    return Bench.read().standing(user, step, decided_refs(step)).refusal


def require_may_decide(user: User, step: Step) -> StandIn | None:
    """In whose place the person decides this step, None in their own name (A1, A4, A5).

    NotAllowed, with the reason in words, unless they may.
    """
    standing = Bench.read().standing(user, step, decided_refs(step))
    if standing.refusal:
        raise NotAllowed(WHY_NOT[standing.refusal])
    return standing.stand_in


def decided_refs(step: Step) -> set[str]:
    """Who took part in a decision on the step's request, and so may not in this one (A4, A6)."""
    decisions = step.request.decisions.exclude(staff=None).select_related("staff", "on_behalf_of", "step")
    return refs_in(barring(step, decisions))


def require_requester(user: User, request: Request) -> None:
    """NotAllowed unless it is the person's own request."""
    if request.requester_id != user.pk:
        raise NotAllowed(_("Only the requester may do this."))
