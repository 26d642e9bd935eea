"""The editor of a policy as forms: steps with their conditions, as they were typed (A2).

The whole draft travels in one form, so that it works without JavaScript: "add", "move" and "remove" send it
back changed, "save" checks it. `Typed` is what a form of a step holds before anything is checked.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from django import forms
from django.conf import settings
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from approvals.models import StepRole
from approvals.policies.lint import House
from approvals.policies.reader import (
    FACTS,
    MOST_CONDITIONS,
    MOST_DEADLINE_HOURS,
    MOST_PEOPLE_NEEDED,
    MOST_STEPS,
    Condition,
    Known,
    Rule,
    RulesError,
    parse_rules,
    rules_to_json,
)
from approvals.policies.selectors.policies import simple_code
from approvals.policies.wording import FLAGS
from core.fields import ParagraphField, WholeNumberField, YenField

Typed = dict[str, Any]

CHOICE_OPS = [("any_of", _("is one of")), ("none_of", _("is none of"))]
NUMBER_OPS = [
    ("more_than", _("is more than")),
    ("at_most", _("is at most")),
    ("is", _("is exactly")),
    ("is_not", _("is not")),
]


class ConditionForm(forms.Form):
    """One condition. Which controls it has depends on its fact."""

    fact = forms.CharField(widget=forms.HiddenInput)

    def __init__(self, fact: str, known: Known, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fact_name, self.kind = fact, FACTS[fact].kind
        self.label = str(FACTS[fact].label)
        self.initial.setdefault("fact", fact)
        if self.kind == "flag":
            self.fields["value"] = forms.ChoiceField(
                label=self.label, choices=[("yes", FLAGS[fact, True]), ("no", FLAGS[fact, False])]
            )
            return
        self.fields["op"] = forms.ChoiceField(
            label=self.label, choices=NUMBER_OPS if self.kind == "number" else CHOICE_OPS
        )
        if self.kind == "choice":
            self.fields["value"] = forms.MultipleChoiceField(
                label=_("Values"),
                choices=known.choices(fact),
                widget=forms.CheckboxSelectMultiple,
                error_messages={"required": _("Choose at least one.")},
            )
        elif fact == "monthly_amount_jpy":
            self.fields["value"] = YenField(label=_("Amount"))
        else:
            self.fields["value"] = WholeNumberField(label=_("Number"), max_value=1_000)

    def to_json(self) -> dict[str, Any]:
        """The condition as rules have it: one value is `is`, several are `any_of`."""
        data = self.cleaned_data
        if self.kind == "flag":
            return {"fact": self.fact_name, "op": "is", "value": data["value"] == "yes"}
        op, value = data["op"], data["value"]
        if self.kind == "choice" and len(value) == 1:
            op, value = {"any_of": "is", "none_of": "is_not"}[op], value[0]
        return {"fact": self.fact_name, "op": op, "value": value}


class StepForm(forms.Form):
    """Who is asked in one step."""

    role = forms.ChoiceField(label=_("Who decides"), choices=StepRole.choices)
    n = WholeNumberField(label=_("How many people"), min_value=1, max_value=MOST_PEOPLE_NEEDED, initial=1)
    deadline_hours = WholeNumberField(
        label=_("Answer wanted within"),
        help_text=format_lazy(
            _("In business hours; {n} are a business day. Empty: the usual time."),
            n=settings.BUSINESS_DAY_HOURS,
        ),
        min_value=1,
        max_value=MOST_DEADLINE_HOURS,
        required=False,
    )
    second_factor = forms.BooleanField(label=_("Ask for the second factor again"), required=False)
    people = forms.MultipleChoiceField(
        label=_("Only these people"),
        help_text=_("Nobody ticked: everybody who has the role. Who is ticked needs the role all the same."),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )

    def __init__(self, choices: Sequence[tuple[str, str]], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        people = self.fields["people"]
        assert isinstance(people, forms.MultipleChoiceField)
        people.choices = choices

    def to_json(self, when: list[dict[str, Any]]) -> dict[str, Any]:
        """The step as rules have it; `why` is for the caller."""
        data = self.cleaned_data
        return {
            "role": data["role"],
            "when": when,
            "n": data["n"],
            "second_factor": data["second_factor"],
            "people": data["people"],
            "deadline_hours": data["deadline_hours"],
        }


class StepBox:
    """A step's form with the forms of its conditions, as the page draws them."""

    def __init__(self, number: int, form: StepForm, conditions: list[ConditionForm]) -> None:
        self.number, self.form, self.conditions = number, form, conditions

    @property
    def role_label(self) -> str:
        """The role that is chosen, for the legend."""
        value = str(self.form["role"].value() or "")
        return str(StepRole(value).label) if value in StepRole.values else ""

    @property
    def opens_more(self) -> bool:
        """Whether what few steps need has to be seen: something of it is set, or wrong."""
        usual: dict[str, tuple[Any, ...]] = {
            "n": ("", "1", 1),
            "deadline_hours": ("", None),
            "second_factor": (False, None),
            "people": ([], None),
        }
        fields = {name: self.form[name] for name in usual}
        return any(field.errors or field.value() not in usual[name] for name, field in fields.items())


