"""The page on which people whose role demands a second factor set one up (S1)."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from accounts.access import has_second_factor, require, signed_in
from accounts.roles import SECOND_FACTOR_ROLES


@require_safe
@require()
def set_up(request: HttpRequest) -> HttpResponse:
    """Why a second factor is needed, and the two ways to get one."""
    user = signed_in(request)
    if has_second_factor(user):
        return redirect("mfa_index")
    roles = [role.label for role in SECOND_FACTOR_ROLES if user.has_role(role)]
    return render(request, "accounts/second_factor.html", {"demanding_roles": roles})
