"""Half a year of daily use behind the demo's keys: the sparklines' data."""

import math
import random
from datetime import date, datetime, time, timedelta

from demo.calendar import TOKYO
from demo.wishes import Wish
from keys.models import Key, KeyUseDay, Secret
from keys.terms.terms import office_day

REFUSALS = (
    "RATE_LIMITED_MINUTE",
    "RATE_LIMITED_HOUR",
    "INSUFFICIENT_SCOPE",
    "IP_NOT_ALLOWED",
    "BURST_EXCEEDED",
)
ENDED_REFUSAL = {"revoked": "REVOKED", "expired": "EXPIRED", "suspended": "SUSPENDED"}
NORMAL_A_DAY = {"live": 2_400, "test": 120, "dev": 60}


def write_use(wishes: dict[str, Wish], *, now: datetime, rng: random.Random) -> int:
    """Daily use of every key that was collected, until it ended; returns how many days were written.

    Today counts as far as the day has gone. Also sets when keys and secrets were last used.
    """
    days: list[KeyUseDay] = []
    used: list[Key] = []
    for key in Key.objects.filter(activated_at__isnull=False).order_by("id"):
        rows = list(_days_of(key, wishes[key.public_id], now=now, rng=rng))
        days += rows
        allowed = [row for row in rows if row.n_allowed]
        if allowed:
            key.last_used_at = _last_moment(key, allowed[-1].day, now=now, rng=rng)
            used.append(key)
    KeyUseDay.objects.bulk_create(days, batch_size=2_000)
    Key.objects.bulk_update(used, ["last_used_at"], batch_size=200)
    last = {key.pk: key for key in used}
    secrets = list(Secret.objects.filter(key__in=last))
    for secret in secrets:
        key = last[secret.key_id]
        first = secret.created_at + timedelta(hours=rng.uniform(1, 40))
        secret.last_used_at = key.last_used_at
        secret.first_used_at = min(first, key.last_used_at or first)
    Secret.objects.bulk_update(secrets, ["first_used_at", "last_used_at"], batch_size=200)
    return len(days)


def _days_of(key: Key, wish: Wish, *, now: datetime, rng: random.Random) -> "list[KeyUseDay]":
    if key.activated_at is None:
        return []
    stopped = key.ended_at or key.suspended_at
    first, last = office_day(key.activated_at), office_day(stopped or now)
    if wish.fate == "unused":
        last = min(last, office_day(now) - timedelta(days=rng.randint(92, 120)))
    level = NORMAL_A_DAY[key.environment] * wish.busy
    trend, phase = rng.uniform(-0.25, 0.6), rng.uniform(0, 6.3)
    rows = []
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        n = level * _weight(day, key.environment) * (1 + trend * number / 180)
        n *= 1 + 0.18 * math.sin(number / 9 + phase) + rng.gauss(0, 0.08)
        if day == office_day(now):
            n *= _gone(now)
        rows.append(_row(key, day, max(0, int(n)), rng))
    if stopped and key.status in ENDED_REFUSAL:
        rows += _after_end(key, last, ENDED_REFUSAL[key.status], now=now, rng=rng)
    return rows


def _weight(day: date, environment: str) -> float:
    """Shops are busiest at weekends, developers are not there then."""
    if environment == "live":
        return (0.85, 0.82, 0.86, 0.93, 1.1, 1.35, 1.3)[day.weekday()]
    return (1, 1.1, 1.1, 1, 0.9, 0.05, 0.05)[day.weekday()]


def _gone(now: datetime) -> float:
    local = now.astimezone(TOKYO)
    return (local.hour * 60 + local.minute) / 1440


def _row(key: Key, day: date, n_allowed: int, rng: random.Random) -> KeyUseDay:
    by_code: dict[str, int] = {}
    if n_allowed > 50 and rng.random() < 0.18:
        by_code[rng.choice(REFUSALS)] = max(1, int(n_allowed * rng.uniform(0.0004, 0.006)))
    n_refused = sum(by_code.values())
    # The busiest hour has three times its share, the busiest minute twice the share of that.
    in_hour = min(key.rph or n_allowed, -(-n_allowed // 8))
    in_minute = min(key.rpm or in_hour, -(-in_hour // 30))
    return KeyUseDay(
        key=key,
        day=day,
        n_allowed=n_allowed,
        n_refused=n_refused,
        by_code=by_code,
        peak_minute=in_minute,
        peak_hour=in_hour,
        peak_burst=_at_once(key.burst, in_minute, full="BURST_EXCEEDED" in by_code, rng=rng),
        peak_concurrency=_at_once(key.concurrency, in_minute // 2, full=False, rng=rng),
    )


def _at_once(limit: int, n: int, *, full: bool, rng: random.Random) -> int:
    """What was used at once where about so many calls came together; 0 without a limit."""
    if not limit or not n:
        return 0
    return limit if full else min(limit, max(1, round(n * rng.uniform(0.3, 0.8))))


def _after_end(key: Key, last: date, code: str, *, now: datetime, rng: random.Random) -> list[KeyUseDay]:
    """Somebody forgot to take the key out: refused for some days, ever less."""
    rows, n = [], rng.choice((0, 0, 30, 180))
    day = last + timedelta(days=1)
    while n > 2 and day <= office_day(now):
        rows.append(KeyUseDay(key=key, day=day, n_refused=n, by_code={code: n}))
        n, day = int(n * rng.uniform(0.3, 0.7)), day + timedelta(days=1)
    return rows


def _last_moment(key: Key, day: date, *, now: datetime, rng: random.Random) -> datetime:
    evening = datetime.combine(day, time(23, 0), tzinfo=TOKYO) - timedelta(minutes=rng.randrange(300))
    latest = min(key.ended_at or now, key.suspended_at or now, now - timedelta(minutes=rng.randint(1, 50)))
    moment = min(evening, latest)
    return max(moment, key.activated_at) if key.activated_at else moment
