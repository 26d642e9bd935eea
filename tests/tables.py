"""Whole tables in and out by COPY, for what tests put back."""

from django.db import connection
from psycopg import sql


def copy_out(table: str) -> bytes:
    """The table's rows as PostgreSQL writes them, a line each."""
    statement = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))
    with connection.cursor() as cursor, cursor.cursor.copy(statement) as copy:
        return b"".join(bytes(block) for block in copy)


def copy_in(table: str, rows: bytes) -> None:
    """Add rows that `copy_out` gave."""
    statement = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))
    with connection.cursor() as cursor, cursor.cursor.copy(statement) as copy:
        copy.write(rows)
