"""How long steps took, how many were sent back, rejected or late: for a period, by role (A5).

Times are elapsed, nights and holidays included: that is what the requester waited.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Aggregate, Count, DurationField, ExpressionWrapper, F, Q, QuerySet
from django.utils.translation import gettext

from approvals.models import Request, Step, StepRole

CHANGES_WANTED = "changes_wanted"
DECIDED = (Step.State.APPROVED, Step.State.REJECTED, CHANGES_WANTED)
WAITED = ExpressionWrapper(F("ended_at") - F("opened_at"), output_field=DurationField())


class Percentile(Aggregate):
    """PostgreSQL's percentile_cont, which Django does not bring."""

    function = "PERCENTILE_CONT"
    template = "%(function)s(%(fraction)s) WITHIN GROUP (ORDER BY %(expressions)s)"

    def __init__(self, expression: ExpressionWrapper[Any], fraction: float) -> None:
        """`fraction` of 0.9: nine in ten took no longer."""
        super().__init__(expression, fraction=fraction, output_field=DurationField())


@dataclass(frozen=True, slots=True)
class StepNumbers:
    """The steps of one role, or of all (`role` empty), that were decided in a period.

    `median` and `nine_in_ten` are None where none was. `n_open` and `n_open_late` are as of now.
    """

    role: str
    label: str
    n_decided: int
    median: timedelta | None
    nine_in_ten: timedelta | None
    n_rejected: int
    n_sent_back: int
    n_late: int
    n_open: int
    n_open_late: int
    bar_median: int = 0
    bar_nine_in_ten: int = 0

    @property
    def share_sent_back(self) -> int:
        """Of 100 decided steps, how many were sent back or rejected."""
        return self._percent(self.n_rejected + self.n_sent_back)

    @property
    def share_late(self) -> int:
        """Of 100 decided steps, how many were decided after they were due."""
        return self._percent(self.n_late)

    def _percent(self, n: int) -> int:
        return round(100 * n / self.n_decided) if self.n_decided else 0


@dataclass(frozen=True, slots=True)
class Numbers:
    """One line a role that had something to do, in the order of the path, and all of them together."""

    rows: Sequence[StepNumbers]
    total: StepNumbers


BAR_WIDTH = 120


def step_numbers(*, since: datetime, until: datetime, now: datetime) -> Numbers:
    """The numbers of steps decided in `[since, until)`, in three queries however many there are."""
    decided = Step.objects.filter(
        state__in=DECIDED, opened_at__isnull=False, ended_at__gte=since, ended_at__lt=until
    )
    measures: dict[str, Any] = {
        "n_decided": Count("pk"),
        "median": Percentile(WAITED, 0.5),
        "nine_in_ten": Percentile(WAITED, 0.9),
        "n_rejected": Count("pk", filter=Q(state=Step.State.REJECTED)),
        "n_sent_back": Count("pk", filter=Q(state=CHANGES_WANTED)),
        "n_late": Count("pk", filter=Q(ended_at__gt=F("due_at"))),
    }
    found: Iterable[Mapping[str, Any]] = decided.order_by().values("role").annotate(**measures)
    by_role = {row["role"]: row for row in found}
    open_now = _open_by_role(now)
    longest = max((row["nine_in_ten"] for row in by_role.values()), default=timedelta())
    rows = [
        _line(role, by_role.get(role, {}), open_now.get(role, (0, 0)), longest)
        for role in StepRole
        if role in by_role or role in open_now
    ]
    opens = (sum(n for n, _late in open_now.values()), sum(late for _n, late in open_now.values()))
    return Numbers(rows=rows, total=_line("", decided.aggregate(**measures), opens, timedelta()))


def _open_by_role(now: datetime) -> dict[str, tuple[int, int]]:
    found: QuerySet[Step] = Step.objects.filter(
        state=Step.State.OPEN, request__state=Request.State.IN_REVIEW
    ).order_by()
    counted = found.values("role").annotate(n=Count("pk"), late=Count("pk", filter=Q(due_at__lt=now)))
    return {row["role"]: (row["n"], row["late"]) for row in counted}


def _line(role: str, measured: Mapping[str, Any], opens: tuple[int, int], longest: timedelta) -> StepNumbers:
    median, nine_in_ten = measured.get("median"), measured.get("nine_in_ten")
    return StepNumbers(
        role=role,
        label=str(StepRole(role).label) if role else gettext("All steps"),
        n_decided=measured.get("n_decided", 0),
        median=median,
        nine_in_ten=nine_in_ten,
        n_rejected=measured.get("n_rejected", 0),
        n_sent_back=measured.get("n_sent_back", 0),
        n_late=measured.get("n_late", 0),
        n_open=opens[0],
        n_open_late=opens[1],
        bar_median=_bar(median, longest),
        bar_nine_in_ten=_bar(nine_in_ten, longest),
    )


def _bar(length: timedelta | None, longest: timedelta) -> int:
    return max(1, round(BAR_WIDTH * (length / longest))) if length and longest else 0
