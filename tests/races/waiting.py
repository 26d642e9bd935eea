"""Who waits for whose lock."""

import time

from django.db import connection


def await_somebody_who_waits() -> None:
    """Until another connection of this database waits for a lock."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with connection.cursor() as cursor:
            # Within a transaction PostgreSQL shows the activity as it was when first asked.
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone()[0]:
                return
        time.sleep(0.02)
    raise AssertionError("nobody waits")