class PolicyEditor:
    """All of the editor. `is_valid` fills `rules`; problems stand beside the fields that they belong to."""

    def __init__(self, typed: Sequence[Typed], reason: str, house: House, *, is_bound: bool = False) -> None:
        self.typed, self.house = list(typed), house
        self.rules: dict[str, Any] = {}
        self.problems: list[Any] = []
        named = {ref for step in typed for ref in step["people"]}
        choices = _people(house, named)
        self.reason = ReasonForm(
            MultiValueDict({"reason": [reason]}) if is_bound else None, initial={"reason": reason}
        )
        self.boxes = [
            StepBox(
                place + 1,
                StepForm(
                    choices,
                    _data(step, f"steps-{place}") if is_bound else None,
                    initial=step,
                    prefix=f"steps-{place}",
                ),
                [
                    ConditionForm(
                        condition["fact"],
                        house.known,
                        _data(condition, f"steps-{place}-if-{number}") if is_bound else None,
                        initial=condition,
                        prefix=f"steps-{place}-if-{number}",
                    )
                    for number, condition in enumerate(step["conditions"])
                ],
            )
            for place, step in enumerate(self.typed)
        ]

    @property
    def forms(self) -> list[forms.Form]:
        """All forms in the order of the page, for the summary of errors."""
        return [self.reason, *(form for box in self.boxes for form in (box.form, *box.conditions))]

    @property
    def errors(self) -> bool:
        """Whether anything is wrong; for the summary at the top."""
        return bool(self.problems) or any(form.errors for form in self.forms)

    def is_valid(self) -> bool:
        """Whether it can be saved; then `rules` are the draft's."""
        if not all([form.is_valid() for form in self.forms]):  # noqa: C419 - each form says its errors
            return False
        steps = [box.form.to_json([form.to_json() for form in box.conditions]) for box in self.boxes]
        try:
            rules = parse_rules({"steps": steps}, self.house.known)
        except RulesError as error:
            for problem in error.problems:
                if problem.step is None:
                    self.problems.append(problem.sentence)
                    continue
                form = self.boxes[problem.step].form
                form.add_error(problem.field if problem.field in form.fields else None, str(problem.sentence))
            return False
        self.rules = rules_to_json([_with_code(rule) for rule in rules])
        return True


class ReasonForm(forms.Form):
    """Why the path is to change."""

    reason = ParagraphField(
        label=_("Why the path is to change"),
        help_text=_("The second person reads it, and it stays with the version."),
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
    )


