"""The registry's list and its export (K4)."""

from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.access import require, signed_in
from accounts.roles import Permission
from audit.actions import Action
from audit.services import record
from core.actors import actor_of
from core.errors import Invalid
from core.exports import csv_response
from core.htmx import vary_on_htmx, wants_piece
from core.paging import capped_count, count_text
from keys.models import Key
from keys.registry.export import HEADER, cells_of
from keys.registry.filters import KeyFilter
from keys.registry.selectors import registry
from keys.secrets import pasted

EXPORT_LIMIT = 100_000


@require_safe
@require(Permission.SEE_KEYS)
def key_list(request: HttpRequest) -> HttpResponse:
    """The list, by filters and order of the URL; htmx gets the part below the filters."""
    piece, now = wants_piece(request), timezone.now()
    clean = _clean_query(request)
    if clean != request.GET.urlencode() and not piece:
        return HttpResponseRedirect(
            f"{reverse('keys:key-list')}?{clean}" if clean else reverse("keys:key-list")
        )
    filters = KeyFilter(request.GET, queryset=Key.objects.all())
    order = request.GET.get("sort", "")
    page = registry.registry_page(
        filters.qs, order=order, cursor=request.GET.get("cursor", ""), one_name=filters.one_name
    )
    query = _query_without(request, "sort", "cursor")
    context = {
        "filters": filters,
        "chips": list(filters.chips()),
        "page": page,
        "rows": registry.rows_of(page.rows, now=now),
        "views": registry.saved_views(signed_in(request), current=query, now=now),
        "total": count_text(capped_count(filters.qs)),
        "columns": registry.columns(order),
        "query": query,
        "any_keys": bool(page.rows) or Key.objects.exists(),
    }
    response = render(request, "keys/partials/_registry.html" if piece else "keys/key_list.html", context)
    if piece:
        response["HX-Push-Url"] = f"{reverse('keys:key-list')}?{clean}" if clean else reverse("keys:key-list")
    return vary_on_htmx(response)


@require_POST
@require(Permission.EXPORT)
def export(request: HttpRequest) -> HttpResponse:
    """The filtered list as a CSV file, and the event that says who took it (L1)."""
    keys = KeyFilter(request.GET, queryset=Key.objects.all()).qs
    if keys.order_by()[: EXPORT_LIMIT + 1].count() > EXPORT_LIMIT:
        raise Invalid(_("This list is too long for one file. Narrow it by a filter."))
    now = timezone.now()
    rows = [cells_of(key) for key in registry.export_rows(keys)]
    with transaction.atomic():
        record(
            Action.EXPORT_MADE,
            actor=actor_of(request),
            objects=["export:keys"],
            payload={"kind": "keys.csv", "rows": len(rows), "filters": _query_without(request, "cursor")},
            now=now,
        )
    name = f"api-keys-{timezone.localtime(now):%Y%m%d-%H%M}.csv"
    return csv_response(name, [str(word) for word in HEADER], rows)


def _clean_query(request: HttpRequest) -> str:
    """The query without empty values; a whole key typed into the search is cut down to its `key_id`.

    What stands in a URL stands in histories and logs. The key is not looked at any further.
    """
    pairs = [(name, value) for name, values in request.GET.lists() for value in values if value]
    return urlencode([(name, _public_part(value)) for name, value in pairs])


def _public_part(value: str) -> str:
    return pasted.key_id_in(value) or value


def _query_without(request: HttpRequest, *names: str) -> str:
    query = request.GET.copy()
    for name in names:
        query.pop(name, None)
    for name in [name for name, value in query.items() if not value]:
        query.pop(name)
    return query.urlencode()
