"""The path of a request: its steps with people, clocks and answers, drawn alike wherever it is shown."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Prefetch

from accounts.models import User
from approvals.access import person_of
from approvals.models import Decision, Request, Step, StepRole
from approvals.policy import STAFF_ROLES, deciders, why_not
from approvals.selectors.preview import staff_who_decide


@dataclass(frozen=True, slots=True)
class StepLine:
    """A step as it is drawn: who is asked, who answered what, and why the reader may not decide it."""

    step: Step
    people: list[str]
    decisions: list[Decision]
    may_decide: bool
    why_not: str

    @property
    def look(self) -> str:
        """The state of `core.badges` that is worst about the step."""
        if self.step.state == Step.State.OPEN and self.step.undeliverable_at:
            return "undeliverable"
        return self.step.state

    @property
    def is_stuck(self) -> bool:
        """Whether nobody may decide the open step (A2)."""
        return bool(
            self.step.state == Step.State.OPEN
            and self.step.role != StepRole.RIGHTS_HOLDER
            and len(self.people) + len(self.decisions) < self.step.n_needed
        )

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
    """The steps of the latest revision with their people and decisions, in four queries."""
    steps = list(
        request.steps.filter(revision=request.revisions.order_by("-number")[:1])
        .select_related("contact", "revision")
        .prefetch_related(Prefetch("decisions", queryset=Decision.objects.select_related("staff", "contact")))
    )
    staff = staff_who_decide() if request.state == Request.State.IN_REVIEW else {}
    decided = {
        decision.staff.public_id for step in steps for decision in step.decisions.all() if decision.staff
    }
    return [_line(step, request, user, staff, decided) for step in steps]


def _line(
    step: Step, request: Request, user: User, staff: Mapping[str, User], decided: Collection[str]
) -> StepLine:
    people: list[str] = []
    is_to_come = step.state in {Step.State.OPEN, Step.State.WAITING}
    if is_to_come and step.contact:
        people = [step.contact.name]
    elif is_to_come:
        people = [person.name for person in able_to_decide(step, request, staff, decided)]
    refusal = ""
    if step.state == Step.State.OPEN:
        refusal = why_not(
            person_of(user),
            role=step.role,
            requester=request.requester.public_id,
            decided=decided,
            named=step.people,
        )
    return StepLine(
        step=step,
        people=people,
        decisions=list(step.decisions.all()),
        may_decide=step.state == Step.State.OPEN and not refusal,
        why_not=refusal,
    )


def able_to_decide(
    step: Step, request: Request, staff: Mapping[str, User], decided: Collection[str]
) -> list[User]:
    """Those of `staff` who may decide the step in its turn, four eyes considered (A4)."""
    if StepRole(step.role) not in STAFF_ROLES:
        return []
    people = [person_of(user) for user in staff.values()]
    able = deciders(
        people,
        role=step.role,
        requester=request.requester.public_id,
        decided=decided,
        named=step.people,
    )
    return [staff[person.ref] for person in able]
