"""The limits that the keys of a workspace share (V2)."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.access import require, signed_in
from accounts.roles import Permission
from core.actors import actor_of
from core.errors import Conflict, Invalid
from keys.access import require_may_limit
from keys.workspaces.forms import WorkspaceLimitsForm
from keys.workspaces.selectors import workspace_page
from keys.workspaces.services.limits import limit_workspace
from partners.access import find_workspace


@require_http_methods(["GET", "HEAD", "POST"])
@require(Permission.SEE_KEYS)
def workspace_limits(request: HttpRequest, number: str) -> HttpResponse:
    """Show limits and use; give it other limits. 422 with errors, 409 with the limits as they are now."""
    user, now = signed_in(request), timezone.now()
    workspace = find_workspace(user, number)
    form = WorkspaceLimitsForm(initial=WorkspaceLimitsForm.values_of(workspace))
    status, conflict = 200, None
    if request.method == "POST":
        require_may_limit(user)
        form, status = WorkspaceLimitsForm(request.POST), 422
        if form.is_valid():
            try:
                limit_workspace(
                    actor=actor_of(request), by=user, workspace=workspace, now=now, **form.limits()
                )
            except Invalid as invalid:
                form.add_error(invalid.field, str(invalid.message))
            except Conflict as lost:
                workspace = find_workspace(user, number)
                form = WorkspaceLimitsForm(initial=WorkspaceLimitsForm.values_of(workspace))
                status, conflict = 409, lost.message
            else:
                messages.success(request, _("The limits are changed, and in force from the next call on."))
                return redirect("keys:workspace-limits", number)
    it = workspace_page(workspace, now=now)
    context = {"form": form, "workspace": workspace, "it": it, "conflict": conflict}
    return render(request, "keys/workspace_limits.html", context, status=status)
