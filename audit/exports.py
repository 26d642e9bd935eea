"""Exports of events: CSV for people, JSON Lines for programs; making one is itself an event (L3)."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from django.db import transaction

from audit.actions import Action
from audit.models import Event
from audit.names import names_of
from audit.selectors import Filters, find_events
from audit.services import record
from core.actors import Actor
from core.exports import safe_cell

CHUNK = 1_000
HEADER = (
    "uid",
    "occurred_at_utc",
    "action",
    "actor_kind",
    "actor",
    "actor_name",
    "objects",
    "payload",
    "request_id",
    "sha256",
)


@transaction.atomic
def start_export(*, actor: Actor, filters: Filters, kind: str, now: datetime) -> Iterator[bytes]:
    """Record that these events leave the portal, then give them out, newest first, in pieces.

    `kind` is `csv` or `jsonl`. The rows are those that were there at this moment: the export's own event is
    not among them. Does not check who asks: the view does.
    """
    events = find_events(filters)
    newest = events.order_by("-id").values_list("id", flat=True).first() or 0
    record(
        Action.EXPORT_MADE,
        actor=actor,
        objects=["list:events"],
        payload={"kind": kind, "rows": events.count(), "filters": filters.as_query()},
        now=now,
    )
    return _csv(filters, newest) if kind == "csv" else _json_lines(filters, newest)


def _chunks(filters: Filters, newest: int) -> Iterator[list[Event]]:
    """By key and not by a server-side cursor, which would not live behind PgBouncer."""
    below = newest + 1
    while rows := list(find_events(filters).filter(id__lt=below).order_by("-id")[:CHUNK]):
        yield rows
        below = rows[-1].pk


def _json_lines(filters: Filters, newest: int) -> Iterator[bytes]:
    """One event a line, with its canonical bytes as they were recorded: `sha256` is theirs."""
    for rows in _chunks(filters, newest):
        yield b"".join(
            b'{"sha256":"%s","event":%s}\n' % (bytes(row.digest).hex().encode(), bytes(row.canonical))
            for row in rows
        )


def _csv(filters: Filters, newest: int) -> Iterator[bytes]:
    yield "\ufeff".encode() + _csv_rows([HEADER])
    for rows in _chunks(filters, newest):
        names = names_of(row.actor_ref for row in rows)
        yield _csv_rows(_cells(row, names.get(row.actor_ref, "")) for row in rows)


def _cells(event: Event, name: str) -> tuple[str, ...]:
    return (
        str(event.uid),
        event.occurred_at.astimezone(UTC).isoformat(),
        event.action,
        event.actor_kind,
        event.actor_ref,
        name,
        " ".join(event.objects_touched),
        json.dumps(event.payload, ensure_ascii=False),
        event.request_id,
        bytes(event.digest).hex(),
    )


def _csv_rows(rows: Iterable[tuple[str, ...]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerows([safe_cell(cell) for cell in row] for row in rows)
    return text.getvalue().encode()
