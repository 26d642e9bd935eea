"""Adding the verifier's counters to the registry (V6): each batch once, whatever is sent twice."""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.conf import settings
from django.db import connection, transaction

from audit.actions import Action
from audit.services import record
from core.actors import SYSTEM
from core.ids import refs
from keys.models import Key, Secret, UseBatch
from keys.secrets.form import FAMILY_LENGTH
from keys.terms.terms import office_day
from keys.use.selectors.after_end import DEAD_CODES
from keys.use.services.addresses import note_addresses
from keys.use.services.after_end import tell_of_dead_use
from keys.use.services.outcomes import Outcome, note_outcomes
from keys.use.visits import Visit

ALLOWED = "VALID"

_ADD = """
INSERT INTO keys_keyuseday AS seen
  (key_id, day, n_allowed, n_refused, cost_micros, peak_burst, peak_concurrency, by_code)
SELECT * FROM unnest(
  %s::bigint[], %s::date[], %s::bigint[], %s::bigint[], %s::bigint[], %s::int[], %s::int[], %s::jsonb[])
ON CONFLICT (key_id, day) DO UPDATE SET
  peak_burst = greatest(seen.peak_burst, excluded.peak_burst),
  peak_concurrency = greatest(seen.peak_concurrency, excluded.peak_concurrency),
  cost_micros = seen.cost_micros + excluded.cost_micros,
  n_allowed = seen.n_allowed + excluded.n_allowed,
  n_refused = seen.n_refused + excluded.n_refused,
  by_code = (
    SELECT coalesce(jsonb_object_agg(code, total), '{}') FROM (
      SELECT code, sum(n::bigint) AS total
      FROM (SELECT * FROM jsonb_each_text(seen.by_code)
            UNION ALL SELECT * FROM jsonb_each_text(excluded.by_code)) AS both_sides (code, n)
      GROUP BY code
    ) AS added
  )
"""
# Windows come in their order; only the first of a batch may go on with the one that the row stands at. What
# comes late, from before that one, counts for the peak by itself.
_PEAK = """
UPDATE keys_keyuseday AS seen SET
  peak_{w} = greatest(
    seen.peak_{w}, new.peak, CASE WHEN new.first = seen.{w} THEN seen.n_in_{w} + new.n_first ELSE 0 END),
  n_in_{w} = CASE WHEN new.last > seen.{w} THEN new.n_last
                  WHEN new.last = seen.{w} THEN seen.n_in_{w} + new.n_last ELSE seen.n_in_{w} END,
  {w} = greatest(seen.{w}, new.last)
FROM unnest(%s::bigint[], %s::date[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
  AS new (key_id, day, first, n_first, last, n_last, peak)
WHERE seen.key_id = new.key_id AND seen.day = new.day
"""
_TOUCH = """
UPDATE {table} AS touched SET last_used_at = used.at
FROM unnest(%s::bigint[], %s::timestamptz[]) AS used (id, at)
WHERE touched.id = used.id
  AND (touched.last_used_at IS NULL OR touched.last_used_at <= used.at - make_interval(secs => %s))
"""


@dataclass(frozen=True, slots=True)
class Use:
    """How often one secret (its `key_id`) got one code in one minute (minutes since 1970).

    `address` is where from, empty where the gateway did not tell, or `*`: one of too many.
    """

    minute: int
    key_id: str
    code: str
    n: int
    address: str = ""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a key's calls of one minute cost, in millionths of a USD.

    Below 0 where less was spent than had been reserved. The key's `key_id`s all begin with `family`.
    """

    minute: int
    family: str
    micros: int


@dataclass(frozen=True, slots=True)
class Peak:
    """The most that calls of one secret used at once of `limit`: `burst` or `concurrency` (places held)."""

    minute: int
    key_id: str
    limit: str
    n: int


@transaction.atomic
def record_use(
    *,
    batch: str,
    uses: Iterable[Use],
    costs: Iterable[Cost] = (),
    peaks: Iterable[Peak] = (),
    outcomes: Iterable[Outcome] = (),
    now: datetime,
) -> bool:
    """Add a batch to the days of its keys, and note first and last use; False if it was added before.

    Set-based. `last_used_at` moves at most once per API_KEY_LAST_USED_TOUCH_INTERVAL_SECONDS; only uses that
    were allowed count for it. The first use of a secret is an event. Uses of secrets that the registry does
    not have are left out.
    """
    _, is_new = UseBatch.objects.get_or_create(uid=batch)
    if not is_new:
        return False
    uses, costs, outcomes = list(uses), list(costs), list(outcomes)
    keys = _lock_keys(
        {use.key_id[:FAMILY_LENGTH] for use in uses}
        | {cost.family for cost in costs}
        | {outcome.family for outcome in outcomes}
    )
    secrets = {
        secret.public_id: secret
        for secret in Secret.objects.filter(public_id__in={use.key_id for use in uses}).select_related("key")
    }
    known = [use for use in uses if use.key_id in secrets]
    spent = [(keys[cost.family], cost) for cost in costs if cost.family in keys]
    _add_days(known, secrets, spent, peaks)
    note_outcomes(outcomes, keys)
    dead = {secrets[use.key_id].key_id for use in known if use.code in DEAD_CODES}
    tell_of_dead_use(keys=dead, now=now)
    note_addresses(_visits(known, secrets, now), now=now)
    _note_peaks(known, secrets, "minute", minutes=1)
    _note_peaks(known, secrets, "hour", minutes=60)
    _note_last_use(known, secrets, now)
    return True


def _lock_keys(families: Collection[str]) -> dict[str, int]:
    """Database ids of the keys of these families, now locked.

    Keys first, and in their order, as everywhere: else a revocation and we wait for each other's rows.
    """
    found = Key.objects.select_for_update(no_key=True).filter(family__in=families)
    return dict(found.order_by("pk").values_list("family", "pk"))


def forget_batches(*, now: datetime) -> int:
    """Drop the ids of batches that can't come a second time any more: they are an hour old."""
    return UseBatch.objects.filter(drained_at__lt=now - timedelta(hours=1)).delete()[0]


