"""The team: who is here, with which roles, and what each role may do (S1, S2)."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import services
from accounts.access import require, require_recent_second_factor, signed_in
from accounts.forms import DeactivateForm, InviteForm, RolesForm
from accounts.models import User
from accounts.roles import Permission, Role, permissions_of
from accounts.selectors import matrix_rows, staff_rows
from core.actors import actor_of
from core.errors import Invalid, NotFound


@require_safe
@require(Permission.SEE_STAFF)
def staff_list(request: HttpRequest) -> HttpResponse:
    """Everyone who is here, or who left, by role and name."""
    query, role, state = (request.GET.get(name, "").strip() for name in ("q", "role", "state"))
    role = role if role in Role.values else ""
    context = {
        "rows": staff_rows(query=query, role=role, state=state),
        "query": query,
        "role": role,
        "state": state,
        "roles": Role.choices,
    }
    return render(request, "accounts/staff_list.html", context)


@require_safe
@require(Permission.SEE_STAFF)
def staff_detail(request: HttpRequest, public_id: str) -> HttpResponse:
    """One person: roles, what follows from them, and (for administrators) changes."""
    return _staff_page(request, _person(public_id))


@require_POST
@require(Permission.MANAGE_STAFF)
@require_recent_second_factor
def staff_roles(request: HttpRequest, public_id: str) -> HttpResponse:
    """Give exactly the ticked roles."""
    person = _person(public_id)
    form = RolesForm(request.POST)
    if not form.is_valid():
        return _staff_page(request, person, roles_form=form, status=422)
    services.change_roles(
        actor=actor_of(request), user=person, roles=form.cleaned_data["roles"], now=timezone.now()
    )
    messages.success(request, gettext("The roles of %(name)s were saved.") % {"name": person.name})
    return redirect("accounts:staff-detail", public_id=public_id)


@require_http_methods(["GET", "POST"])
@require(Permission.MANAGE_STAFF)
@require_recent_second_factor
def staff_invite(request: HttpRequest) -> HttpResponse:
    """Make an account and mail the link to set a password."""
    form = InviteForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            person = services.invite_staff(actor=actor_of(request), now=timezone.now(), **form.cleaned_data)
        except Invalid as refusal:
            form.add_error(refusal.field, str(refusal.message))
        else:
            messages.success(request, gettext("%(name)s was invited by mail.") % {"name": person.name})
            return redirect("accounts:staff-detail", public_id=person.public_id)
    return render(request, "accounts/staff_invite.html", {"form": form}, status=422 if form.errors else 200)


@require_POST
@require(Permission.MANAGE_STAFF)
@require_recent_second_factor
def staff_renew_invitation(request: HttpRequest, public_id: str) -> HttpResponse:
    """Mail the link again to someone who has not used it."""
    person = services.renew_invitation(actor=actor_of(request), user=_person(public_id), now=timezone.now())
    messages.success(request, gettext("%(name)s was invited by mail.") % {"name": person.name})
    return redirect("accounts:staff-detail", public_id=public_id)


@require_http_methods(["GET", "POST"])
@require(Permission.MANAGE_STAFF)
@require_recent_second_factor
def staff_deactivate(request: HttpRequest, public_id: str) -> HttpResponse:
    """Close the account of someone who leaves."""
    person = _person(public_id)
    form = DeactivateForm(request.POST if request.method == "POST" else None, expected=person.public_id)
    if form.is_valid():
        services.deactivate_staff(
            actor=actor_of(request), user=person, reason=form.cleaned_data["reason"], now=timezone.now()
        )
        messages.success(request, gettext("The account of %(name)s is closed.") % {"name": person.name})
        return redirect("accounts:staff-detail", public_id=public_id)
    context = {"person": person, "form": form}
    return render(request, "accounts/staff_deactivate.html", context, status=422 if form.errors else 200)


@require_safe
@require(Permission.SEE_STAFF)
def permission_matrix(request: HttpRequest) -> HttpResponse:
    """Which role may do what: the same table that the code asks."""
    context = {"roles": list(Role), "rows": matrix_rows(), "mine": signed_in(request).roles}
    return render(request, "accounts/permission_matrix.html", context)


def _person(public_id: str) -> User:
    person = staff_rows(state="all").filter(public_id=public_id).first()
    if person is None:
        raise NotFound(_("There is no such person."))
    return person


def _staff_page(
    request: HttpRequest, person: User, *, roles_form: RolesForm | None = None, status: int = 200
) -> HttpResponse:
    context = {
        "person": person,
        "permissions": [p for p in Permission if p in permissions_of(person.roles)],
        "roles_form": roles_form or RolesForm(initial={"roles": person.roles}),
        "is_me": person == signed_in(request),
    }
    return render(request, "accounts/staff_detail.html", context, status=status)
