"""Home: the work queue of the signed-in person."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import require, signed_in
from approvals.home.selectors import home_of


@require_safe
@require()
def home(request: HttpRequest) -> HttpResponse:
    """What waits for me, what is mine, what is late, what is stuck."""
    user = signed_in(request)
    return render(request, "home.html", {"home": home_of(user, now=timezone.now())})
