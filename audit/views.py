"""The audit log's pages: the explorer, one event, the export (L3)."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe

from accounts.access import require
from accounts.roles import Permission
from audit.exports import start_export
from audit.forms import FilterForm
from audit.models import Event
from audit.names import names_of
from audit.selectors import (
    changes_of,
    check_event,
    facts_of,
    find_events,
    get_event,
    line_of,
    lines_of,
)
from audit.services import read_where
from audit.wording import ACTOR_KINDS
from core.actors import actor_of
from core.errors import Invalid, NotAllowed, NotFound
from core.paging import Order, keyset_page

PAGE_SIZE = 50
ORDER = Order("id", descending=True)
EXPORTS = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl; charset=utf-8"}


@require_safe
@require(Permission.SEE_AUDIT)
def event_list(request: HttpRequest) -> HttpResponse:
    """Events, newest first, narrowed by what stands in the URL."""
    form = FilterForm(request.GET)
    filters = form.filters()
    page = keyset_page(
        find_events(filters), order=ORDER, size=PAGE_SIZE, cursor=request.GET.get("cursor", "")
    )
    context = {
        "form": form,
        "chips": [(form.chip(name), _without(request, name)) for name in filters.as_query()],
        "page": page,
        "lines": lines_of(page.rows),
    }
    return render(request, "audit/event_list.html", context)


@require_safe
@require(Permission.SEE_AUDIT)
def event_detail(request: HttpRequest, uid: UUID) -> HttpResponse:
    """One event: who, from where, what changed, the exact bytes, and whether they still fit their digest."""
    event = _event(uid)
    refs = {event.actor_ref, str(event.payload.get("recipient", ""))}
    names = names_of(refs | {thing.partition(":")[2] for thing in event.objects_touched})
    context = {
        "event": event,
        "line": line_of(event, names),
        "actor_kind": ACTOR_KINDS.get(event.actor_kind, event.actor_kind),
        "where": read_where(event),
        "changes": changes_of(event),
        "facts": facts_of(event, names),
        "canonical": bytes(event.canonical).decode(),
        "check": check_event(event),
    }
    return render(request, "audit/event_detail.html", context)


@require_safe
@require(Permission.SEE_AUDIT)
def event_bytes(_request: HttpRequest, uid: UUID) -> HttpResponse:
    """The event's canonical bytes as a file, for `sha256sum`."""
    event = _event(uid)
    response = HttpResponse(bytes(event.canonical), content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="event-{event.uid}.json"'
    return response


@require_POST
@require(Permission.SEE_AUDIT)  # type: ignore[arg-type]  # a streamed response is none of Django's HttpResponse
def event_export(request: HttpRequest) -> HttpResponseBase:
    """The list as a file, with the filters of this URL: CSV, or JSON Lines with the canonical bytes."""
    if not request.user.may(Permission.EXPORT):  # type: ignore[union-attr]  # `require` let only staff in
        raise NotAllowed(_("Your roles do not allow exports."))
    kind = request.POST.get("format", "")
    form = FilterForm(request.GET)
    if kind not in EXPORTS or not form.is_valid():
        raise Invalid(_("These filters or this format can't be exported."))
    now = timezone.now()
    pieces = start_export(actor=actor_of(request), filters=form.filters(), kind=kind, now=now)
    response = StreamingHttpResponse(pieces, content_type=EXPORTS[kind])
    name = f"audit-{timezone.localtime(now):%Y%m%d-%H%M}.{kind}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    return response


def _without(request: HttpRequest, name: str) -> str:
    query = request.GET.copy()
    for gone in (name, "cursor"):
        query.pop(gone, None)
    return f"?{query.urlencode()}"


def _event(uid: UUID) -> Event:
    event = get_event(uid)
    if event is None:
        raise NotFound(_("There is no such event."))
    return event
