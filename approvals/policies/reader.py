"""The form of a policy's rules: which facts there are, and a strict reader that says in words what is wrong.

JSON in, dataclasses out, and back again without loss (A2). Whether well-formed rules are also *safe* is the
business of approvals.policies.lint.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from approvals.models import StepRole
from approvals.policies.rules import STAFF_ROLES
from keys.models import Environment, PurposeCategory
from partners.models import LicenceLevel, Partner

Words = str | Promise
Value = bool | int | str | tuple[str, ...]

MOST_STEPS = 12
MOST_CONDITIONS = 8
MOST_PEOPLE_NEEDED = 9
MOST_DEADLINE_HOURS = 240
MOST_NAMED = 50
LARGEST_NUMBER = 10**12

OPERATORS_OF = {
    "choice": ("is", "is_not", "any_of", "none_of"),
    "number": ("more_than", "at_most", "is", "is_not"),
    "flag": ("is", "is_not"),
}


@dataclass(frozen=True, slots=True)
class FactKind:
    """One fact: its name, the kind of its value, and which values a choice has (None: see `Known`)."""

    label: Words
    kind: str  # choice | number | flag
    choices: tuple[tuple[str, Words], ...] | None = None


CHANGES: tuple[tuple[str, Words], ...] = (
    ("none", _("a new key")),
    ("tightens", _("a change that only takes away")),
    ("loosens", _("a change that gives more")),
)

FACTS: dict[str, FactKind] = {
    "change": FactKind(_("What is asked for"), "choice", CHANGES),
    "partner_kind": FactKind(_("Kind of partner"), "choice", tuple(Partner.Kind.choices)),
    "monthly_amount_jpy": FactKind(_("Monthly amount of the contract"), "number"),
    "is_internal_without_contract": FactKind(_("Internal team without a contract"), "flag"),
    "plan": FactKind(_("Plan"), "choice"),
    "environment": FactKind(_("Environment"), "choice", tuple(Environment.choices)),
    "licence_level": FactKind(_("Data-licence level"), "choice", tuple(LicenceLevel.choices)),
    "purpose_category": FactKind(_("Purpose"), "choice", tuple(PurposeCategory.choices)),
    "asks_write": FactKind(_("A scope that changes data"), "flag"),
    "asks_admin": FactKind(_("A scope that administers"), "flag"),
    "n_scopes": FactKind(_("Number of scopes"), "number"),
}


@dataclass(frozen=True, slots=True)
class Known:
    """What exists in this installation: the plans by code with names, and which of them are internal."""

    plans: Mapping[str, str]
    internal_plans: frozenset[str] = frozenset()

    def choices(self, fact: str) -> tuple[tuple[str, Words], ...]:
        """The values that a choice fact may have."""
        given = FACTS[fact].choices
        return tuple(self.plans.items()) if given is None else given


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a step: a fact, an operator and a value of the fact's kind."""

    fact: str
    op: str
    value: Value

    def to_json(self) -> dict[str, Any]:
        """As it stands in a policy's rules."""
        value = list(self.value) if isinstance(self.value, tuple) else self.value
        return {"fact": self.fact, "op": self.op, "value": value}


@dataclass(frozen=True, slots=True)
class Rule:
    """One step of a policy: who is asked, and when."""

    role: str
    why: str
    when: tuple[Condition, ...] = ()
    n: int = 1
    second_factor: bool = False
    people: tuple[str, ...] = ()
    deadline_hours: int | None = None

    def to_json(self) -> dict[str, Any]:
        """As it stands in a policy's rules; what says nothing is left out, as in the first versions."""
        data: dict[str, Any] = {
            "role": self.role,
            "why": self.why,
            "when": [condition.to_json() for condition in self.when],
        }
        if self.n != 1:
            data["n"] = self.n
        if self.second_factor:
            data["second_factor"] = True
        if self.people:
            data["people"] = list(self.people)
        if self.deadline_hours is not None:
            data["deadline_hours"] = self.deadline_hours
        return data


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with rules, in words, and where: number of the step and of its condition, from 0."""

    sentence: Words
    step: int | None = None
    condition: int | None = None
    field: str = ""


class RulesError(ValueError):
    """Rules that are not of the form; all that is wrong with them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(str(problem.sentence) for problem in problems))
        self.problems = list(problems)


def parse_rules(data: object, known: Known) -> tuple[Rule, ...]:
    """The steps of a policy, strictly read: RulesError for what is unknown, missing or of a wrong kind."""
    reader = _Reader(known)
    rules = reader.read(data)
    if reader.problems:
        raise RulesError(reader.problems)
    return rules


def rules_to_json(rules: Sequence[Rule]) -> dict[str, Any]:
    """The JSON that `parse_rules` reads back to the same rules."""
    return {"steps": [rule.to_json() for rule in rules]}


# --- reading ----------------------------------------------------------------------------------------------

_STEP_FIELDS = {"role", "why", "when", "n", "second_factor", "people", "deadline_hours"}


