"""How a key's calls ended, as its gateways reported it (V7)."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from keys.models import Key, KeyOutcomeDay
from keys.terms.terms import office_day
from keys.use.selectors.use import SPARK_DAYS
from keys.use.visits import LATENCY_CLASSES

_FIRST_ERROR = 500


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The last 30 days of one key. Latencies in ms; median and 95th percentile are right to some 20 %."""

    by_status: Mapping[int, int]
    n_timed: int
    mean_ms: float
    median_ms: float
    percentile_95_ms: float
    longest_ms: int

    @property
    def n_reported(self) -> int:
        """Calls whose status was told."""
        return sum(self.by_status.values())

    @property
    def n_errors(self) -> int:
        """Those that ended with a mistake of the server."""
        return sum(n for status, n in self.by_status.items() if status >= _FIRST_ERROR)

    @property
    def error_percent(self) -> float:
        """Errors in a hundred calls."""
        return 100 * self.n_errors / self.n_reported if self.n_reported else 0.0


def outcomes_of(key: Key, *, now: datetime) -> Outcomes | None:
    """The outcomes of a key's last 30 days (Asia/Tokyo); None where no gateway reported any. One query."""
    since = office_day(now) - timedelta(days=SPARK_DAYS - 1)
    return add_up(KeyOutcomeDay.objects.filter(key=key, day__gte=since))


def add_up(days: Iterable[KeyOutcomeDay]) -> Outcomes | None:
    """Outcomes of several days together."""
    statuses, classes = Counter[str](), Counter[str]()
    total = longest = 0
    for day in days:
        statuses.update(day.by_status)
        classes.update(day.by_latency)
        total += day.latency_ms_sum
        longest = max(longest, day.latency_ms_max)
    n_timed = classes.total()
    if not statuses and not n_timed:
        return None
    return Outcomes(
        by_status={int(status): n for status, n in sorted(statuses.items())},
        n_timed=n_timed,
        mean_ms=total / n_timed if n_timed else 0.0,
        median_ms=_quantile(classes, 0.5, longest),
        percentile_95_ms=_quantile(classes, 0.95, longest),
        longest_ms=longest,
    )


def _quantile(classes: Counter[str], share: float, longest: int) -> float:
    """Where so many of the calls were faster: on a straight line through its class."""
    wanted, below = share * classes.total(), 0
    lower = 0
    for upper in LATENCY_CLASSES:
        n = classes[str(upper)]
        if n and below + n >= wanted:
            top = min(upper, longest)
            return lower + (max(top, lower) - lower) * (wanted - below) / n
        below += n
        lower = upper
    return float(longest)
