"""Absences and deputies: who decides in another's place, and who may once nobody has answered (A5)."""

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe

from accounts.access import require, require_recent_second_factor, signed_in
from accounts.models import User
from accounts.roles import Permission
from approvals.deputies.forms import DelegationForm, RoleDeputyForm, StandingDeputyForm
from approvals.deputies.selectors import deputies_page, visible_delegations
from approvals.deputies.services.deputies import (
    add_role_deputy,
    end_delegation,
    give_delegation,
    name_standing_deputy,
    remove_role_deputy,
)
from approvals.models import DelegableRole
from core.actors import actor_of
from core.errors import Conflict, Invalid, NotFound

SEES = (Permission.DECIDE, Permission.SEE_AUDIT)


@require_safe
@require(*SEES)
def delegation_list(request: HttpRequest) -> HttpResponse:
    """While I'm away: my delegations, everybody's for those who may see them, and the roles' deputies."""
    return _page(request)


@require_POST
@require(Permission.DECIDE)
def delegation_give(request: HttpRequest) -> HttpResponse:
    """Hand one's roles to a deputy for some days: all of the chosen ones, or none."""
    user, now = signed_in(request), timezone.now()
    form = DelegationForm(request.POST, user=user, now=now)
    if not form.is_valid():
        return _page(request, form=form, status=422)
    deputy: User = form.cleaned_data["deputy"]
    try:
        with transaction.atomic():
            for role in form.cleaned_data["roles"]:
                give_delegation(
                    actor=actor_of(request),
                    giver=user,
                    deputy=deputy,
                    role=role,
                    starts_at=form.starts_at,
                    ends_at=form.ends_at,
                    note=form.cleaned_data["note"],
                    now=now,
                )
    except Invalid as invalid:
        form.add_error(invalid.field, str(invalid.message))
        return _page(request, form=form, status=422)
    messages.success(
        request, gettext("%(name)s is your deputy and was told by mail.") % {"name": deputy.name}
    )
    return redirect("approvals:delegation-list")


@require_POST
@require(Permission.DECIDE)
def standing_deputy(request: HttpRequest) -> HttpResponse:
    """Name one's standing deputy, another one, or nobody."""
    user = signed_in(request)
    form = StandingDeputyForm(request.POST, user=user)
    if not form.is_valid():
        return _page(request, standing_form=form, status=422)
    deputy: User | None = form.cleaned_data["deputy"]
    try:
        name_standing_deputy(actor=actor_of(request), giver=user, deputy=deputy, now=timezone.now())
    except Invalid as invalid:
        form.add_error(invalid.field, str(invalid.message))
        return _page(request, standing_form=form, status=422)
    if deputy is None:
        messages.success(request, gettext("You have no standing deputy now."))
    else:
        messages.success(request, gettext("%(name)s is your standing deputy.") % {"name": deputy.name})
    return redirect("approvals:delegation-list")


@require_POST
@require(*SEES)
def delegation_end(request: HttpRequest, number: str) -> HttpResponse:
    """End a delegation before its time."""
    user = signed_in(request)
    delegation = visible_delegations(user).filter(public_id=number).first()
    if delegation is None:
        raise NotFound(_("There is no such delegation."))
    end_delegation(actor=actor_of(request), by=user, delegation=delegation, now=timezone.now())
    messages.success(request, gettext("The delegation has ended."))
    return redirect("approvals:delegation-list")


@require_POST
@require(Permission.MANAGE_STAFF)
@require_recent_second_factor
def role_deputy_add(request: HttpRequest) -> HttpResponse:
    """Name somebody who may decide a role's escalated steps."""
    form = RoleDeputyForm(request.POST)
    if not form.is_valid():
        return _page(request, deputy_form=form, status=422)
    staff: User = form.cleaned_data["staff"]
    role = form.cleaned_data["role"]
    try:
        add_role_deputy(actor=actor_of(request), role=role, staff=staff, now=timezone.now())
    except (Invalid, Conflict) as refusal:
        form.add_error("staff", str(refusal.message))
        return _page(request, deputy_form=form, status=422)
    messages.success(request, gettext("%(name)s is a deputy now.") % {"name": staff.name})
    return redirect("approvals:delegation-list")


@require_POST
@require(Permission.MANAGE_STAFF)
@require_recent_second_factor
def role_deputy_remove(request: HttpRequest, role: str, public_id: str) -> HttpResponse:
    """Take a deputy of a role away."""
    staff = User.objects.filter(public_id=public_id).first()
    if staff is None:
        raise NotFound(_("There is no such person."))
    remove_role_deputy(actor=actor_of(request), role=role, staff=staff, now=timezone.now())
    messages.success(request, gettext("%(name)s is no deputy any more.") % {"name": staff.name})
    return redirect("approvals:delegation-list")


def _page(
    request: HttpRequest,
    *,
    form: DelegationForm | None = None,
    deputy_form: RoleDeputyForm | None = None,
    standing_form: StandingDeputyForm | None = None,
    status: int = 200,
) -> HttpResponse:
    user, now = signed_in(request), timezone.now()
    gives = any(user.has_role(role) for role in DelegableRole)
    context = {
        "page": deputies_page(user, now=now),
        "standing_form": (standing_form or StandingDeputyForm(None, user=user)) if gives else None,
        "form": form or DelegationForm(None, user=user, now=now),
        "gives": gives,
        "deputy_form": deputy_form or RoleDeputyForm(),
    }
    return render(request, "approvals/delegation_list.html", context, status=status)
