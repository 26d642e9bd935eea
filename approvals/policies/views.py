"""The approval policy: its versions, its editor, the dry run, and the second person's decision (A2)."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import ask_second_factor, has_recent_second_factor, require, second_factor_at, signed_in
from accounts.models import User
from accounts.roles import Permission
from accounts.second_factor import SecondFactorNeeded
from approvals.models import PolicyVersion, StepRole
from approvals.policies.forms import PolicyDecisionForm, PolicyEditor, change_typed, typed_post, typed_rules
from approvals.policies.lint import REFUSAL, WARNING
from approvals.policies.reader import FACTS
from approvals.policies.selectors.dry_run import dry_run
from approvals.policies.selectors.in_force import current_policy
from approvals.policies.selectors.policies import (
    differences,
    find_policy,
    findings_of,
    house_now,
    list_policies,
    loose_rules,
    row_of,
    steps_in_words,
)
from approvals.policies.services import (
    propose_policy,
    put_in_force,
    reject_policy,
    save_policy_draft,
    start_policy_draft,
    take_back_policy,
    who_may_decide,
    withdraw_policy,
)
from audit.selectors import timeline_of
from core.actors import actor_of
from core.errors import Conflict, Invalid, NotAllowed

READERS = (Permission.SEE_REQUESTS, Permission.MAKE_REQUESTS)
KEPT_ANSWER = "approvals.policy_answer"
State = PolicyVersion.State


@require_safe
@require(*READERS)
def policy_list(request: HttpRequest) -> HttpResponse:
    """The versions: in force, drafts, what waits for the second person, past."""
    user, now = signed_in(request), timezone.now()
    rows = list_policies(user, now=now)
    context = {
        "current": [row for row in rows if row.look == "current"],
        "in_force": current_policy(now),
        "waiting": [row for row in rows if row.look in {"proposed", "draft"}],
        "past": [row for row in rows if row.look in {"past", "rejected", "withdrawn"}],
    }
    return render(request, "approvals/policy_list.html", context)


@require_safe
@require(*READERS)
def policy_detail(request: HttpRequest, number: str) -> HttpResponse:
    """One version in words: which approvals, and why."""
    return _detail(request, find_policy(signed_in(request), number))


@require_safe
@require(Permission.SEE_REQUESTS)
def policy_dry_run(request: HttpRequest, number: str) -> HttpResponse:
    """What the version would have done to the last hundred requests."""
    policy = find_policy(signed_in(request), number)
    return render(request, "approvals/policy_dry_run.html", {"policy": policy, "run": dry_run(policy)})


# --- the author -------------------------------------------------------------------------------------------


@require_POST
@require(Permission.EDIT_POLICY)
def policy_copy(request: HttpRequest, number: str) -> HttpResponse:
    """A draft of one's own with the steps of this version."""
    user = signed_in(request)
    source = find_policy(user, number)
    draft = start_policy_draft(actor=actor_of(request), by=user, source=source, now=timezone.now())
    return redirect("approvals:policy-edit", str(draft))


@require_http_methods(["GET", "POST"])
@require(Permission.EDIT_POLICY)
def policy_edit(request: HttpRequest, number: str) -> HttpResponse:
    """The editor. Buttons that add, move and remove send everything along; only Save keeps it."""
    user = signed_in(request)
    policy = find_policy(user, number)
    _require_author(user, policy)
    if policy.state != State.DRAFT:
        return _detail(request, policy, conflict=gettext("It is no draft any more."), status=409)
    house = house_now()
    if request.method != "POST":
        return _edit_page(
            request, policy, PolicyEditor(typed_rules(loose_rules(policy)), policy.reason, house)
        )
    typed, reason = typed_post(request.POST), request.POST.get("reason", "")
    act = request.POST.get("act", "")
    if act:
        change_typed(typed, act, _chosen(request, act))
        return _edit_page(request, policy, PolicyEditor(typed, reason, house), is_unsaved=True)
    editor = PolicyEditor(typed, reason, house, is_bound=True)
    if not editor.is_valid():
        return _edit_page(request, policy, editor, status=422, is_unsaved=True)
    try:
        save_policy_draft(
            actor=actor_of(request),
            by=user,
            policy=policy,
            version=_number(request, "version"),
            rules=editor.rules,
            reason=reason,
            now=timezone.now(),
        )
    except Conflict as conflict:
        policy.refresh_from_db()
        if policy.state != State.DRAFT:
            return _detail(request, policy, conflict=conflict.message, status=409)
        return _edit_page(request, policy, editor, status=409, is_unsaved=True, conflict=conflict.message)
    messages.success(request, gettext("The draft is saved."))
    return redirect("approvals:policy-detail", number)


