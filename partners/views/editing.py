"""What every form page of this app does: draw, refuse beside the fields, save, go on."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.http import url_has_allowed_host_and_scheme

from core.errors import Conflict, Invalid


@dataclass(frozen=True, slots=True)
class Typed:
    """Something that a person typed into a form that turned out stale, and what is saved there now."""

    label: str | Promise
    typed: str
    now: str


def posted(request: HttpRequest) -> QueryDict | None:
    """What a form is bound to: an empty POST, too, is an answer that lacks everything."""
    return request.POST if request.method == "POST" else None


def next_url(request: HttpRequest, default: str) -> str:
    """Where to go on: `next` from the form or the address when it leads to this site, else `default`."""
    target = request.POST.get("next") or request.GET.get("next", "")
    safe = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return target if target and safe else default


def edit(
    request: HttpRequest,
    template: str,
    *,
    form: forms.Form,
    save: Callable[[dict[str, Any]], object],
    fresh: Callable[[], forms.Form] | None = None,
    done: str | Callable[[], str],
    message: str,
    context: dict[str, Any],
) -> HttpResponse:
    """One form page. `save` takes the cleaned data and calls the service; `done` is where it leads.

    422 with errors beside the fields. A stale form is 409: `fresh` draws it as things stand, and the
    page lists what the person had typed, so that nothing typed is lost.
    """
    status, typed = 200, []
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                save(form.cleaned_data)
            except Invalid as refused:
                form.add_error(refused.field if refused.field in form.fields else None, str(refused.message))
            except Conflict as lost:
                if fresh is None:
                    raise
                status, stale, form = 409, form, fresh()
                typed = _differences(stale, form)
                context = {**context, "conflict": lost.message}
            else:
                messages.success(request, message)
                return HttpResponseRedirect(next_url(request, done if isinstance(done, str) else done()))
    context = {**context, "form": form, "typed": typed, "next": next_url(request, "")}
    return render(request, template, context, status=status)


def _differences(stale: forms.Form, fresh: forms.Form) -> list[Typed]:
    rows = []
    for name, typed in stale.cleaned_data.items():
        field = stale.fields[name]
        saved = fresh.initial.get(name)
        if not field.widget.is_hidden and typed != saved:
            rows.append(Typed(field.label or name, _words(field, typed), _words(field, saved)))
    return rows


def _words(field: forms.Field, value: Any) -> str:
    if isinstance(field, forms.ChoiceField):
        pairs = cast("list[tuple[str, str]]", field.choices)  # flat lists in all forms of this app
        words = {str(key): str(word) for key, word in pairs}
        many = value if isinstance(value, (list, tuple)) else [value]
        return ", ".join(words.get(str(item), str(item)) for item in many)
    if isinstance(value, bool):
        return "✓" if value else "—"
    if isinstance(value, date):
        return value.isoformat()
    return str(field.prepare_value(value) or "—")
