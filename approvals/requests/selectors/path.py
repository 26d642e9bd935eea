"""The path of a request: its steps with people, clocks and answers, drawn alike wherever it is shown."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from django.db.models import Prefetch

from accounts.models import User
from approvals.models import Decision, Doubt, Request, Standing, Step, StepRole
from approvals.path.bench import Bench, barring, refs_in
from approvals.path.standing import n_answers
from approvals.requests.selectors.revisions import Before, before_of

PEOPLE = ("staff", "contact", "on_behalf_of", "doubt__looked_by")
WHO_STANDS = ("decision__step__revision", *(f"decision__{name}" for name in PEOPLE))

VOID = {Doubt.Verdict.AGAIN, Doubt.Verdict.REJECTED}


@dataclass(frozen=True, slots=True)
class StepLine:
    """A step as it is drawn: who is asked, who answered what, and why the reader may not decide it.

    `people` are those who get the mails: whoever is away and has a deputy may decide all the same (A5).
    """

    step: Step
    people: list[str]
    decisions: list[Decision]
    n_able: int
    may_decide: bool
    why_not: str
    stands: Sequence[Standing] = ()
    before: Sequence[Before] = ()

    @property
    def look(self) -> str:
        """The state of `core.badges` that is worst about the step: an answer that is void is no approval."""
        verdicts = {doubt.verdict for doubt in self.doubts}
        if verdicts & VOID:
            return "void"
        if "" in verdicts:
            return "doubted"
        if self.step.state == Step.State.OPEN and self.step.undeliverable_at:
            return "undeliverable"
        return self.step.state

    @property
    def doubts(self) -> list[Doubt]:
        """The reports that an answer which counts here was not its person's (A7)."""
        counting = [*self.decisions, *(standing.decision for standing in self.stands)]
        return [decision.doubt for decision in counting if hasattr(decision, "doubt")]

    @property
    def is_stuck(self) -> bool:
        """Whether nobody may decide the open step (A2)."""
        return bool(
            self.step.state == Step.State.OPEN
            and self.step.role != StepRole.RIGHTS_HOLDER
            and self.n_able + self.n_given < self.step.n_needed
        )

    @property
    def n_given(self) -> int:
        """How many answers count on it so far."""
        return len(self.decisions) + len(self.stands)

    @property
    def took(self) -> timedelta | None:
        """From asking to the last answer; None for a step that nobody decided, or not yet."""
        if not self.decisions or self.step.opened_at is None or self.step.ended_at is None:
            return None
        return self.step.ended_at - self.step.opened_at

    @property
    def was_late(self) -> bool:
        """Whether it was answered after its due date."""
        return bool(self.step.due_at and self.step.ended_at and self.step.ended_at > self.step.due_at)


def path_of(request: Request, user: User) -> list[StepLine]:
    """The steps of the latest revision with their people and decisions, in nine queries."""
    answers = Decision.objects.select_related(*PEOPLE)
    steps = list(
        request.steps.filter(revision=request.revisions.order_by("-number")[:1])
        .select_related("contact", "revision", "request")
        .prefetch_related(
            Prefetch("decisions", queryset=answers),
            Prefetch("standings", queryset=Standing.objects.select_related(*WHO_STANDS)),
        )
    )
    bench = Bench.read() if request.state == Request.State.IN_REVIEW else Bench({}, [], [])
    given = list(request.decisions.select_related(*PEOPLE, "step__revision", "fell_with"))
    before = before_of(request, given)
    return [
        replace(
            _line(step, user, bench, refs_in(barring(step, given))),
            stands=list(step.standings.all()),
            before=before.get(step.role, ()),
        )
        for step in steps
    ]


def _line(step: Step, user: User, bench: Bench, decided: set[str]) -> StepLine:
    is_to_come = step.state in {Step.State.OPEN, Step.State.WAITING}
    able = bench.able(step, decided) if is_to_come else []
    asked = bench.asked(step, decided) if is_to_come else []
    refusal = ""
    if step.state == Step.State.OPEN:
        refusal = bench.standing(user, step, decided).refusal
    return StepLine(
        step=step,
        people=[step.contact.name] if is_to_come and step.contact else [person.label for person in asked],
        decisions=list(step.decisions.all()),
        n_able=n_answers(person.standing for person in able),
        may_decide=step.state == Step.State.OPEN and not refusal and step.request.frozen_at is None,
        why_not=refusal,
    )
