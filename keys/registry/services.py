"""Keeps the registry's search and orders true when a partner, a person or a product is renamed (K4)."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import F, OuterRef, Q, Subquery

from audit.actions import Action
from audit.models import Event
from keys.models import Key
from keys.status.names import NAMES, set_names

# The sweep runs every minute; it looks back for an hour, so that a worker that slept catches up.
LOOK_BACK = timedelta(hours=1)
RENAMES = (
    Action.PARTNER_CHANGED,
    Action.CONTACT_CHANGED,
    Action.WORKSPACE_CHANGED,
    Action.STAFF_PROFILE_CHANGED,
    Action.PRODUCT_CHANGED,
)
PATHS = {
    "partner": "partner__public_id",
    "contact": "recipient__public_id",
    "workspace": "workspace__public_id",
    "staff": "owner__public_id",
    "product": "products__code",
}
BATCH = 500
BATCH_OF_ORDERS = 5_000
SORTED_BY = {"partner_name": "partner__name", "owner_name": "owner__name"}


def refresh_names(*, now: datetime) -> int:
    """Write the names of keys anew (`keys.status.names`) that changed lately, by the events that tell of it.

    The apps that own partners and people stand below this one and know nothing of keys; their events are how
    it hears. Returns how many keys differed. Changes nothing else of a key, so no revision and no event.
    """
    concerned = _keys_concerned(now - LOOK_BACK)
    if concerned is None:
        return 0
    _refresh_orders(concerned)
    return sum(_refresh(batch) for batch in _batches(concerned))


def _refresh_orders(concerned: Q) -> None:
    """Write the names that lists are sorted by, set-based and first: a partner may have 100,000 keys."""
    for column, source in SORTED_BY.items():
        stale = Key.objects.filter(concerned).exclude(**{column: F(source)}).values_list("pk", flat=True)
        right = Subquery(Key.objects.filter(pk=OuterRef("pk")).values(source))
        while some := list(stale[:BATCH_OF_ORDERS]):
            Key.objects.filter(pk__in=some).update(**{column: right})


def _keys_concerned(since: datetime) -> Q | None:
    touched = Event.objects.filter(occurred_at__gte=since, action__in=RENAMES).values_list(
        "objects_touched", flat=True
    )
    refs = {ref for refs in touched for ref in refs}
    condition = None
    for kind, path in PATHS.items():
        numbers = [ref.partition(":")[2] for ref in refs if ref.startswith(f"{kind}:")]
        if numbers:
            found = Q(**{f"{path}__in": numbers})
            condition = found if condition is None else condition | found
    return condition


def _batches(condition: Q) -> Iterator[list[Key]]:
    last_id = 0
    ids = Key.objects.filter(condition).order_by("pk").values_list("pk", flat=True).distinct()
    while page := list(ids.filter(pk__gt=last_id)[:BATCH]):
        last_id = page[-1]
        yield list(
            Key.objects.filter(pk__in=page)
            .select_related("partner", "owner", "recipient", "workspace")
            .prefetch_related("products")
        )


def _refresh(keys: list[Key]) -> int:
    stale = [key for key in keys if set_names(key, products=key.products.all())]
    return Key.objects.bulk_update(stale, NAMES)
