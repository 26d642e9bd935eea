"""Making a request: the partner, the form, and beside it which approvals it will need (R1, R2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.html import strip_tags
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import require, signed_in
from accounts.roles import Permission
from approvals.access import find_request, require_requester
from approvals.changes.services.changing import Wish
from approvals.models import Request
from approvals.requests.change_form import ChangeForm, ChangePanel, change_panel, present_of
from approvals.requests.drafts import is_same, is_too_long, limits_of, marks_of, posted_by, touched
from approvals.requests.form import RequestForm
from approvals.requests.form_parts import parts_of
from approvals.requests.selectors.options import Options
from approvals.requests.selectors.preview import Preview, preview_path
from approvals.requests.selectors.revisions import asked_for
from approvals.requests.selectors.warnings import Warnings, find_warnings
from approvals.requests.services.requests import content_of, save_draft, start_draft, submit_request
from core.actors import actor_of
from core.errors import Conflict, Invalid
from keys.terms.checks import Problem
from keys.terms.terms import office_day
from partners.access import find_partner
from partners.selectors import list_partners

# What a draft may lack that stands elsewhere: kept first, then added, then back to the form.
DETOURS = {
    "add-contract": "partners:contract-add",
    "add-contact": "partners:contact-add",
    "add-workspace": "partners:workspace-add",
}


@require_http_methods(["GET", "POST"])
@require(Permission.MAKE_REQUESTS)
def request_new(request: HttpRequest) -> HttpResponse:
    """Choose whom the key is for; the draft begins with the POST."""
    user = signed_in(request)
    if request.method == "POST":
        partner = find_partner(user, request.POST.get("partner", "").replace("\0", ""))
        draft = start_draft(actor=actor_of(request), by=user, partner=partner, now=timezone.now())
        return redirect("approvals:request-edit", number=draft.public_id)
    number, text = request.GET.get("partner", ""), request.GET.get("q", "")
    context = {
        "chosen": find_partner(user, number) if number else None,
        "text": text,
        "found": list_partners(text=text, cursor=request.GET.get("cursor", "")),
    }
    return render(request, "approvals/request_new.html", context)


@require_http_methods(["GET", "POST"])
@require(Permission.MAKE_REQUESTS)
def request_edit(request: HttpRequest, number: str) -> HttpResponse:
    """The form: saved as it is, or submitted when it is whole."""
    draft = find_request(signed_in(request), number)
    require_requester(signed_in(request), draft)
    if request.method == "POST":
        return _answer(request, draft)
    if not draft.is_editable:
        return redirect("approvals:request-detail", number=number)
    # Sent back from issuing it in an emergency: with what is missing beside its fields.
    form = judged_form(draft) if "check" in request.GET else _shown(draft, draft.draft)
    return _form_page(request, draft, form)


def _answer(request: HttpRequest, draft: Request) -> HttpResponse:
    typed = _form_class(draft).draft_from(request.POST)
    if not draft.is_editable or str(draft.version) != request.POST.get("version"):
        return _stale_page(request, draft, typed, _why_stale(draft))
    try:
        if request.POST.get("action") == "submit":
            return _submit(request, draft, typed)
        return _save(request, draft, typed)
    except Conflict as conflict:
        draft.refresh_from_db()
        return _stale_page(request, draft, typed, conflict.message)


def _save(request: HttpRequest, draft: Request, typed: dict[str, Any]) -> HttpResponse:
    is_emergency = request.POST.get("action") == "break-glass"
    if is_emergency or is_too_long(typed):
        form = _form(draft, request.POST)
        if not form.is_valid() or is_too_long(typed):
            return _refused(request, draft, form, typed)
    saved = _keep(request, draft, typed)
    if is_emergency:
        return redirect("approvals:emergency-issue", number=saved.public_id)
    detour = DETOURS.get(request.POST.get("action", ""))
    back = reverse("approvals:request-edit", args=[saved.public_id])
    if detour:
        target = reverse(detour, args=[draft.partner.public_id])
        return HttpResponseRedirect(f"{target}?{urlencode({'next': back})}")
    if draft.state == Request.State.DRAFT:
        messages.success(request, gettext("The draft is saved. Nobody has been asked yet."))
    else:
        messages.success(request, gettext("It is saved. Nobody is asked before you submit it."))
    return HttpResponseRedirect(back)


def _keep(request: HttpRequest, draft: Request, typed: dict[str, Any]) -> Request:
    return save_draft(
        actor=actor_of(request),
        by=signed_in(request),
        request=draft,
        version=draft.version,
        draft=typed,
        # What began with a mail is known by its subject until it has a name.
        title=typed["name"].strip() or draft.title,
        now=timezone.now(),
    )


def _refused(request: HttpRequest, draft: Request, form: RequestForm, typed: dict[str, Any]) -> HttpResponse:
    """422 with what is wrong. What was typed is kept as the draft first, so that nothing is lost."""
    if is_too_long(typed):
        form.add_error(None, gettext("One of the texts is too long to be kept. Shorten it first."))
    else:
        draft = _keep(request, draft, typed) if typed != draft.draft else draft
        messages.info(request, gettext("It is not submitted yet. What you typed is kept as the draft."))
    return _form_page(request, draft, form, status=422)


def _submit(request: HttpRequest, draft: Request, typed: dict[str, Any]) -> HttpResponse:
    form = _form(draft, request.POST)
    if not form.is_valid():
        return _refused(request, draft, form, typed)
    try:
        submit_request(
            actor=actor_of(request),
            by=signed_in(request),
            request=draft,
            version=draft.version,
            terms=form.terms,
            draft=typed,
            wish=_wish(request, form),
            now=timezone.now(),
        )
    except Invalid as problem:  # something that the form leans on changed between its check and the lock
        form.add_error(problem.field if problem.field in form.fields else None, str(problem.message))
        return _refused(request, draft, form, typed)
    if draft.submitted_at is None:
        messages.success(request, gettext("The request is submitted; the first approver was asked by mail."))
    else:
        messages.success(request, gettext("The request is submitted again. Only whom it concerns is asked."))
    return redirect("approvals:request-detail", number=draft.public_id)


@require_POST
@require(Permission.MAKE_REQUESTS)
def request_path_panel(request: HttpRequest, number: str) -> HttpResponse:
    """The panel beside the form, for what is typed now; changes nothing (R2)."""
    draft = find_request(signed_in(request), number)
    require_requester(signed_in(request), draft)
    form = _form(draft, request.POST)
    limits = _limits_of_new_plan(form)
    if limits:
        form = _form(draft, _replaced(request.POST, limits))
    context = {"panel": _panel(draft, form), "record": draft, "form": form, "fresh_limits": bool(limits)}
    context["parts"] = parts_of(form)
    return render(request, "approvals/partials/_path_answer.html", context)


def _limits_of_new_plan(form: RequestForm) -> dict[str, Any]:
    """The limits of a plan that was just chosen, unless somebody typed limits of their own."""
    form.full_clean()
    plans = {plan.code: plan for plan in form.options.plans}
    plan, before = plans.get(form.terms.plan), plans.get(form.data.get("plan_before", ""))
    if plan is None or plan == before:
        return {}
    names = ("rpm", "rph", "burst", "concurrency")
    if before and any(limits_of(before)[name] != getattr(form.terms, name) for name in names):
        return {}
    return {
        name: f"{value:,}" if isinstance(value, int) else value for name, value in limits_of(plan).items()
    }


def _replaced(data: QueryDict, values: Mapping[str, Any]) -> QueryDict:
    copy = data.copy()
    for name, value in values.items():
        copy[name] = value
    return copy


# --- pieces ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Panel:
    """What stands beside the form: the path to come, where less would do, what is still missing (R2).

    `missing`: where a field is, and its label; `problems`: what is wrong and belongs to no field.
    """

    preview: Preview
    excesses: Sequence[Problem]
    missing: Sequence[tuple[str, str | Promise]]
    problems: Sequence[str]
    warnings: Warnings
    difference: ChangePanel | None


def _panel(draft: Request, form: RequestForm) -> Panel:
    errors = form.errors  # judged once only: judging again would drop what was added since
    change = change_panel(form) if isinstance(form, ChangeForm) else None
    wish = form.wish(form.data.get("based_on", form.present.digest)) if isinstance(form, ChangeForm) else None
    preview = preview_path(
        draft,
        form.terms,
        form.registry,
        content=content_of(form.terms, wish),
        now=form.now,
        change=change.way if change else "none",
    )
    missing = [
        (form[name].id_for_label or form[name].auto_id, form.fields[name].label or "")
        for name in errors
        if name in form.fields
    ]
    own = form.present.key.pk if isinstance(form, ChangeForm) else draft.key_id
    warnings = find_warnings(form.terms, form.registry, reader=draft.requester, request=draft, besides=own)
    return Panel(
        preview=preview,
        # A field that is wrong says so itself: what it would be without that nobody has asked for.
        excesses=[
            (name, text)
            for name, text in [*preview.excesses, *(change.surpluses if change else [])]
            if name not in errors
        ],
        missing=missing,
        problems=[str(sentence) for sentence in form.non_field_errors()],
        warnings=warnings,
        difference=change,
    )


def _form(draft: Request, data: Any = None, options: Options | None = None) -> RequestForm:
    now = timezone.now()
    today = office_day(now)
    options = options or Options.read(draft.partner, today=today)
    if draft.kind == Request.Kind.CHANGE:
        present = present_of(draft, now=now)
        return ChangeForm(data, present=present, options=options, today=today, now=now)
    return RequestForm(data, options=options, today=today, now=now)


def _form_class(draft: Request) -> type[RequestForm]:
    return ChangeForm if draft.kind == Request.Kind.CHANGE else RequestForm


def _wish(request: HttpRequest, form: RequestForm) -> Wish | None:
    return form.wish(request.POST.get("based_on", "")) if isinstance(form, ChangeForm) else None


def judged_form(draft: Request) -> RequestForm:
    """The form with what a draft holds, as if it were submitted: whether it is whole, and its terms."""
    shown = _shown(draft, draft.draft)
    return _form(draft, RequestForm.data_from(shown.initial), shown.options)


def _shown(draft: Request, values: Mapping[str, Any], options: Options | None = None) -> RequestForm:
    """The form with a draft's values, not judged."""
    form = _form(draft, options=options)
    form.show(values)
    return form


