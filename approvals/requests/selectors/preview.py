"""What a request would need if it were submitted as it is: shown while the form is filled (R2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.functional import Promise

from approvals.models import Decision, Request, StepRole
from approvals.path.bench import Bench
from approvals.path.standing import Question
from approvals.policies.rules import STAFF_ROLES, Facts, Person, PlannedStep, deciders, unstaffed
from approvals.policies.selectors.in_force import current_policy, facts_from, path_for
from approvals.policies.wording import why_sentence
from approvals.requests.selectors.fates import place_of_plan
from approvals.requests.selectors.outlook import Fallen, Outlook, outlook_of
from keys.terms.checks import Problem, Registry, find_excesses
from keys.terms.terms import KeyTerms
from partners.models import Contact


@dataclass(frozen=True, slots=True)
class PreviewStep:
    """One approval to come: whose, why, who would be asked. `is_stuck`: nobody could decide it (A2).

    Of a request that was submitted before: `stands`, the answers that would still count; `falls`, those that
    would not; `is_new`, whether it was not asked for before.
    """

    role: str
    label: str | Promise
    why: str | Promise
    people: list[str]
    n_needed: int
    needs_second_factor: bool
    is_stuck: bool
    stands: list[Decision]
    falls: list[Fallen]
    is_new: bool

    @property
    def is_asked(self) -> bool:
        """Whether anybody is asked; not where enough answers stand."""
        return len(self.stands) < self.n_needed


@dataclass(frozen=True, slots=True)
class Preview:
    """The path to come, and where the terms ask for more than the plan gives unasked.

    `dropped`: approvals that the last revision needed and these terms do not, with what falls with them.
    """

    steps: list[PreviewStep]
    excesses: list[Problem]
    may_grow: bool
    """Whether the contract is not chosen yet, on which legal and the COO depend."""
    is_again: bool
    dropped: list[tuple[str | Promise, list[Fallen]]]

    @property
    def asked(self) -> list[PreviewStep]:
        """The steps at which somebody is asked."""
        return [step for step in self.steps if step.is_asked]


def preview_path(
    request: Request,
    terms: KeyTerms,
    registry: Registry,
    *,
    content: Mapping[str, Any],
    now: datetime,
    change: str = "none",
) -> Preview:
    """The approvals that these terms would need, and which of those given would stand; nothing is changed.

    `content`: what the revision would hold. Five queries, and up to ten for what was submitted before.
    """
    # By the policy in force; what was sent back keeps its own (A2).
    policy = request.policy or current_policy(now)
    planned = path_for(policy, facts_of(terms, registry, change=change))
    again = outlook_of(request, content, [place_of_plan(step, registry.consent_contact) for step in planned])
    internal = registry.plan is not None and registry.plan.is_internal
    return Preview(
        steps=_steps(request, planned, again, registry),
        excesses=find_excesses(terms, registry),
        may_grow=registry.contract is None and not internal,
        is_again=again.is_again,
        dropped=again.dropped({step.role for step in planned}),
    )


def _steps(
    request: Request, planned: Sequence[PlannedStep], again: Outlook, registry: Registry
) -> list[PreviewStep]:
    bench, requester = Bench.read(), request.requester.public_id
    people = list(bench.people.values())
    able = [
        deciders(
            people,
            role=step.role,
            requester=requester,
            decided=again.barred_from(step.role),
            named=step.people,
        )
        if step.role in STAFF_ROLES
        else []
        for step in planned
    ]
    stands = [again.standing_on(place) for place in range(len(planned))]
    stuck = _unstaffed(planned, [len(given) for given in stands], able)
    return [
        PreviewStep(
            role=step.role,
            label=StepRole(step.role).label,
            why=why_sentence(step.why, step.conditions),
            people=_names(bench, request, step, again, registry.consent_contact),
            n_needed=step.n_needed,
            needs_second_factor=step.needs_second_factor,
            is_stuck=place in stuck,
            stands=stands[place],
            falls=again.falling_on(place),
            is_new=again.is_new(step.role),
        )
        for place, step in enumerate(planned)
    ]


def _names(
    bench: Bench, request: Request, step: PlannedStep, again: Outlook, contact: Contact | None
) -> list[str]:
    """Who would get the mails if it was asked now: deputies for those who are away (A5)."""
    if step.role == StepRole.RIGHTS_HOLDER:
        return [contact.name] if contact else []
    question = Question(
        role=step.role,
        requester=request.requester.public_id,
        decided=again.barred_from(step.role),
        stand_ins=bench.delegations,
        named=step.people,
    )
    return [person.label for person in bench.asked_by(question)]


def _unstaffed(
    planned: Sequence[PlannedStep], n_standing: Sequence[int], able: Sequence[Sequence[Person]]
) -> set[int]:
    """The steps for which nobody would be left; a rights-holder's is decided by an outsider."""
    needs = [
        step.n_needed - n if step.role in STAFF_ROLES else 0
        for step, n in zip(planned, n_standing, strict=True)
    ]
    return unstaffed(needs, [[person.ref for person in people] for people in able])


def facts_of(terms: KeyTerms, registry: Registry, *, change: str = "none") -> Facts:
    """What the policy looks at, of these terms; `change` is the direction where a key is changed (R3)."""
    return facts_from(terms, registry.plan, registry.scopes, change=change)