@dataclass
class _Reader:
    known: Known
    problems: list[Problem] = field(default_factory=list)

    def read(self, data: object) -> tuple[Rule, ...]:
        if not isinstance(data, Mapping) or set(data) != {"steps"} or not isinstance(data["steps"], list):
            self.problems.append(Problem(_("The rules must be a list of steps, and nothing else.")))
            return ()
        steps = data["steps"]
        if not steps:
            self.problems.append(Problem(_("A policy needs at least one step.")))
        if len(steps) > MOST_STEPS:
            sentence = format_lazy(_("A policy has {most} steps at most."), most=MOST_STEPS)
            self.problems.append(Problem(sentence))
            return ()
        return tuple(rule for place, step in enumerate(steps) for rule in self._step(place, step))

    def _step(self, place: int, data: object) -> Iterator[Rule]:
        if not isinstance(data, Mapping) or not {"role", "when"} <= set(data) <= _STEP_FIELDS:
            self._wrong(_("A step has a role and conditions, and nothing that is not known."), place)
            return
        role, why = data["role"], data.get("why", "rule")
        if role not in StepRole.values:
            self._wrong(_("There is no such role."), place, "role")
        if not isinstance(why, str) or len(why) > 60:
            self._wrong(_("The reason must be a short code."), place, "why")
        n = self._number(data.get("n", 1), place, "n", least=1, most=MOST_PEOPLE_NEEDED)
        hours = data.get("deadline_hours")
        if hours is not None:
            hours = self._number(hours, place, "deadline_hours", least=1, most=MOST_DEADLINE_HOURS)
        second_factor = data.get("second_factor", False)
        if not isinstance(second_factor, bool):
            self._wrong(_("Say yes or no."), place, "second_factor")
        people = self._people(data.get("people", []), place)
        if role in StepRole.values and StepRole(role) not in STAFF_ROLES:
            self._outsider(place, n=n, asks_more=bool(people) or second_factor is True)
        when = self._conditions(data["when"], place)
        yield Rule(str(role), str(why), when, n, second_factor is True, people, hours)

    def _outsider(self, place: int, *, n: int, asks_more: bool) -> None:
        if n != 1:
            self._wrong(_("One contact of the partner consents: the number must be 1."), place, "n")
        if asks_more:
            self._wrong(
                _("The rights-holder has no account: neither people nor a second factor can be asked for."),
                place,
                "people",
            )

    def _people(self, data: object, place: int) -> tuple[str, ...]:
        if not isinstance(data, list) or not all(isinstance(ref, str) and ref[:12] == ref for ref in data):
            self._wrong(_("The people must be a list of staff numbers."), place, "people")
            return ()
        if len(set(data)) != len(data) or len(data) > MOST_NAMED:
            self._wrong(_("Name each person once."), place, "people")
        return tuple(data)

    def _number(self, data: object, place: int, name: str, *, least: int, most: int) -> int:
        if isinstance(data, bool) or not isinstance(data, int) or not least <= data <= most:
            sentence = format_lazy(
                _("Write a whole number from {least} to {most}."), least=least, most=f"{most:,}"
            )
            self._wrong(sentence, place, name)
            return least
        return data

    def _conditions(self, data: object, place: int) -> tuple[Condition, ...]:
        if not isinstance(data, list):
            self._wrong(_("The conditions must be a list."), place, "when")
            return ()
        if len(data) > MOST_CONDITIONS:
            sentence = format_lazy(_("A step has {most} conditions at most."), most=MOST_CONDITIONS)
            self._wrong(sentence, place, "when")
            return ()
        return tuple(
            condition
            for number, item in enumerate(data)
            for condition in self._condition(place, number, item)
        )

    def _condition(self, place: int, number: int, data: object) -> Iterator[Condition]:
        def wrong(sentence: Words, name: str) -> None:
            self.problems.append(Problem(sentence, place, number, name))

        if not isinstance(data, Mapping) or set(data) != {"fact", "op", "value"}:
            wrong(_("A condition has a fact, a comparison and a value."), "fact")
            return
        fact, op, value = data["fact"], data["op"], data["value"]
        kind = FACTS[fact] if isinstance(fact, str) and fact in FACTS else None
        if kind is None:
            wrong(_("There is no such fact."), "fact")
            return
        if op not in OPERATORS_OF[kind.kind]:
            wrong(_("This fact can't be compared like that."), "op")
            return
        sentence = self._wrong_value(fact, kind, op, value)
        if sentence:
            wrong(sentence, "value")
            return
        yield Condition(fact, op, tuple(value) if isinstance(value, list) else value)

    def _wrong_value(self, fact: str, kind: FactKind, op: str, value: object) -> Words:
        if kind.kind == "flag":
            return "" if isinstance(value, bool) else _("Say yes or no.")
        if kind.kind == "number":
            fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_NUMBER
            return "" if fits else _("Write a whole number.")
        values = value if op in {"any_of", "none_of"} else [value]
        if not isinstance(values, list) or not values:
            return _("Choose at least one.")
        allowed = {code for code, _label in self.known.choices(fact)}
        if not all(isinstance(item, str) and item in allowed for item in values):
            return _("One of these values does not exist (any more).")
        return "" if len(set(values)) == len(values) else _("Choose each value once.")

    def _wrong(self, sentence: Words, place: int, name: str = "") -> None:
        self.problems.append(Problem(sentence, place, None, name))
