"""What a draft of the policy would have done to the requests of the past (A2)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.utils.translation import gettext, ngettext

from approvals.models import PolicyVersion, Request, Revision, StepRole
from approvals.policies.rules import Facts, PlannedStep, plan_path
from approvals.policies.selectors.in_force import facts_from
from keys.models import Plan, Scope
from keys.terms.terms import KeyTerms

MOST_REQUESTS = 100


@dataclass(frozen=True, slots=True)
class Mark:
    """One role of a path: `same`, `added`, `removed`, or `other` (asked, but otherwise)."""

    label: str
    kind: str


@dataclass(frozen=True, slots=True)
class DryRow:
    """One request: its path by its own version, and by the draft."""

    request: Request
    policy: PolicyVersion
    then: list[Mark]
    now: list[Mark]

    @property
    def differs(self) -> bool:
        """Whether the draft would have asked somebody more, or somebody less."""
        return any(mark.kind in {"added", "removed"} for mark in (*self.then, *self.now))

    @property
    def is_otherwise(self) -> bool:
        """Whether it would have asked the same roles, but other people, more of them or for more."""
        return not self.differs and any(mark.kind == "other" for mark in self.now)


@dataclass(frozen=True, slots=True)
class DryRun:
    """The table, those that differ first, and what it comes to in sentences."""

    rows: list[DryRow]
    n_differing: int
    sentences: list[str]


def dry_run(policy: PolicyVersion) -> DryRun:
    """The last 100 submitted requests under this version's rules, in five queries."""
    found = list(
        Request.objects.filter(policy__isnull=False, submitted_at__isnull=False)
        .select_related("partner", "policy", "change")
        .order_by("-submitted_at", "-id")[:MOST_REQUESTS]
    )
    revisions = _newest_revisions(found)
    plans = {plan.code: plan for plan in Plan.objects.all()}
    scopes = {scope.code: scope for scope in Scope.objects.all()}
    rows = []
    for request in found:
        if request.pk not in revisions or request.policy is None:
            continue
        terms = KeyTerms.from_json(revisions[request.pk].terms)
        facts = _facts(request, facts_from(terms, plans.get(terms.plan), scopes))
        then, now = plan_path(request.policy.rules, facts), plan_path(policy.rules, facts)
        rows.append(DryRow(request, request.policy, *_marks(then, now)))
    differing = sum(row.differs for row in rows)
    rows.sort(key=lambda row: (not row.differs, not row.is_otherwise))
    return DryRun(rows, differing, _sentences(rows))


def _facts(request: Request, facts: Facts) -> Facts:
    """With the direction, where a change of a key was asked for (R3)."""
    change = getattr(request, "change", None)
    return facts if change is None else replace(facts, change=change.direction or "loosens")


def _newest_revisions(requests: Sequence[Request]) -> dict[int, Revision]:
    newest = Revision.objects.filter(request__in=requests).order_by("request_id", "number")
    return {revision.request_id: revision for revision in newest}


def _marks(then: Sequence[PlannedStep], now: Sequence[PlannedStep]) -> tuple[list[Mark], list[Mark]]:
    old, new = {step.role: step for step in then}, {step.role: step for step in now}
    before = [Mark(_label(step), "same" if step.role in new else "removed") for step in then]
    after = []
    for step in now:
        kind = "added"
        if step.role in old:
            kind = "same" if _demands(step) == _demands(old[step.role]) else "other"
        after.append(Mark(_label(step), kind))
    return before, after


def _demands(step: PlannedStep) -> PlannedStep:
    """What is asked of people, without the reasons."""
    return replace(step, why="", conditions=[])


def _label(step: PlannedStep) -> str:
    return str(StepRole(step.role).label)


def _sentences(rows: Sequence[DryRow]) -> list[str]:
    """`12 would also be asked of the COO.`, `3 would no longer be asked of legal.`, …"""
    added = Counter(mark.label for row in rows for mark in row.now if mark.kind == "added")
    removed = Counter(mark.label for row in rows for mark in row.then if mark.kind == "removed")
    other = sum(any(mark.kind == "other" for mark in row.now) for row in rows)
    found = []
    for label, n in added.most_common():
        text = ngettext("%(n)d would also be asked of %(role)s.", "%(n)d would also be asked of %(role)s.", n)
        found.append(text % {"n": n, "role": label})
    for label, n in removed.most_common():
        text = ngettext(
            "%(n)d would no longer be asked of %(role)s.", "%(n)d would no longer be asked of %(role)s.", n
        )
        found.append(text % {"n": n, "role": label})
    if other:
        text = ngettext(
            "In %(n)d a step would ask other people, another number, another proof or another time.",
            "In %(n)d a step would ask other people, another number, another proof or another time.",
            other,
        )
        found.append(text % {"n": other})
    return found or [gettext("Nothing would have been different.")]
