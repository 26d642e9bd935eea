"""The cast, made once in each test process by the ORM; later tests get its rows back in one statement.

Most tests ask for the cast, and twenty objects made one by one cost more than what many of them look at.
"""

import pickle
from dataclasses import dataclass

from django.db import IntegrityError, connection, transaction
from psycopg import sql

from tests.cast import Cast

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
    """What the first cast was (pickled: `deepcopy` takes ten times as long), and how its rows come back."""

    cast: bytes
    statement: str


_kept: Kept | None = None


def enter() -> Cast:
    """The cast on an otherwise unused stage; where a test put something in its place, one made by hand."""
    global _kept  # noqa: PLW0603 - one for each process, as the database is
    if _kept is None:
        before = {table: set(_rows(table)) for table in TABLES}
        cast = Cast()
        added = {table: [row for row in _rows(table) if row not in before[table]] for table in TABLES}
        _kept = Kept(pickle.dumps(cast), _statement(added))
        return cast
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_kept.statement)
    except IntegrityError:
        return Cast()
    again: Cast = pickle.loads(_kept.cast)
    return again


def _rows(table: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("SELECT row_to_json(t)::text FROM {} t").format(sql.Identifier(table)))
        return [row for (row,) in cursor.fetchall()]


def _statement(added: dict[str, list[str]]) -> str:
    """All of it in one way to the server and back."""
    insert = sql.SQL("INSERT INTO {0} SELECT * FROM json_populate_recordset(NULL::{0}, {1});")
    steps = [
        sql.SQL("SET CONSTRAINTS ALL DEFERRED;"),
        *[
            insert.format(sql.Identifier(table), sql.Literal(f"[{','.join(rows)}]"))
            for table, rows in added.items()
        ],
        sql.SQL("SET CONSTRAINTS ALL IMMEDIATE"),
    ]
    return sql.SQL("").join(steps).as_string()
