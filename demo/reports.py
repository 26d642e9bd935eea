"""From where the demo's keys are used, and how their calls ended, as gateways would have reported it."""

import random
from bisect import bisect_left
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from ipaddress import ip_network

from django.db.models import Sum

from keys.models import Key, KeyOutcomeDay, KeyUseDay, Secret, SeenAddress
from keys.terms.terms import office_day
from keys.use.visits import LATENCY_CLASSES

DAYS = 30
_N_TIMED = 60


def write_reports(*, now: datetime, rng: random.Random) -> int:
    """Addresses and outcomes for every key that was used; returns how many rows were written."""
    since = office_day(now) - timedelta(days=DAYS - 1)
    use: dict[int, list[KeyUseDay]] = defaultdict(list)
    for day in KeyUseDay.objects.filter(day__gte=since, n_allowed__gt=0).order_by("day"):
        use[day.key_id].append(day)
    totals = dict(KeyUseDay.objects.values_list("key").annotate(Sum("n_allowed")))
    seen: list[SeenAddress] = []
    outcomes: list[KeyOutcomeDay] = []
    secrets = Secret.objects.filter(last_used_at__isnull=False).select_related("key").order_by("id")
    for secret in secrets:
        seen += _addresses(secret, totals.get(secret.key_id, 0), rng)
    for key in Key.objects.filter(pk__in=use, environment="live").order_by("id"):
        typical = rng.choice((35, 80, 190, 420))
        outcomes += [_outcomes(day, typical, rng) for day in use[key.pk]]
    SeenAddress.objects.bulk_create(seen, batch_size=2_000)
    KeyOutcomeDay.objects.bulk_create(outcomes, batch_size=2_000)
    return len(seen) + len(outcomes)


def _addresses(secret: Secret, n_calls: int, rng: random.Random) -> list[SeenAddress]:
    first, last = secret.first_used_at, secret.last_used_at
    if first is None or last is None:
        return []
    network = ip_network(secret.key.ip_ranges[0] if secret.key.ip_ranges else "198.51.100.0/24", strict=False)
    numbers = rng.sample(range(network.num_addresses), min(rng.choice((1, 2, 2, 3)), network.num_addresses))
    rows = [
        SeenAddress(
            key=secret.key,
            secret=secret,
            address=str(network[number]),
            first_seen_at=first,
            last_seen_at=max(first, last - timedelta(hours=place * 5)),
            n_allowed=n_calls * (len(numbers) - place) * 2 // (len(numbers) * (len(numbers) + 1)),
        )
        for place, number in enumerate(numbers)
    ]
    if secret.key.ip_ranges and rng.random() < 0.2:
        stranger = SeenAddress(
            key=secret.key,
            secret=secret,
            address=f"192.0.2.{rng.randrange(1, 255)}",
            first_seen_at=last,
            last_seen_at=last,
            n_refused=rng.randrange(1, 12),
        )
        rows.append(stranger)
    return rows


def _outcomes(day: KeyUseDay, typical: int, rng: random.Random) -> KeyOutcomeDay:
    n = day.n_allowed
    errors = int(n * rng.uniform(0, 0.0012))
    missing = int(n * rng.uniform(0.001, 0.01))
    times = [int(rng.lognormvariate(0, 0.55) * typical) + 1 for _ in range(_N_TIMED)]
    classes: Counter[str] = Counter()
    for number, milliseconds in enumerate(times):
        # Each of the times drawn stands for its share of the day's calls.
        share = n * (number + 1) // _N_TIMED - n * number // _N_TIMED
        classes[str(LATENCY_CLASSES[bisect_left(LATENCY_CLASSES, milliseconds)])] += share
    statuses = Counter({"200": n - errors - missing, "404": missing, "502": errors})
    return KeyOutcomeDay(
        key_id=day.key_id,
        day=day.day,
        by_status=dict(+statuses),
        by_latency=dict(+classes),
        latency_ms_sum=sum(times) * n // _N_TIMED,
        latency_ms_max=max(times),
    )
