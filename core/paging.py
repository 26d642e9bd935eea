"""Keyset pages with a signed cursor: the hundred-thousandth page costs what the first does (K4)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.core import signing
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import F, Func, Model, QuerySet, TextField, Value
from django.db.models.lookups import GreaterThan, LessThan

SALT = "core.paging"
# Where a count ends: it never reads a million rows to say that there are many.
COUNT_CAP = 1_001
Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows, and the cursors to the pages beside them (None where there is none)."""

    rows: Sequence[Row]
    next_cursor: str | None
    previous_cursor: str | None


@dataclass(frozen=True, slots=True)
class Order:
    """One sort order: a column, or an annotation, and its direction. `id` breaks ties in the same direction.

    Columns must not be null. An index of `(column, id)` is what makes it fast, in both directions.
    """

    column: str
    descending: bool = False


def capped_count(rows: QuerySet[Any]) -> int:
    """How many, but at most COUNT_CAP."""
    return rows.order_by()[:COUNT_CAP].count()


def count_text(n: int) -> str:
    """`128`, or `1,000+` for a count that met its cap."""
    return f"{COUNT_CAP - 1:,}+" if n >= COUNT_CAP else f"{n:,}"


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
        next_cursor=cursor_at(found[-1], order, backwards=False) if found and has_next else None,
        previous_cursor=cursor_at(found[0], order, backwards=True) if found and has_previous else None,
    )


def _beyond(column: str, key: tuple[Any, int], *, descending: bool) -> GreaterThan | LessThan:
    """`ROW(column, id) > ROW(value, id)`: the index is entered at this very row.

    Written with AND and OR it would be entered at the first of the rows with this value, and a hundred
    thousand keys of one partner have one.
    """
    value, row_id = key
    here = Func(F(column), F("id"), function="ROW", output_field=TextField())
    there = Func(Value(value), Value(row_id), function="ROW", output_field=TextField())
    return (LessThan if descending else GreaterThan)(here, there)


def cursor_at(row: Model, order: Order, *, backwards: bool = False) -> str:
    """The cursor to the page that begins after this row, or ends before it."""
    state = [order.column, order.descending, backwards, getattr(row, order.column), row.pk]
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