def _form_page(
    request: HttpRequest, draft: Request, form: RequestForm, *, status: int = 200, **context: Any
) -> HttpResponse:
    judged = form if form.is_bound else _form(draft, form.data_from(form.initial), form.options)
    marks = marks_of(posted_by(_shown(draft, draft.draft, form.options)))
    context |= {"record": draft, "form": form, "panel": _panel(draft, judged), "marks": marks}
    context |= {"asked_for": asked_for(draft), "parts": parts_of(judged)}
    return render(request, "approvals/request_edit.html", context, status=status)


def _why_stale(draft: Request) -> str:
    if draft.state == Request.State.DRAFT:
        return gettext(
            "This draft was changed meanwhile, perhaps in another window. Nothing was overwritten."
        )
    if draft.is_editable:
        return gettext(
            "This request was changed meanwhile, perhaps in another window. Nothing was overwritten."
        )
    return gettext("This request is “%(state)s” now, so what you typed here was not saved.") % {
        "state": draft.get_state_display()
    }


def _stale_page(
    request: HttpRequest, draft: Request, typed: dict[str, Any], sentence: str | Promise
) -> HttpResponse:
    """409: what was changed here stays in the form and beside what is saved; the rest is what is saved."""
    shown = _shown(draft, draft.draft)
    saved = posted_by(shown)
    names = touched(typed, request.POST.get("opened", ""))
    changed = {name: value for name, value in typed.items() if name in names}
    form = _shown(draft, saved | changed, shown.options)
    context: dict[str, Any] = {"conflict": sentence, "differences": _differences(form, saved, changed)}
    if draft.is_editable:
        return _form_page(request, draft, form, status=409, **context)
    context["record"] = draft
    return render(request, "approvals/request_stale.html", context, status=409)


def _differences(
    form: RequestForm, saved: Mapping[str, Any], typed: Mapping[str, Any]
) -> list[tuple[str | Promise, str, str]]:
    """`(label, saved, typed)` of each field that differs; the text is empty where nothing is said."""
    return [
        (form.fields[name].label or name, _said(form, name, saved[name]), _said(form, name, value))
        for name, value in typed.items()
        if name in form.fields and name != "plan_before" and not is_same(saved[name], value)
    ]


def _said(form: RequestForm, name: str, value: Any) -> str:
    choices = {str(code): label for code, label in getattr(form.fields[name], "choices", [])}
    values = value if isinstance(value, list) else [value]
    if not any(values):
        return ""
    if values == ["on"]:
        return gettext("Yes")
    return ", ".join(_plain(choices.get(item, item)) for item in values)


def _plain(label: Any) -> str:
    # A choice drawn as a card has its short name in front of the first small line. What was typed is no card.
    return unescape(strip_tags(label.split("<small", 1)[0])) if isinstance(label, SafeString) else str(label)
