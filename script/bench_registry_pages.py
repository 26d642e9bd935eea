"""Opens the pages of the registry that `script/bench registry` filled; says how long the database took."""

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlencode

import django

django.setup()

from django.conf import settings
from django.db import connection
from django.test import Client

from accounts.models import User
from core.paging import cursor_at
from keys.models import LIVE, Key
from keys.registry.selectors.registry import ORDERS, PAGE_SIZE
from tests.cast import sign_in

FILTERS = {
    "ended too": {"ended": "1"},
    "status": {"status": "suspended"},
    "environment": {"environment": "dev"},
    "revoked": {"status": "revoked"},
    "big partner": {"partner": "PT-0001"},
    "small partner": {"partner": "PT-0777"},
    "big owner": {"owner": "ST-0001"},
    "expiry": {"expiry": "30"},
    "unused": {"unused": "90"},
    "rotation late": {"rotation": "late"},
    "attention": {"attention": "1"},
}
ROWS = f"LIMIT {PAGE_SIZE + 1}"
SEARCHES = ["KB-0012345", "取引先 0777", "配送", "担当 042 fan", "zzz"]


def main(rounds: int) -> None:
    """Print a line for each page, and the slowest of all."""
    settings.ALLOWED_HOSTS = ["*"]
    client = sign_in(User.objects.get(pk=1))
    measure = Stopwatch(client, rounds)
    n_live = Key.objects.filter(LIVE).count()
    place = n_live * 2 // 3
    pages, searches = [], []
    for name, order in ORDERS.items():
        sign = "-" if order.descending else ""
        rows = (
            Key.objects.filter(LIVE)
            .order_by(f"{sign}{order.column}", f"{sign}id")
            .select_related("partner", "owner")
        )
        naive = median(partial(list, rows[place : place + PAGE_SIZE + 1]), 1)
        cursor = cursor_at(rows[place], order)
        pages += [
            measure(f"sort={name}, first page", "/keys/", sort=name),
            measure(
                f"sort={name}, at {place:,}", "/keys/", f"by OFFSET {naive:.0f}", sort=name, cursor=cursor
            ),
        ]
    for label, chosen in FILTERS.items():
        for sort in ("-number", "expiry", "-used", "partner"):
            pages.append(measure(f"{label}, sort={sort}", "/keys/", **chosen, sort=sort))
    searches += [measure(f"search {text}", "/keys/", q=text) for text in SEARCHES]
    for path in ("/", "/partners/PT-0001/", "/partners/PT-0777/", "/partners/"):
        pages.append(measure(path, path))
    print(f"registry page_ms {max(pages):.1f} search_ms {max(searches):.1f}")


def median(call: Callable[[], Any], rounds: int) -> float:
    """Milliseconds that a call takes."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1_000


class Stopwatch:
    """Opens pages some times each, and takes the time of what they ask of the database."""

    def __init__(self, client: Client, rounds: int) -> None:
        self.client = client
        self.rounds = rounds

    def __call__(self, label: str, path: str, note: str = "", **query: str) -> float:
        """Milliseconds of the query for a list's rows, else of all queries; the median, printed."""
        url = f"{path}?{urlencode(query)}" if query else path
        spent: list[tuple[float, str]] = []

        def execute(go_on: Any, sql: Any, *others: Any) -> Any:
            started = time.perf_counter()
            try:
                return go_on(sql, *others)
            finally:
                spent.append(((time.perf_counter() - started) * 1_000, str(sql)))

        rows, pages = [], []
        for _ in range(self.rounds + 1):
            spent.clear()
            before = worked()
            with connection.execute_wrapper(execute):
                answer = self.client.get(url)
            assert answer.status_code == 200, (url, answer.status_code)
            pages.append(worked() - before)
            rows.append(sum(ms for ms, sql in spent if sql.endswith(ROWS)))
        whole, own = statistics.median(pages[1:]), statistics.median(rows[1:])
        print(
            f"{label:36} rows {own:7.1f} ms  page {whole:7.1f} ms, {len(spent)} queries  {note}", flush=True
        )
        return own or whole


def worked() -> float:
    """Milliseconds that the database has worked on statements up to now (its own count)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute("SELECT active_time FROM pg_stat_database WHERE datname = current_database()")
        return float(cursor.fetchone()[0])


if __name__ == "__main__":
    main(int(sys.argv[1]))
