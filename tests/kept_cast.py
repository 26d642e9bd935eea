"""The cast, made once in each test process by the ORM; later tests get its rows back by COPY.

Most tests ask for the cast, and twenty objects made one by one cost more than what many of them look at.
"""

import copy
from dataclasses import dataclass

from django.db import IntegrityError, connection, transaction

from tests.cast import Cast
from tests.tables import copy_in, copy_out

TABLES = (
    "accounts_user",
    "partners_partner",
    "partners_contact",
    "partners_workspace",
    "partners_contract",
    "keys_apiproduct",
    "keys_scope",
    "keys_plan",
)


@dataclass
class Kept:
    """What the first cast was, and the rows that it added, by table."""

    cast: Cast
    rows: dict[str, bytes]


_kept: Kept | None = None


def enter() -> Cast:
    """The cast on an otherwise unused stage; where a test put something in its place, one made by hand."""
    global _kept  # noqa: PLW0603 - one for each process, as the database is
    if _kept is None:
        before = {table: set(copy_out(table).splitlines()) for table in TABLES}
        cast = Cast()
        rows = {
            table: b"".join(
                line + b"\n" for line in copy_out(table).splitlines() if line not in before[table]
            )
            for table in TABLES
        }
        _kept = Kept(copy.deepcopy(cast), rows)
        return cast
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
            for table, lines in _kept.rows.items():
                copy_in(table, lines)
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except IntegrityError:
        return Cast()
    return copy.deepcopy(_kept.cast)
