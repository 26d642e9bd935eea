"""What a request on its way would be asked for beside the steps that it has (A1)."""

from approvals.models import Request, Step
from approvals.policies.rules import PlannedStep
from approvals.policies.selectors.in_force import facts_from, path_for
from keys.models import Plan, Scope
from keys.terms.terms import KeyTerms


def owed_steps(step: Step) -> list[PlannedStep]:
    """What a step's revision would be asked for today beyond the steps that it has, by its own policy.

    Usually nothing. The COO's threshold may have been lowered while it was on its way, or one of its scopes
    may administer now: its last approval must not pass that over (A1). In five queries at most.
    """
    request, terms = step.request, KeyTerms.from_json(step.revision.terms)
    assert request.policy is not None  # it was submitted
    facts = facts_from(
        terms,
        Plan.objects.filter(code=terms.plan).first(),
        {scope.code: scope for scope in Scope.objects.filter(code__in=terms.scopes)},
        change=request.change.direction if request.kind == Request.Kind.CHANGE else "none",
    )
    have = set(step.revision.steps.values_list("role", flat=True))
    return [planned for planned in path_for(request.policy, facts) if planned.role not in have]
