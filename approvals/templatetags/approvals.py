"""The words of approvals in templates: `{% load approvals %}`."""

from django import template
from django.utils.functional import Promise

from approvals.models import Decision, Step
from approvals.path.bench import by_escalation, in_place_of
from approvals.policies.wording import why_sentence
from approvals.wording import WHY_NOT

register = template.Library()


@register.filter
def why_text(step: Step) -> str | Promise:
    """Why a step is asked for, in words."""
    return why_sentence(step.reason, step.conditions)


@register.filter
def why_not_text(code: str) -> str | Promise:
    """Why the reader may not decide, from its code."""
    return WHY_NOT.get(code, "")


@register.filter
def decided_by(decision: Decision) -> str:
    """The name of whoever decided, a member of staff or a contact, and in whose place (A5)."""
    person = decision.staff or decision.contact
    assert person is not None  # approvals_decision_one_person
    if decision.on_behalf_of is not None:
        return in_place_of(person.name, decision.on_behalf_of.name)
    return by_escalation(person.name) if decision.basis == Decision.Basis.ESCALATION else person.name


@register.filter
def hex(digest: bytes | memoryview) -> str:  # noqa: A001 - a filter's name in templates
    """A digest's 64 hexadecimal digits."""
    return bytes(digest).hex()
