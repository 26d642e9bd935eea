"""A policy in sentences: when a step is asked for, and of whom (A2: read by people, not by machines)."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from approvals.policies.reader import FACTS, Condition, Rule, Words
from approvals.wording import WHY
from core.wording import money_text

FLAGS: dict[tuple[str, bool], Words] = {
    ("is_internal_without_contract", True): _("it is for an internal team without a contract"),
    ("is_internal_without_contract", False): _("there is a contract"),
    ("asks_write", True): _("a scope that changes data is asked for"),
    ("asks_write", False): _("only reading is asked for"),
    ("asks_admin", True): _("a scope that administers is asked for"),
    ("asks_admin", False): _("no scope that administers is asked for"),
}

TAKES_AWAY = _("it is a change that only takes away")
GIVES = _("it gives access: a new key, or a change that gives more")


def why_sentence(code: str, conditions: Sequence[Mapping[str, Any]]) -> str | Promise:
    """Why a step is asked for: the sentence of its code, else its conditions in words."""
    if code in WHY:
        return WHY[code]
    return asked_when([condition_of(data) for data in conditions])


def condition_of(data: Mapping[str, Any]) -> Condition:
    """A condition as it stands in rules; not checked, because what was in force once is history."""
    value = data["value"]
    return Condition(data["fact"], data["op"], tuple(value) if isinstance(value, list) else value)


def asked_when(conditions: Sequence[Condition], plans: Mapping[str, str] | None = None) -> str:
    """`Always asked.` or `Asked when … and ….`; `plans` are names by code."""
    if not conditions:
        return gettext("Always asked.")
    texts = [condition_text(condition, plans or {}) for condition in conditions]
    return gettext("Asked when %(conditions)s.") % {"conditions": gettext(" and ").join(texts)}


def condition_text(condition: Condition, plans: Mapping[str, str]) -> str:
    """One condition as part of a sentence."""
    fact, op, value = condition.fact, condition.op, condition.value
    if isinstance(value, bool):
        return str(FLAGS[fact, value if op == "is" else not value])
    if fact == "change" and value == "tightens":
        return str(TAKES_AWAY if op == "is" else GIVES)
    label = str(FACTS[fact].label)
    if isinstance(value, int):
        number = money_text(value) if fact == "monthly_amount_jpy" else f"{value:,}"
        return str(_NUMBERS[op]) % {"fact": label, "number": number}
    values = [value] if isinstance(value, str) else list(value)
    names = gettext(" or ").join(value_text(fact, item, plans) for item in values)
    pattern = (
        gettext("“%(fact)s” is %(values)s")
        if op in {"is", "any_of"}
        else gettext("“%(fact)s” is not %(values)s")
    )
    return pattern % {"fact": label, "values": names}


_NUMBERS: dict[str, Words] = {
    "more_than": _("“%(fact)s” is more than %(number)s"),
    "at_most": _("“%(fact)s” is %(number)s or less"),
    "is": _("“%(fact)s” is exactly %(number)s"),
    "is_not": _("“%(fact)s” is not %(number)s"),
}


def value_text(fact: str, value: str, plans: Mapping[str, str]) -> str:
    """The name of a value; the value itself where it has none (any more)."""
    names = dict(FACTS[fact].choices or ()) or dict(plans)
    return str(names.get(value, value))


def demands(rule: Rule, names: Mapping[str, str]) -> list[str]:
    """What a step asks beyond one person of its role: number, people (`names` by ref), proof, time."""
    found = []
    if rule.n > 1:
        found.append(ngettext("%(n)d person", "%(n)d people", rule.n) % {"n": rule.n})
    if rule.people:
        listed = gettext(", ").join(names.get(ref, ref) for ref in rule.people)
        found.append(gettext("only %(names)s") % {"names": listed})
    if rule.second_factor:
        found.append(gettext("second factor"))
    if rule.deadline_hours is not None:
        text = ngettext("within %(n)d business hour", "within %(n)d business hours", rule.deadline_hours)
        found.append(text % {"n": rule.deadline_hours})
    return found
