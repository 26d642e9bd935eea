"""A request's revisions: what differs between them, and why somebody is asked again (R5, A6)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.functional import Promise

from approvals.changes.differences import TermChange, diff_terms
from approvals.changes.terms import labels_of
from approvals.models import Decision, Doubt, Request, Revision, Step, StepRole
from approvals.requests.rules import concerning, moved_fields
from keys.terms.terms import KeyTerms


@dataclass(frozen=True, slots=True)
class Before:
    """An answer of an earlier revision that counts no more, and what moved under it.

    `moved` is empty where the step was asked again for another reason: its own wish for changes, an address
    that was changed, or that somebody has to look at every revision.
    """

    decision: Decision
    revision: int
    moved: Sequence[str | Promise]


def before_of(request: Request, given: Sequence[Decision]) -> dict[str, list[Before]]:
    """The fallen ones of these decisions of a request, by role, oldest first; one query if there are any.

    They come with their step's revision.
    """
    fallen = [decision for decision in given if decision.fallen_at is not None]
    if not fallen:
        return {}
    revisions = {revision.number: revision for revision in request.revisions.all()}
    found: dict[str, list[Before]] = defaultdict(list)
    for decision in fallen:
        assert decision.fell_with is not None  # approvals_decision_fell_with_a_revision
        new = revisions[decision.fell_with.number]
        moved = _moved_under(decision.step.role, revisions[new.number - 1], new)
        found[decision.step.role].append(Before(decision, decision.step.revision.number, moved))
    return dict(found)


def _moved_under(role: str, old: Revision, new: Revision) -> list[str | Promise]:
    fields = concerning(role, moved_fields(old.terms, new.terms))
    return labels_of(fields, _terms(old), _terms(new)) if fields else []


def _terms(revision: Revision) -> KeyTerms:
    return KeyTerms.from_json(revision.terms)


@dataclass(frozen=True, slots=True)
class MarkedChange:
    """A difference, and whether the reader's role answers for it."""

    change: TermChange
    is_yours: bool


@dataclass(frozen=True, slots=True)
class SinceThen:
    """For who is asked about a changed request: the last answer of theirs or their role, and what moved."""

    last: Decision
    revision: Revision
    changes: Sequence[MarkedChange]

    @property
    def is_void(self) -> bool:
        """Whether security found that the answer was not its person's (A7)."""
        doubt: Doubt | None = getattr(self.last, "doubt", None)
        return doubt is not None and doubt.verdict == Doubt.Verdict.AGAIN


def since_last_answer(step: Step, reader_pk: int | None) -> SinceThen | None:
    """What differs from what the reader, else somebody of the step's role, last answered on; None at first.

    `reader_pk` is a member of staff; None for the step's own contact.
    """
    earlier = (
        step.request.decisions.filter(step__role=step.role, step__revision__number__lt=step.revision.number)
        .select_related("staff", "contact", "step__revision", "doubt")
        .order_by("-id")
    )
    found = list(earlier)
    last = next((decision for decision in found if decision.staff_id == reader_pk), None) or next(
        iter(found), None
    )
    if last is None:
        return None
    old = last.step.revision
    changes = [
        MarkedChange(change, bool(concerning(step.role, change.fields)))
        for change in diff_terms(_terms(old), _terms(step.revision))
    ]
    return SinceThen(last, old, sorted(changes, key=lambda marked: not marked.is_yours))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two revisions side by side; `dropped` and `added` are the steps that only one of them needs."""

    old: Revision
    new: Revision
    changes: Sequence[TermChange]
    added: Sequence[str]
    dropped: Sequence[str]


def compare(revisions: Sequence[Revision], old: str, new: str) -> Comparison | None:
    """Two revisions by their numbers as text; the last two where they name none. None with fewer than two."""
    if len(revisions) < 2:
        return None
    numbers = {str(revision.number): revision for revision in revisions}
    after = numbers.get(new, revisions[-1])
    before = numbers.get(old) or revisions[-2]
    if before.number == after.number:
        before, after = revisions[-2], revisions[-1]
    elif before.number > after.number:
        before, after = after, before
    roles = [set(one.steps.values_list("role", flat=True)) for one in (before, after)]
    return Comparison(
        old=before,
        new=after,
        changes=diff_terms(_terms(before), _terms(after)),
        added=_role_names(roles[1] - roles[0]),
        dropped=_role_names(roles[0] - roles[1]),
    )


def _role_names(roles: set[str]) -> list[str]:
    return [str(role.label) for role in StepRole if role in roles]


def asked_for(request: Request) -> Decision | None:
    """The answer that sent the request back to its requester, if that is where it is."""
    if request.state != Request.State.CHANGES_WANTED:
        return None
    return (
        request.decisions.filter(outcome=Decision.Outcome.CHANGES, fallen_at=None)
        .select_related("staff", "contact", "step")
        .last()
    )
