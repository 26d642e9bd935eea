"""Emergencies in numbers, for the monthly review (A8)."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q

from approvals.models import Emergency


@dataclass(frozen=True, slots=True)
class EmergencyCounts:
    """Keys that were issued in an emergency in a period, and what became of them: for the monthly review."""

    n_issued: int
    n_completed: int
    n_late: int
    n_refused: int
    n_running: int


def count_emergencies(*, since: datetime, until: datetime) -> EmergencyCounts:
    """Emergencies broken from `since` until before `until`; `n_late` are those that missed their deadline."""
    found = Emergency.objects.filter(broken_at__gte=since, broken_at__lt=until)
    state = Emergency.State
    return EmergencyCounts(
        **found.aggregate(
            n_issued=Count("pk"),
            n_completed=Count("pk", filter=Q(state=state.COMPLETED)),
            n_late=Count("pk", filter=Q(late_at__isnull=False)),
            n_refused=Count("pk", filter=Q(state=state.REFUSED)),
            n_running=Count("pk", filter=Q(state=state.RUNNING)),
        )
    )
