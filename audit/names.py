"""The names behind public ids, looked up when a page is shown: events themselves hold no names (L4)."""

from collections.abc import Iterable
from itertools import groupby

from django.apps import apps
from django.db.models import Model, QuerySet
from django.urls import NoReverseMatch, reverse

# These models stand above this app, so they are asked for by name and not imported.
_SOURCES = {
    "ST": "accounts.User",
    "CO": "partners.Contact",
    "GW": "verifier.Gateway",
    "PT": "partners.Partner",
}
_PAGES = {
    "policy": "approvals:policy-detail",
    "key": "keys:key-detail",
    "request": "approvals:request-detail",
    "partner": "partners:partner-detail",
    "staff": "accounts:staff-detail",
    "gateway": "verifier:gateway-detail",
    "mail": "intake:mail-detail",
}
MOST_MATCHES = 200


def names_of(refs: Iterable[str]) -> dict[str, str]:
    """`{"ST-0001": "田中 美咲"}` for those that are known: one query a kind of thing."""
    names: dict[str, str] = {}
    for prefix, group in groupby(sorted(set(refs)), key=_prefix):
        if prefix in _SOURCES:
            rows = _rows(prefix).filter(public_id__in=list(group))
            names.update(rows.values_list("public_id", "name"))
    return names


def refs_named(text: str) -> list[str]:
    """The public ids of people and gateways whose name holds this text, or whose id it is."""
    refs = [text.upper()]
    for prefix in ("ST", "CO", "GW"):
        refs += _rows(prefix).filter(name__icontains=text).values_list("public_id", flat=True)[:MOST_MATCHES]
    return refs


def page_of(thing: str) -> str:
    """The page of `key:KB-0412`; `""` for things that have none."""
    kind, _, number = thing.partition(":")
    try:
        return reverse(_PAGES[kind], args=[number]) if kind in _PAGES else ""
    except NoReverseMatch:
        return ""


def _prefix(ref: str) -> str:
    return ref.partition("-")[0]


def _rows(prefix: str) -> QuerySet[Model]:
    rows: QuerySet[Model] = apps.get_model(_SOURCES[prefix])._default_manager.all()  # noqa: SLF001  # documented by Django
    return rows