class PolicyDecisionForm(forms.Form):
    """The second person's answer."""

    answer = forms.ChoiceField(
        label=_("Your answer"),
        choices=[("approve", _("Put in force")), ("reject", _("Reject"))],
        widget=forms.RadioSelect,
        error_messages={"required": _("Choose an answer."), "invalid_choice": _("Choose an answer.")},
    )
    reason = ParagraphField(
        label=_("Reason"),
        help_text=_("Needed for a rejection: the author will read it."),
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    has_read_warnings = forms.BooleanField(
        label=_("I have read the warnings, and want it so"), required=False
    )

    def __init__(self, *args: Any, has_warnings: bool, **options: Any) -> None:
        super().__init__(*args, **options)
        if not has_warnings:
            del self.fields["has_read_warnings"]


# --- what was typed ---------------------------------------------------------------------------------------


def typed_rules(rules: Sequence[Rule]) -> list[Typed]:
    """The steps of a version as the editor's fields show them."""
    return [
        {
            "role": rule.role,
            "n": rule.n,
            "second_factor": rule.second_factor,
            "people": list(rule.people),
            "deadline_hours": rule.deadline_hours,
            "conditions": [_typed_condition(condition) for condition in rule.when],
        }
        for rule in rules
    ]


def typed_post(data: QueryDict) -> list[Typed]:
    """The steps as they came from the page, complete or not; more than a policy may have are cut off."""
    return [
        {
            "role": data.get(f"steps-{place}-role", ""),
            "n": data.get(f"steps-{place}-n", ""),
            "second_factor": f"steps-{place}-second_factor" in data,
            "people": data.getlist(f"steps-{place}-people"),
            "deadline_hours": data.get(f"steps-{place}-deadline_hours", ""),
            "conditions": list(_posted_conditions(data, place)),
        }
        for place in range(MOST_STEPS)
        if f"steps-{place}-role" in data
    ]


def change_typed(typed: list[Typed], act: str, chosen: str) -> str:
    """Do what a button says: `add`, `up:2`, `down:2`, `remove:2`, `if:2` (with the fact), `unless:2:0`.

    Returns the anchor of what was changed. What makes no sense (any more) changes nothing.
    """
    name, *numbers = act.split(":")
    places = [int(number) for number in numbers if number.isascii() and number.isdigit() and len(number) < 4]
    at = places[0] if places else -1
    if name == "add" and len(typed) < MOST_STEPS and chosen in StepRole.values:
        typed.append(_new_step(chosen))
        return f"step-{len(typed)}"
    if not 0 <= at < len(typed):
        return ""
    if name in {"up", "down"}:
        to = min(max(at + (1 if name == "down" else -1), 0), len(typed) - 1)
        typed.insert(to, typed.pop(at))
        return f"step-{to + 1}"
    if name == "remove":
        del typed[at]
        return f"step-{min(at + 1, len(typed))}"
    conditions = typed[at]["conditions"]
    if name == "if" and chosen in FACTS and len(conditions) < MOST_CONDITIONS:
        conditions.append({"fact": chosen})
    elif name == "unless" and len(places) == 2 and places[1] < len(conditions):
        del conditions[places[1]]
    return f"step-{at + 1}"


def _new_step(role: str) -> Typed:
    return {
        "role": role,
        "n": 1,
        "second_factor": False,
        "people": [],
        "deadline_hours": "",
        "conditions": [],
    }


def _posted_conditions(data: QueryDict, place: int) -> Iterator[Typed]:
    for number in range(MOST_CONDITIONS):
        prefix = f"steps-{place}-if-{number}"
        fact = data.get(f"{prefix}-fact", "")
        if fact not in FACTS:
            continue
        several = FACTS[fact].kind == "choice"
        value = data.getlist(f"{prefix}-value") if several else data.get(f"{prefix}-value", "")
        yield {"fact": fact, "op": data.get(f"{prefix}-op", ""), "value": value}


def _typed_condition(condition: Condition) -> Typed:
    op, value = condition.op, condition.value
    if isinstance(value, bool):
        return {"fact": condition.fact, "value": "yes" if value is (op == "is") else "no"}
    if isinstance(value, (str, tuple)):
        op = "any_of" if op in {"is", "any_of"} else "none_of"
        value = (value,) if isinstance(value, str) else value
    return {"fact": condition.fact, "op": op, "value": list(value) if isinstance(value, tuple) else value}


def _data(typed: Typed, prefix: str) -> MultiValueDict[str, Any]:
    """What was typed as a form's data."""
    data: MultiValueDict[str, Any] = MultiValueDict()
    for name, value in typed.items():
        if name != "conditions" and value is not False:
            data.setlist(f"{prefix}-{name}", list(value) if isinstance(value, list) else [value])
    return data


def _people(house: House, named: set[str]) -> list[tuple[str, str]]:
    """Active staff by name; and whoever is named although they left, so that it can be undone."""
    active = {person.ref for person in house.staff if person.roles}
    shown = [ref for ref in house.names if ref in active | named]
    return [(ref, house.names[ref]) for ref in sorted(shown, key=lambda ref: house.names[ref])]


def _with_code(rule: Rule) -> Rule:
    return Rule(
        rule.role,
        simple_code(rule),
        rule.when,
        rule.n,
        rule.second_factor,
        rule.people,
        rule.deadline_hours,
    )
