"""Keyset pages with a signed cursor: the hundred-thousandth page costs what the first does (K4)."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.core import signing
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model, Q, QuerySet

SALT = "core.paging"
Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows, and the cursors to the pages beside them (None where there is none)."""

    rows: Sequence[Row]
    next_cursor: str | None
    previous_cursor: str | None


@dataclass(frozen=True, slots=True)
class Order:
    """One sort order: a column and its direction. `id` breaks ties in the same direction.

    Columns must not be null; `value` reads the column from a row.
    """

    column: str
    descending: bool = False
    value: Callable[[Any], Any] | None = None

    def read(self, row: Model) -> Any:
        """The row's value in this order."""
        return self.value(row) if self.value else getattr(row, self.column)


def keyset_page(rows: QuerySet[Row], *, order: Order, size: int, cursor: str = "") -> Page[Row]:
    """One page of `rows` in `order`, beginning at `cursor` (from an earlier page; `""` is the first page).

    A cursor that was changed, or belongs to another order, is taken as the first page: a bookmarked URL
    should show something rather than fail.
    """
    backwards, key = _read(cursor, order)
    descending = order.descending != backwards
    if key is not None:
        rows = rows.filter(_beyond(order.column, key, descending=descending))
    sign = "-" if descending else ""
    found = list(rows.order_by(f"{sign}{order.column}", f"{sign}id")[: size + 1])
    more = len(found) > size
    found = found[:size]
    if backwards:
        found.reverse()
    has_next = more if not backwards else True
    has_previous = more if backwards else key is not None
    return Page(
        rows=found,
        next_cursor=_write(found[-1], order, backwards=False) if found and has_next else None,
        previous_cursor=_write(found[0], order, backwards=True) if found and has_previous else None,
    )


def _beyond(column: str, key: tuple[Any, int], *, descending: bool) -> Q:
    word = "lt" if descending else "gt"
    value, row_id = key
    # The first clause is redundant for logic, not for the planner: it bounds the index scan.
    return Q(**{f"{column}__{word}e": value}) & (
        Q(**{f"{column}__{word}": value}) | Q(**{column: value, f"id__{word}": row_id})
    )


def _write(row: Model, order: Order, *, backwards: bool) -> str:
    state = [order.column, order.descending, backwards, order.read(row), row.pk]
    return signing.dumps(state, salt=SALT, serializer=_Serializer)


def _read(cursor: str, order: Order) -> tuple[bool, tuple[Any, int] | None]:
    try:
        column, descending, backwards, value, row_id = signing.loads(
            cursor, salt=SALT, serializer=_Serializer
        )
    except (signing.BadSignature, ValueError):
        return False, None
    if (column, descending) != (order.column, order.descending):
        return False, None
    return bool(backwards), (value, int(row_id))


class _Encoder(DjangoJSONEncoder):
    """Django's cuts a time to milliseconds, and a page would then begin with the row that ended the last."""

    def default(self, o: Any) -> Any:
        return o.isoformat() if isinstance(o, datetime) else super().default(o)


class _Serializer:
    """JSON that keeps datetimes, dates and decimals readable by the database."""

    def dumps(self, obj: Any) -> bytes:
        return json.dumps(obj, cls=_Encoder, separators=(",", ":")).encode()

    def loads(self, data: bytes) -> Any:
        return json.loads(data)
