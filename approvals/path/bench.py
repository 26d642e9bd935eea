"""The staff who decide, and who stands in for whom, read once and asked for many steps (A2, A4, A5)."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.utils.translation import gettext

from accounts.models import User
from accounts.roles import MATRIX, Permission
from approvals.models import Decision, DelegableRole, Delegation, RoleDeputy, StandingDeputy, Step
from approvals.path.deputy_rules import why_no_deputy
from approvals.path.standing import Question, StandIn, Standing, able_of, asked_of, standing_of
from approvals.policies.rules import Person, bars
from approvals.policies.selectors.in_force import person_of

DECIDING_ROLES = sorted(role.value for role, allowed in MATRIX.items() if Permission.DECIDE in allowed)

# For `prefetch_related` on steps: all that `barring` and `refs_in` look at.
PEOPLE_OF_DECISIONS = (
    "request__decisions__staff",
    "request__decisions__on_behalf_of",
    "request__decisions__step",
)


def roles_in_common(deputy: User, giver: User) -> list[str]:
    """The giver's roles that their standing deputy may stand in for (A5).

    A second factor is asked for where the role demands one: by the answer, not here.
    """
    return [
        role.value
        for role in DelegableRole
        if giver.has_role(role) and not why_no_deputy(deputy, role, has_second_factor=True)
    ]


def barring(step: Step, decisions: Iterable[Decision]) -> list[Decision]:
    """Those of a request's decisions that keep their makers from deciding this step (A4, A6)."""
    return [
        decision
        for decision in decisions
        if bars(decided_role=decision.step.role, has_fallen=decision.fallen_at is not None, role=step.role)
    ]


def refs_in(decisions: Iterable[Decision]) -> set[str]:
    """Who took part in these decisions: who answered, and those in whose name (A4)."""
    people = {
        person for decision in decisions for person in (decision.staff, decision.on_behalf_of) if person
    }
    return {person.public_id for person in people}


@dataclass(frozen=True, slots=True)
class Able:
    """Somebody who may decide a step, and in whose place."""

    user: User
    standing: Standing
    giver: User | None
    behind: User | None = None

    @property
    def label(self) -> str:
        """The name in lists of who is asked: `Ken Suzuki (for Misaki Sato, who is away)`."""
        if self.giver is not None:
            # A giver who is away gets no mail and is not in the list: here is where they are named.
            return gettext("%(who)s (for %(giver)s, who is away)") % {
                "who": self.user.name,
                "giver": self.giver.name,
            }
        if self.behind is not None:
            return gettext("%(who)s (standing deputy of %(giver)s)") % {
                "who": self.user.name,
                "giver": self.behind.name,
            }
        return by_escalation(self.user.name) if self.standing.stand_in else self.user.name


def in_place_of(name: str, giver: str) -> str:
    """Somebody who acts in a giver's name, in words."""
    return gettext("%(who)s (for %(giver)s)") % {"who": name, "giver": giver}


def by_escalation(name: str) -> str:
    """Somebody who acts as the role's deputy, in words."""
    return gettext("%(who)s (deputy, by escalation)") % {"who": name}


@dataclass(frozen=True)
class Bench:
    """Everybody who might decide something: four queries, whatever the number of steps."""

    staff: dict[str, User]
    delegations: list[StandIn]
    deputies: list[StandIn]
    standing_deputies: list[StandIn] = field(default_factory=list)

    @classmethod
    def read(cls) -> "Bench":
        """As it is now. A delegation counts while giver and deputy are here and the giver has the role."""
        found = User.objects.filter(is_active=True, roles__overlap=DECIDING_ROLES).order_by("public_id")
        staff = {user.public_id: user for user in found}
        in_force = Delegation.objects.filter(began_at__isnull=False, ended_at=None)
        rows = in_force.order_by("began_at", "id").values_list(
            "deputy__public_id", "role", "giver__public_id"
        )
        delegations = [
            StandIn(deputy, role, giver)
            for deputy, role, giver in rows
            if deputy in staff and giver in staff and role in staff[giver].roles
        ]
        deputies = [
            StandIn(deputy, role)
            for deputy, role in RoleDeputy.objects.order_by("id").values_list("staff__public_id", "role")
            if deputy in staff
        ]
        named = StandingDeputy.objects.order_by("id").values_list("deputy__public_id", "giver__public_id")
        standing = [
            StandIn(deputy, role, behind=giver)
            for deputy, giver in named
            if deputy in staff and giver in staff
            for role in roles_in_common(staff[deputy], staff[giver])
        ]
        return cls(staff, delegations, deputies, standing)

    @property
    def people(self) -> dict[str, Person]:
        """The staff as the rules see them."""
        return {ref: person_of(user) for ref, user in self.staff.items()}

    def question(self, step: Step, decided: set[str]) -> Question:
        """The step as the rules see it."""
        standing = self.standing_deputies if step.escalated_at else []
        deputies = self.deputies if step.deputies_at else []
        return Question(
            role=step.role,
            requester=step.request.requester.public_id,
            decided=decided,
            stand_ins=[*self.delegations, *standing, *deputies],
            named=step.people,
        )

    def able(self, step: Step, decided: set[str]) -> list[Able]:
        """Who may decide the step now, four eyes considered."""
        return [
            self._able(ref, standing)
            for ref, standing in able_of(self.question(step, decided), self.people).items()
        ]

    def asked(self, step: Step, decided: set[str]) -> list[Able]:
        """Who is sent mails about the step: not those who are away and have a deputy (A5)."""
        return self.asked_by(self.question(step, decided))

    def asked_by(self, question: Question) -> list[Able]:
        """The same for a step that is not there yet."""
        able = able_of(question, self.people)
        return [self._able(ref, able[ref]) for ref in asked_of(able, question)]

    def standing(self, user: User, step: Step, decided: set[str]) -> Standing:
        """How one person stands to the step, as they are in the database now."""
        people = self.people
        return standing_of(person_of(user), self.question(step, decided), people)

    def _able(self, ref: str, standing: Standing) -> Able:
        giver, behind = (standing.stand_in.giver, standing.stand_in.behind) if standing.stand_in else ("", "")
        return Able(self.staff[ref], standing, self.staff.get(giver), self.staff.get(behind))