@require_POST
@require(Permission.EDIT_POLICY)
def policy_propose(request: HttpRequest, number: str) -> HttpResponse:
    """Ask for the second person."""
    user = signed_in(request)
    policy = find_policy(user, number)
    reason = request.POST.get("reason", "")
    try:
        propose_policy(
            actor=actor_of(request),
            by=user,
            policy=policy,
            version=_number(request, "version"),
            reason=reason,
            now=timezone.now(),
        )
    except Invalid as invalid:
        policy = find_policy(user, number)
        return _detail(request, policy, problem=invalid.message, typed_reason=reason, status=422)
    except Conflict as conflict:
        return _detail(request, find_policy(user, number), conflict=conflict.message, status=409)
    names = ", ".join(person.name for person in who_may_decide(policy))
    messages.success(request, gettext("Proposed. %(names)s were asked.") % {"names": names})
    return redirect("approvals:policy-detail", number)


@require_POST
@require(Permission.EDIT_POLICY)
def policy_take_back(request: HttpRequest, number: str) -> HttpResponse:
    """Make a proposal a draft again."""
    conflict = _change_state(request, number, take_back_policy)
    return conflict or redirect("approvals:policy-edit", number)


@require_POST
@require(Permission.EDIT_POLICY)
def policy_withdraw(request: HttpRequest, number: str) -> HttpResponse:
    """Give a draft or a proposal up."""
    conflict = _change_state(request, number, withdraw_policy)
    if conflict is None:
        messages.success(
            request, gettext("%(number)s is withdrawn. It is kept as it was.") % {"number": number}
        )
    return conflict or redirect("approvals:policy-list")


def _change_state(
    request: HttpRequest, number: str, change: Callable[..., PolicyVersion]
) -> HttpResponse | None:
    """Do it; the page to show in its place where somebody else was quicker."""
    user = signed_in(request)
    try:
        change(
            actor=actor_of(request),
            by=user,
            policy=find_policy(user, number),
            version=_number(request, "version"),
            now=timezone.now(),
        )
    except Conflict as conflict:
        return _detail(request, find_policy(user, number), conflict=conflict.message, status=409)
    return None


# --- the second person ------------------------------------------------------------------------------------


@require_POST
@require(Permission.APPROVE_POLICY)
def policy_decide(request: HttpRequest, number: str) -> HttpResponse:
    """Put a proposal in force, or reject it; with the second factor."""
    user = signed_in(request)
    policy = find_policy(user, number)
    lines = findings_of(policy)
    form = PolicyDecisionForm(request.POST, has_warnings=bool(lines))
    if not form.is_valid():
        return _detail(request, policy, form=form, status=422)
    now = timezone.now()
    common: dict[str, Any] = {
        "actor": actor_of(request),
        "by": user,
        "policy": policy,
        "version": _number(request, "version"),
        "second_factor_at": second_factor_at(request),
        "now": now,
    }
    data = form.cleaned_data
    try:
        if data["answer"] == "reject":
            reject_policy(**common, reason=data["reason"])
        else:
            has_read = data.get("has_read_warnings", False)
            put_in_force(**common, instead_of=_number(request, "instead_of"), has_read_warnings=has_read)
    except SecondFactorNeeded:
        request.session[KEPT_ANSWER] = {**data, "policy": policy.number}
        return ask_second_factor(request, f"{policy_path(number)}#answer")
    except Invalid as invalid:
        field = invalid.field if invalid.field in form.fields else None
        form.add_error(field, str(invalid.message))
        return _detail(request, find_policy(user, number), form=form, status=422)
    except Conflict as conflict:
        return _detail(request, find_policy(user, number), conflict=conflict.message, status=409)
    request.session.pop(KEPT_ANSWER, None)
    if data["answer"] == "reject":
        messages.success(
            request, gettext("%(number)s is rejected. Its author was told.") % {"number": number}
        )
    else:
        messages.success(
            request, gettext("%(number)s is in force for every new request.") % {"number": number}
        )
    return redirect("approvals:policy-detail", number)


