"""Empties the database after a test with real transactions, the append-only tables too.

Django's own flush can't: the audit log's triggers refuse TRUNCATE, and it would lose the rows that migrations
put in (policies, products). Only the tests do this, as the owner of the tables, and only for that moment.
"""

from typing import Any

from django.db import OperationalError, connection, transaction
from django.test import TransactionTestCase
from psycopg import errors, sql

from tests.tables import copy_in, copy_out

KEPT = {"django_migrations"}
N_DEADLOCKS = 5
_seeds: dict[str, bytes] = {}


def install() -> None:
    """Remember the rows that migrations made and take the place of Django's flush."""
    for table in _tables():
        rows = copy_out(table)
        if rows:
            _seeds[table] = rows
    setattr(TransactionTestCase, "_fixture_teardown", _empty)  # noqa: B010 - the stubs leave this hook out


def _empty(case: TransactionTestCase) -> None:
    """Empty it, once more where somebody who still writes waits for us as we wait for them."""
    for _ in range(N_DEADLOCKS):
        try:
            _empty_once()
        except OperationalError as error:
            if not isinstance(error.__cause__, errors.DeadlockDetected):
                raise
        else:
            return
    _empty_once()


def _empty_once() -> None:
    """DELETE from what holds rows: TRUNCATE makes new files for each table, empty or not."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '20s'")
        every = sql.SQL(", ").join(sql.Identifier(table) for table in _tables())
        # Waits for whoever still writes: what they commit later would be the next test's surprise.
        cursor.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(every).as_string())
        cursor.execute("SET LOCAL session_replication_role = replica")  # no foreign keys, no common triggers
        triggers = _always_triggers(cursor)
        for table, trigger in triggers:
            _alter(cursor, "ALTER TABLE {} DISABLE TRIGGER {}", table, trigger)
        for table in _filled_tables(cursor):
            cursor.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)).as_string())
        for table, rows in _seeds.items():
            copy_in(table, rows)
        for table, trigger in triggers:
            _alter(cursor, "ALTER TABLE {} ENABLE ALWAYS TRIGGER {}", table, trigger)


def _filled_tables(cursor: Any) -> list[str]:
    one = sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {})")
    each = [one.format(sql.Literal(table), sql.Identifier(table)) for table in _tables()]
    cursor.execute(sql.SQL(" UNION ALL ").join(each).as_string())
    return [table for (table,) in cursor.fetchall()]


def _tables() -> list[str]:
    return sorted(set(connection.introspection.django_table_names(only_existing=True)) - KEPT)


def _always_triggers(cursor: Any) -> list[tuple[str, str]]:
    cursor.execute(
        "SELECT c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
        "WHERE NOT t.tgisinternal AND t.tgenabled = 'A' AND c.relnamespace = 'public'::regnamespace"
    )
    return list(cursor.fetchall())


def _alter(cursor: Any, statement: str, table: str, trigger: str) -> None:
    cursor.execute(sql.SQL(statement).format(sql.Identifier(table), sql.Identifier(trigger)).as_string())
