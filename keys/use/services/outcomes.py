"""How calls ended, as gateways reported it, added up by key and day (V7)."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from django.db import connection

from keys.terms.terms import office_day

# What stands there and what comes, added up name by name.
_BOTH = """(
    SELECT coalesce(jsonb_object_agg(name, total), '{}') FROM (
      SELECT name, sum(n::bigint) AS total
      FROM (SELECT * FROM jsonb_each_text(seen.column)
            UNION ALL SELECT * FROM jsonb_each_text(excluded.column)) AS both_sides (name, n)
      GROUP BY name
    ) AS added
  )"""
_ADD = """
INSERT INTO keys_keyoutcomeday AS seen (key_id, day, by_status, by_latency, latency_ms_sum, latency_ms_max)
SELECT * FROM unnest(%s::bigint[], %s::date[], %s::jsonb[], %s::jsonb[], %s::bigint[], %s::bigint[])
ON CONFLICT (key_id, day) DO UPDATE SET
  by_status = BOTH_STATUS,
  by_latency = BOTH_LATENCY,
  latency_ms_sum = seen.latency_ms_sum + excluded.latency_ms_sum,
  latency_ms_max = greatest(seen.latency_ms_max, excluded.latency_ms_max)
"""
_ADD = _ADD.replace("BOTH_STATUS", _BOTH.replace("column", "by_status"))
_ADD = _ADD.replace("BOTH_LATENCY", _BOTH.replace("column", "by_latency"))


@dataclass(frozen=True, slots=True)
class Outcome:
    """One line of what was counted for a key (its family) in one minute (since 1970).

    `what` is `s200`: calls with that status, `l50`: calls of that class of latency, `ms`: the sum of
    latencies, or `max`: the longest.
    """

    minute: int
    family: str
    what: str
    n: int


@dataclass(slots=True)
class _Day:
    by_status: Counter[str] = field(default_factory=Counter)
    by_latency: Counter[str] = field(default_factory=Counter)
    latency_sum: int = 0
    latency_max: int = 0

    def add(self, what: str, n: int) -> None:
        if what == "ms":
            self.latency_sum += n
        elif what == "max":
            self.latency_max = max(self.latency_max, n)
        else:
            (self.by_status if what[0] == "s" else self.by_latency)[what[1:]] += n


def note_outcomes(outcomes: Iterable[Outcome], keys: Mapping[str, int]) -> None:
    """Add a batch's outcomes to the days of their keys. To be called within the batch's transaction.

    `keys` are the database ids by family; outcomes of other families are left out.
    """
    days: dict[tuple[int, date], _Day] = defaultdict(_Day)
    for outcome in outcomes:
        if outcome.family in keys:
            day = office_day(datetime.fromtimestamp(outcome.minute * 60, UTC))
            days[keys[outcome.family], day].add(outcome.what, outcome.n)
    if not days:
        return
    rows = [
        (key, day, json.dumps(one.by_status), json.dumps(one.by_latency), one.latency_sum, one.latency_max)
        for (key, day), one in sorted(days.items(), key=lambda item: item[0])
    ]
    with connection.cursor() as cursor:
        cursor.execute(_ADD, [list(column) for column in zip(*rows, strict=True)])
