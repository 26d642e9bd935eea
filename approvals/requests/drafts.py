"""What a draft keeps of the request form, and how two windows on one draft are told apart (R1)."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django import forms

from keys.models import Plan
from keys.terms.terms import KeyTerms

LONGEST_TEXT = 20_000


def limits_of(plan: Plan) -> dict[str, Any]:
    """The limits that a plan gives unasked, as the form's fields have them."""
    return {
        "plan_before": plan.code,
        "rpm": plan.default_rpm,
        "rph": plan.default_rph,
        "burst": plan.default_burst,
        "concurrency": plan.default_concurrency,
        "rotation_days": plan.default_rotation_days,
    }


def draft_of(terms: KeyTerms) -> dict[str, Any]:
    """Terms as the form keeps them: texts, and lists of texts where several are chosen."""
    draft: dict[str, Any] = {}
    for name, value in terms.to_json().items():
        if isinstance(value, list):
            draft[name] = [str(item) for item in value]
        elif isinstance(value, bool):
            draft[name] = "on" if value else ""
        else:
            draft[name] = "" if value is None else str(value)
    draft["ip_ranges"] = "\n".join(draft["ip_ranges"])
    draft["countries"] = ", ".join(terms.countries)
    draft["plan_before"] = terms.plan  # its limits are the ones that were asked for, whatever the plan gives
    draft["retires_at"] = terms.retires_at[:16]  # as browsers write a time: without its zone
    return draft


def is_too_long(draft: Mapping[str, Any]) -> bool:
    """Whether somebody pasted what no draft should keep."""
    return any(len(str(value)) > LONGEST_TEXT for value in draft.values())


def storable(text: str) -> str:
    """The text with one kind of line end, and without NUL: PostgreSQL keeps none, nobody types one."""
    return text.replace("\x00", "").replace("\r\n", "\n")


# --- two windows ------------------------------------------------------------------------------------------


def posted_by(form: forms.Form) -> dict[str, Any]:
    """What a browser would post if the form were sent as it is shown: texts, and lists of texts."""
    return {name: _posted(form, name) for name in form.fields}


def _posted(form: forms.Form, name: str) -> Any:
    value = form[name].value()
    if isinstance(form.fields[name], forms.MultipleChoiceField):
        return [str(item) for item in value or []]
    if isinstance(form.fields[name], forms.BooleanField):
        return "on" if value else ""
    return "" if value is None else storable(str(value))


def marks_of(values: Mapping[str, Any]) -> str:
    """A short mark of each value: the page carries them, so that a later post tells what was changed."""
    return " ".join(f"{name}={_mark(value)}" for name, value in values.items())


def touched(typed: Mapping[str, Any], marks: str) -> set[str]:
    """The fields that were changed since the page with these marks; without marks, those that say a thing."""
    known = dict(part.split("=", 1) for part in marks.split() if "=" in part)
    return {
        name
        for name, value in typed.items()
        if (_mark(value) != known[name] if name in known else bool(value))
    }


def is_same(one: Any, other: Any) -> bool:
    """Whether two posted values say the same; the order of ticks says nothing."""
    return _mark(one) == _mark(other)


def _mark(value: Any) -> str:
    plain = sorted(value) if isinstance(value, list) else value
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()[:12]
