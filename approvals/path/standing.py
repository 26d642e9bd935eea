"""In whose place somebody may decide a step: pure rules over delegations and deputies (A4, A5).

A deputy decides in the giver's name, so both have to be free to decide: neither is the requester, neither has
a part in another decision on the request. Who has the role needs no delegation and decides in their own name.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from approvals.models import StepRole
from approvals.policies.rules import STAFF_ROLES, Person, why_not


@dataclass(frozen=True, slots=True)
class StandIn:
    """That `deputy` may decide in `giver`'s place what `role` decides; without a giver: by escalation.

    `behind` is whose standing deputy it is: they could decide themselves, or their deputy can't either.
    """

    deputy: str
    role: str
    giver: str = ""
    behind: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """What the rules need to know of a step. `decided`: who took part in another decision on the request.

    `stand_ins` are the delegations in force and, once the step is escalated, the standing deputies of those
    whom it asks, later the deputies of its roles.
    `named` are the only people whom the policy asks: whoever stands in for them may decide, and so may the
    role's deputies.
    """

    role: str
    requester: str
    decided: Collection[str]
    stand_ins: Sequence[StandIn] = ()
    named: Collection[str] = ()

    def why_not(self, person: Person) -> str:
        """Why not in the person's own name; see approvals.policies.rules."""
        return why_not(
            person, role=self.role, requester=self.requester, decided=self.decided, named=self.named
        )

    @property
    def roles(self) -> Collection[str]:
        """The roles that decide the step; none where an outsider does."""
        return STAFF_ROLES.get(StepRole(self.role), frozenset())


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a person may decide: `refusal` is a code of approvals.wording.WHY_NOT, or empty.

    `stand_in` says in whose place; None: in their own name.
    """

    refusal: str = ""
    stand_in: StandIn | None = None


def standing_of(person: Person, question: Question, people: Mapping[str, Person]) -> Standing:
    """How this person stands to the step. `people` are all who might be a giver, by ref."""
    refusal = question.why_not(person)
    mine = [s for s in question.stand_ins if s.deputy == person.ref and s.role in question.roles]
    if not refusal or not mine or not person.is_active:
        return Standing(refusal)
    if person.ref == question.requester:
        return Standing("own_request")
    if person.ref in question.decided:
        return Standing("decided_another_step")
    for stand_in in mine:
        whose = stand_in.giver or stand_in.behind
        giver = people.get(whose)
        if not whose or (giver is not None and not question.why_not(giver)):
            return Standing(stand_in=stand_in)
    return Standing("giver_may_not")


def able_of(question: Question, people: Mapping[str, Person]) -> dict[str, Standing]:
    """All who may decide the step now, by ref, in the order of `people`."""
    found = {ref: standing_of(person, question, people) for ref, person in people.items()}
    return {ref: standing for ref, standing in found.items() if not standing.refusal}


def asked_of(able: Mapping[str, Standing], question: Question) -> list[str]:
    """Whom to send a mail: whoever is away is not asked where an able deputy, who is not away too, is.

    A deputy who is away gets no mail for others; the giver is asked instead: no step waits for nobody.
    """
    away = {s.giver for s in question.stand_ins if s.giver}
    represented = {
        s.giver
        for s in question.stand_ins
        if s.giver and s.role in question.roles and s.deputy in able and s.deputy not in away
    }
    asked = [ref for ref in able if ref not in represented and not (able[ref].stand_in and ref in away)]
    return asked or list(able)


def n_answers(able: Iterable[Standing]) -> int:
    """How many answers these people can give: a giver and their deputy count once (A4)."""
    return sum(standing.stand_in is None or not standing.stand_in.giver for standing in able)
