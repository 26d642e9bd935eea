"""What pages of other apps say about gateways: `{% load gateways %}`."""

from django import template

from verifier.portal.selectors import who_reports_ends

register = template.Library()


@register.inclusion_tag("verifier/partials/_concurrency.html", takes_context=True)
def concurrency_note(context: template.Context) -> dict[str, object]:
    """In one sentence, whether a limit on concurrent requests can act; nothing where it always does (V7)."""
    reporting, silent = who_reports_ends()
    return {"reporting": reporting, "silent": silent, "user": context.get("user")}