def _add_days(
    uses: list[Use], secrets: dict[str, Secret], spent: Iterable[tuple[int, Cost]], peaks: Iterable[Peak]
) -> None:
    days: dict[tuple[int, date], Counter[str]] = defaultdict(Counter)
    micros: Counter[tuple[int, date]] = Counter()
    at_once: dict[str, Counter[tuple[int, date]]] = {"burst": Counter(), "concurrency": Counter()}
    for use in uses:
        days[secrets[use.key_id].key_id, office_day(_begin(use.minute))][use.code] += use.n
    for key, cost in spent:
        where = key, office_day(_begin(cost.minute))
        micros[where] += cost.micros
        days[where].update()  # a day of its own, where a call is settled the day after
    for peak in peaks:
        # Whatever used that much was let through in the same minute, and so is among `uses`.
        if peak.key_id in secrets:
            where = secrets[peak.key_id].key_id, office_day(_begin(peak.minute))
            at_once[peak.limit][where] = max(at_once[peak.limit][where], peak.n)
    if not days:
        return
    # In one order everywhere, so that two workers never wait for each other's rows in a circle.
    rows = sorted(days.items(), key=lambda item: item[0])
    with connection.cursor() as cursor:
        cursor.execute(
            _ADD,
            [
                [key for (key, _day), _codes in rows],
                [day for (_key, day), _codes in rows],
                [codes[ALLOWED] for _where, codes in rows],
                [codes.total() - codes[ALLOWED] for _where, codes in rows],
                [micros[where] for where, _codes in rows],
                [at_once["burst"][where] for where, _codes in rows],
                [at_once["concurrency"][where] for where, _codes in rows],
                [json.dumps(codes, sort_keys=True) for _where, codes in rows],
            ],
        )


def _visits(uses: list[Use], secrets: dict[str, Secret], now: datetime) -> dict[Secret, dict[str, Visit]]:
    visits: dict[Secret, dict[str, Visit]] = defaultdict(dict)
    for use in uses:
        if not use.address:
            continue
        visit = Visit(_begin(use.minute), min(now, _begin(use.minute + 1)))
        if use.code == ALLOWED:
            visit.n_allowed = use.n
        else:
            visit.n_refused = use.n
        mine = visits[secrets[use.key_id]]
        if use.address in mine:
            mine[use.address].add(visit)
        else:
            mine[use.address] = visit
    return visits


def _begin(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * 60, UTC)


def _note_peaks(uses: list[Use], secrets: dict[str, Secret], window: str, *, minutes: int) -> None:
    """Keep what the busiest minute and hour of each day came to: what a key really needs (R3)."""
    found: dict[tuple[int, date], Counter[int]] = defaultdict(Counter)
    for use in uses:
        if use.code == ALLOWED:
            day = office_day(_begin(use.minute))
            found[secrets[use.key_id].key_id, day][use.minute // minutes] += use.n
    if not found:
        return
    rows = []
    for (key, day), counts in sorted(found.items(), key=lambda item: item[0]):
        first, last = min(counts), max(counts)
        rows.append((key, day, first, counts[first], last, counts[last], max(counts.values())))
    with connection.cursor() as cursor:
        cursor.execute(_PEAK.format(w=window), [list(column) for column in zip(*rows, strict=True)])


def _note_last_use(uses: list[Use], secrets: dict[str, Secret], now: datetime) -> None:
    last: dict[str, int] = {}
    for use in uses:
        if use.code == ALLOWED:
            last[use.key_id] = max(use.minute, last.get(use.key_id, 0))
    # A minute is all that was counted; its end is nearer to the truth than its beginning, never too early.
    times = {key_id: min(now, _begin(minute + 1)) for key_id, minute in last.items()}
    _note_first_use([secrets[key_id] for key_id in sorted(times)], times, now)
    _touch("keys_secret", {secrets[key_id].pk: at for key_id, at in times.items()})
    _touch(
        "keys_key", {secrets[key_id].key_id: at for key_id, at in sorted(times.items(), key=lambda x: x[1])}
    )


def _touch(table: str, times: dict[int, datetime]) -> None:
    if not times:
        return
    ids = sorted(times)
    interval = settings.API_KEY_LAST_USED_TOUCH_INTERVAL_SECONDS
    with connection.cursor() as cursor:
        cursor.execute(_TOUCH.format(table=table), [ids, [times[pk] for pk in ids], interval])


def _note_first_use(secrets: list[Secret], times: dict[str, datetime], now: datetime) -> None:
    for secret in secrets:
        if secret.first_used_at is not None:
            continue
        at = times[secret.public_id]
        if Secret.objects.filter(pk=secret.pk, first_used_at=None).update(first_used_at=at):
            record(
                Action.KEY_FIRST_USED,
                actor=SYSTEM("verifier.drain_use"),
                objects=refs(secret.key),
                payload={"key_id": secret.public_id},
                now=now,
            )
