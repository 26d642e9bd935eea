"""A form that met a sign-in on its way: its person sends it again, or goes back to its page."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from accounts.access import is_for_staff, require, sign_in_first
from accounts.kept import keep_form, kept_form


@require()
@require_safe
def form_kept(request: HttpRequest) -> HttpResponse:
    """What waits to be sent. Sending it is an ordinary POST to where it was going, judged there as ever."""
    kept = kept_form(request)
    if kept is None:
        return redirect("home")
    return render(request, "accounts/form_kept.html", {"kept": kept})


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001 - Django's signature
    """403 with words: the form came from elsewhere, or was too old; nothing was done.

    Every sign-in changes the token, also one in another window: then our own form is too old, and what was
    typed in it waits for its person. That it is our own the browser vouches for, where no script may lie.
    """
    if is_for_staff(request) and _is_from_here(request):
        if not request.user.is_authenticated:
            return sign_in_first(request)
        if keep_form(request):
            return redirect("accounts:form-kept")
    return render(request, "errors/csrf.html", status=403)


def _is_from_here(request: HttpRequest) -> bool:
    own = {f"{request.scheme}://{request.get_host()}", *settings.CSRF_TRUSTED_ORIGINS}
    return request.headers.get("Origin") in own
