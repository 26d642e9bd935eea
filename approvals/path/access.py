"""Who may decide a step, and in whose place (A1, A4, A5)."""

from accounts.models import User
from approvals.models import Step
from approvals.path.bench import Bench, barring, refs_in
from approvals.path.standing import StandIn
from approvals.wording import WHY_NOT
from core.errors import NotAllowed


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
