"""The page of notifications: what failed, what waits, what was sent, and "send again" (N1)."""

import json
import re
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from accounts.access import require
from accounts.roles import Permission
from core.actors import actor_of
from core.paging import Order, keyset_page
from notifications.hooks import is_signed
from notifications.models import Message
from notifications.rendering import uid_in
from notifications.selectors import STATES, counts, latest_failed, messages_in, rows_of
from notifications.services import retry_message
from notifications.services.bounces import report_bounce

PAGE_SIZE = 50
N_FAILED_SHOWN = 20
ORDER = Order("id", descending=True)
STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}", re.ASCII)
LENGTH = re.compile(r"[0-9]{1,9}", re.ASCII)
LONGEST_REPORT = 16_384


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


@csrf_exempt  # a machine calls, with a signature and without a session
@require_POST
def bounce_hook(request: HttpRequest) -> HttpResponse:
    """A mail service reports a bounce: `{"message_id": …, "final": true, "status": "5.1.1"}`, signed (A3).

    404 unless BOUNCE_WEBHOOK_SECRET is set, 413 and 401 before anything is read, 422 for what is no report.
    A report that is signed and readable is 200, whatever it changed, so that nobody sends it again.
    """
    if not settings.BOUNCE_WEBHOOK_SECRETS:
        return _answer(404, "off")
    length = str(request.META.get("CONTENT_LENGTH", ""))
    if not LENGTH.fullmatch(length) or int(length) > LONGEST_REPORT:
        return _answer(413, "too_large")
    event_id, now = request.headers.get("webhook-id", ""), timezone.now()
    if not is_signed(
        body=request.body,
        event_id=event_id,
        timestamp=request.headers.get("webhook-timestamp", ""),
        signatures=request.headers.get("webhook-signature", ""),
        secrets=settings.BOUNCE_WEBHOOK_SECRETS,
        now=now,
    ):
        return _answer(401, "not_signed")
    try:
        report = json.loads(request.body)
    except (ValueError, RecursionError):
        return _answer(422, "not_json")
    if not _is_report(report):
        return _answer(422, "not_a_report")
    verdict = report_bounce(
        event_id=f"hook:{event_id}",
        uid=uid_in(report["message_id"]),
        is_final=report["final"],
        status=report.get("status", ""),
        now=now,
    )
    return _answer(200, verdict.value)


def _is_report(report: object) -> bool:
    if not isinstance(report, dict) or not isinstance(report.get("final"), bool):
        return False
    status = report.get("status", "")
    is_code = isinstance(status, str) and (not status or STATUS.fullmatch(status))
    return bool(is_code) and isinstance(report.get("message_id"), str)


def _answer(status: int, verdict: str) -> HttpResponse:
    return JsonResponse({"result": verdict}, status=status)
