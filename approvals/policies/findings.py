"""The linter's findings in sentences, for the author of a policy and for the second person (A2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from approvals.models import StepRole
from approvals.policies.lint import Finding, House, mentioned
from approvals.policies.reader import FACTS, Rule, Words
from approvals.policies.wording import FLAGS, value_text
from core.wording import money_text

SENTENCES: dict[str, Words] = {
    "never": _("This step would never be asked: its conditions can't all hold for any request."),
    "nobody": _("Nobody who works here now has this role: the step would be stuck at once."),
    "named_cannot": _("None of the named people works here and has the role: it would be stuck at once."),
    "too_few": _("It needs more people than could decide it."),
    "named_gone": _("%(person)s is named, but does not work here any more or does not have the role."),
    "no_step": _("Some requests would be asked of nobody."),
    "no_staff": _("Some requests would be decided by outsiders only."),
    "twice": _("The same role would be asked twice about one request. Ask two people in one step instead."),
    "no_contact": _(
        "Only rights-holders have a contact who can consent; other partners would be asked, too."
    ),
    "no_pm": _("Some requests that give access would not be looked at by a PM."),
    "no_tech": _("Some requests that give access would not be looked at by tech, where identity is checked."),
    "no_consent": _("A rights-holder's data would be opened without the rights-holder's consent."),
    "no_coo": _(
        "The COO would never be asked, however much a contract is worth. Every contract above %(threshold)s "
        "a month has to be: the company's rule, which only the setting %(setting)s changes."
    ),
    "less_coo": _(
        "Not every contract above %(threshold)s a month would be asked of the COO. A policy may ask for the "
        "COO from less on, not from more: that is the company's rule, which only the setting %(setting)s "
        "changes."
    ),
    "no_legal": _("Some requests with a contract would not be looked at by legal."),
    "order": _("The order is not the usual one: PM, rights-holder, legal, tech, COO."),
    "same_person": _(
        "One person would be needed for two steps of the same request, and nobody decides two. "
        "Give somebody else the role, or name more people."
    ),
    "own_requests": _(
        "%(person)s may make requests and is needed to decide them; their own requests would be stuck."
    ),
}


@dataclass(frozen=True, slots=True)
class Line:
    """A finding as a page shows it: where (`step` counts from 1, with its role), what, for example when."""

    level: str
    step: int | None
    role: str
    text: str
    example: str


def lines_of(findings: Sequence[Finding], rules: Sequence[Rule], house: House) -> list[Line]:
    """The findings in words, in their order."""
    return [_line(finding, rules, house) for finding in findings]


def _line(finding: Finding, rules: Sequence[Rule], house: House) -> Line:
    place = finding.step
    words = {
        "person": house.names.get(finding.person, finding.person),
        "threshold": money_text(house.coo_threshold_jpy),
        "setting": "COO_THRESHOLD_JPY",
    }
    example = ""
    if finding.example is not None:
        example = example_text(mentioned(rules, finding.example), house.known.plans)
    return Line(
        level=finding.level,
        step=None if place is None else place + 1,
        role="" if place is None else str(StepRole(rules[place].role).label),
        text=str(SENTENCES[finding.code]) % words,
        example=example,
    )


def example_text(facts: Mapping[str, object], plans: Mapping[str, str]) -> str:
    """`Kind of partner: Company · Plan: Premium · …`."""
    return " · ".join(_fact_text(name, value, plans) for name, value in facts.items())


def _fact_text(name: str, value: object, plans: Mapping[str, str]) -> str:
    if isinstance(value, bool):
        return str(FLAGS[name, value])
    if name == "monthly_amount_jpy" and isinstance(value, int):
        text = money_text(value)
    elif isinstance(value, int):
        text = f"{value:,}"
    else:
        text = value_text(name, str(value), plans) or "—"
    return gettext("%(fact)s: %(value)s") % {"fact": FACTS[name].label, "value": text}
