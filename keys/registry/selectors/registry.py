"""The registry's list: rows in a constant number of queries, orders, saved views with capped counts (K4)."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db.models import Prefetch, Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from core.paging import Order, Page, capped_count, count_text, keyset_page
from keys.models import LIVE, ApiProduct, Delivery, Key, Secret
from keys.registry.selectors.conditions import (
    EXPIRY_WARNING_DAYS,
    UNUSED_DAYS,
    Condition,
    NextDate,
    condition_of,
    needs_attention,
    next_date_of,
    unused_for,
)
from keys.rights.limits import Limits
from keys.rights.quarantine import limits_in_force
from keys.terms.terms import end_of_day, office_day
from keys.use.selectors.limits import Now, use_now
from keys.use.selectors.use import Use, use_of

PAGE_SIZE = 25
ENDED = (Key.Status.REVOKED, Key.Status.EXPIRED)


@dataclass(frozen=True, slots=True)
class Row:
    """One key as the list shows it."""

    key: Key
    hint: str
    products: Sequence[ApiProduct]
    condition: Condition
    next_date: NextDate
    use: Use
    now: Now | None
    limits: Limits


@dataclass(frozen=True, slots=True)
class SavedView:
    """A question that people ask every day: a link with its filters, and how many keys answer it."""

    name: str
    label: str | Promise
    query: str
    n: int
    is_current: bool

    @property
    def count_text(self) -> str:
        """The number, or `1,000+` from the cap on."""
        return count_text(self.n)


# --- orders ---------------------------------------------------------------------------------------------

ORDERS: dict[str, Order] = {
    "-number": Order("id", descending=True),
    "number": Order("id"),
    "expiry": Order("expires_at"),
    "-expiry": Order("expires_at", descending=True),
    "partner": Order("partner_name"),
    "-partner": Order("partner_name", descending=True),
    # Keys that were never used come first, as the ones unused for the longest time.
    "used": Order("used_hour"),
    "-used": Order("used_hour", descending=True),
    "owner": Order("owner_name"),
    "-owner": Order("owner_name", descending=True),
}
DEFAULT_ORDER = "-number"


@dataclass(frozen=True, slots=True)
class Column:
    """A head of the list: the order that a click asks for, and ARIA's word for the present one."""

    label: str | Promise
    sort: str = ""
    direction: str = ""
    css: str = ""


def columns(order: str) -> list[Column]:
    """The heads of the list, under this order."""
    order = order if order in ORDERS else DEFAULT_ORDER

    def column(label: str | Promise, name: str, css: str = "", *, first: str = "") -> Column:
        if order.lstrip("-") != name:
            return Column(label, f"{first}{name}", css=css)
        descending = order.startswith("-")
        other = name if descending else f"-{name}"
        return Column(label, other, "descending" if descending else "ascending", css)

    return [
        column(_("Partner / key"), "partner"),
        Column(_("Purpose")),
        Column(_("State")),
        column(_("Owner"), "owner", "hide-m"),
        column(_("Use in 30 days / last"), "used"),
        Column(_("This hour / limit"), css="hide-m c-limit"),
        column(_("Expires"), "expiry"),
    ]


def registry_page(
    keys: QuerySet[Key], *, order: str, cursor: str, one_name: Collection[str] = ()
) -> Page[Key]:
    """One page of keys with all that their rows need. An unknown order is the default one.

    By a name that all of the keys have, `one_name`, they stand by their numbers: said so, because the
    database would look for them among all keys in the order of all names.
    """
    keys = keys.select_related("partner", "owner", "plan", "workspace").prefetch_related(
        "products",
        "secrets",
        Prefetch(
            "deliveries",
            queryset=Delivery.objects.filter(state=Delivery.State.WAITING),
            to_attr="open_deliveries",
        ),
    )
    chosen = ORDERS.get(order, ORDERS[DEFAULT_ORDER])
    if order.lstrip("-") in one_name:
        chosen = replace(chosen, column="id")
    return keyset_page(keys, order=chosen, size=PAGE_SIZE, cursor=cursor)


def rows_of(keys: Sequence[Key], *, now: datetime) -> list[Row]:
    """The rows of a page from `registry_page`; one query more for the use, one round trip for the limits."""
    use, present = use_of(keys, now=now), use_now(keys, now=now)
    return [_row(key, use[key.pk], present.get(key.pk), now) for key in keys]


def _row(key: Key, use: Use, present: Now | None, now: datetime) -> Row:
    secrets = list(key.secrets.all())
    links: list[Delivery] = key.open_deliveries  # type: ignore[attr-defined]  # prefetched above
    live = next((secret for secret in secrets if secret.status == Secret.Status.LIVE), None)
    overlap = next((secret for secret in secrets if secret.status == Secret.Status.OVERLAP), None)
    waiting = links[0] if links else None
    return Row(
        key=key,
        hint=(live or secrets[0]).hint if secrets else "",
        products=list(key.products.all()),
        condition=condition_of(key, overlap=overlap, waiting=waiting, now=now),
        next_date=next_date_of(key, overlap=overlap, waiting=waiting, now=now),
        use=use,
        now=present,
        limits=limits_in_force(key, now),
    )


# --- saved views ---------------------------------------------------------------------------------------


def saved_views(user: User, *, current: str, now: datetime) -> list[SavedView]:
    """The tabs above the list. `current` is the query string of the page, without its order and cursor."""
    questions: list[tuple[str, str | Promise, str, Q]] = [
        ("all", _("All"), "", LIVE),
        ("attention", _("Needs attention"), "attention=1", needs_attention(now)),
        (
            "expiring",
            _("Expiring in 30 days"),
            "expiry=30",
            expiring_within(EXPIRY_WARNING_DAYS, now) & LIVE,
        ),
        (
            "unused",
            _("Unused for 90 days"),
            "unused=90",
            unused_for(now - timedelta(days=UNUSED_DAYS)),
        ),
        (
            "mine",
            _("Mine"),
            f"owner={user.public_id}",
            Q(owner=user) & LIVE,
        ),
    ]
    return [
        SavedView(name, label, query, capped_count(Key.objects.filter(condition)), query == current)
        for name, label, query, condition in questions
    ]


def expiring_within(days: int, now: datetime) -> Q:
    """Keys whose last day is at most this many days away."""
    return Q(expires_at__lte=end_of_day(office_day(now) + timedelta(days=days)))


# --- export --------------------------------------------------------------------------------------------


def export_rows(keys: QuerySet[Key]) -> Iterator[Key]:
    """All keys of a list for a file, in batches, with what the file's columns need."""
    return (
        keys.select_related("partner", "workspace", "owner", "plan", "recipient")
        .prefetch_related("products")
        .order_by("-id")
        .iterator(chunk_size=1_000)
    )