# --- pages ------------------------------------------------------------------------------------------------


def policy_path(number: str) -> str:
    """The address of a version's page."""
    return redirect("approvals:policy-detail", number).url


def _detail(
    request: HttpRequest,
    policy: PolicyVersion,
    *,
    status: int = 200,
    conflict: str | Promise = "",
    problem: str | Promise = "",
    typed_reason: str | None = None,
    form: PolicyDecisionForm | None = None,
) -> HttpResponse:
    user, now = signed_in(request), timezone.now()
    current = current_policy(now)
    is_open = policy.state in {State.DRAFT, State.PROPOSED}
    lines = findings_of(policy) if is_open or policy == current else []
    may_see_requests = user.may(Permission.SEE_REQUESTS)
    context = {
        "row": row_of(policy, current),
        "policy": policy,
        "current": current,
        "steps": steps_in_words(policy),
        "refusals": [line for line in lines if line.level == REFUSAL],
        "warnings": [line for line in lines if line.level == WARNING] if is_open else [],
        "coo_threshold": settings.COO_THRESHOLD_JPY,
        "is_open": is_open,
        "differences": differences(current, policy) if is_open else [],
        "run": dry_run(policy) if is_open and may_see_requests else None,
        "is_author": policy.author_id == user.pk and user.may(Permission.EDIT_POLICY),
        "deciders": [person.name for person in who_may_decide(policy)] if is_open else [],
        "form": form or _decision_form(request, user, policy, has_warnings=bool(lines)),
        "trusted": has_recent_second_factor(request),
        "conflict": conflict,
        "problem": problem,
        "reason": policy.reason if typed_reason is None else typed_reason,
        "timeline": timeline_of(f"policy:{policy}") if may_see_requests else [],
    }
    return render(request, "approvals/policy_detail.html", context, status=status)


def _decision_form(
    request: HttpRequest, user: User, policy: PolicyVersion, *, has_warnings: bool
) -> PolicyDecisionForm | None:
    """The form of somebody who may decide; filled with what was typed before the second factor."""
    if policy.state != State.PROPOSED or policy.author_id == user.pk:
        return None
    if not user.may(Permission.APPROVE_POLICY):
        return None
    kept = request.session.get(KEPT_ANSWER, {})
    initial = kept if kept.get("policy") == policy.number else {}
    return PolicyDecisionForm(has_warnings=has_warnings, initial=initial)


def _edit_page(
    request: HttpRequest,
    policy: PolicyVersion,
    editor: PolicyEditor,
    *,
    status: int = 200,
    is_unsaved: bool = False,
    conflict: str | Promise = "",
) -> HttpResponse:
    # After a conflict the form goes on carrying the version that it was opened with: saving again is no way
    # round the other window's work; opening the draft again is.
    version = _number(request, "version") if request.method == "POST" else policy.version
    context = {
        "policy": policy,
        "version": version,
        "editor": editor,
        "is_unsaved": is_unsaved,
        "conflict": conflict,
        "roles": StepRole.choices,
        "facts": [(name, kind.label) for name, kind in FACTS.items()],
    }
    return render(request, "approvals/policy_edit.html", context, status=status)


def _require_author(user: User, policy: PolicyVersion) -> None:
    if policy.author_id != user.pk:
        raise NotAllowed(gettext("Only its author may do this. Begin a draft of your own from it."))


def _chosen(request: HttpRequest, act: str) -> str:
    """What is chosen beside the button: the role of a new step, or the fact of a new condition."""
    name, _colon, place = act.partition(":")
    return request.POST.get("new-role" if name == "add" else f"new-fact-{place}", "")


def _number(request: HttpRequest, name: str) -> int:
    text = request.POST.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
