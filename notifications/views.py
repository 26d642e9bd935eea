"""The page of notifications: what failed, what waits, what was sent, and "send again" (N1)."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.http import require_POST, require_safe

from accounts.access import require
from accounts.roles import Permission
from core.actors import actor_of
from core.paging import Order, keyset_page
from notifications.models import Message
from notifications.selectors import STATES, counts, latest_failed, messages_in, rows_of
from notifications.services import retry_message

PAGE_SIZE = 50
N_FAILED_SHOWN = 20
ORDER = Order("id", descending=True)


@require_safe
@require(Permission.SEE_MESSAGES)
def message_list(request: HttpRequest) -> HttpResponse:
    """What failed for good comes first. Texts and links are kept nowhere, so they are not here either."""
    state = request.GET.get("state", "")
    cursor = request.GET.get("cursor", "")
    now = timezone.now()
    if state not in Message.State.values:
        state = ""
    page = keyset_page(messages_in(state), order=ORDER, size=PAGE_SIZE, cursor=cursor)
    numbers = counts()
    on_top = [] if state or cursor else rows_of(latest_failed(N_FAILED_SHOWN), now=now)
    context = {
        "state": state,
        "tabs": [(value.value, value.label, numbers[value]) for value in STATES],
        "n_all": sum(numbers.values()),
        "n_failed": numbers[Message.State.FAILED],
        "failed": on_top,
        "page": page,
        "rows": rows_of(page.rows, now=now),
    }
    return render(request, "notifications/message_list.html", context)


@require_POST
@require(Permission.RETRY_MESSAGES)
def message_retry(request: HttpRequest, uid: UUID) -> HttpResponse:
    """Send one failed message again."""
    retry_message(actor=actor_of(request), uid=uid, now=timezone.now())
    messages.success(request, gettext("The notification is on its way again."))
    return redirect("notifications:message-list")
