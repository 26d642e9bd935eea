"""What security is called for: answers in doubt, keys whose consent is gone, keys issued in an emergency."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q, QuerySet

from approvals.models import Doubt, Emergency, KeyChange, Request
from keys.models import Key


def open_doubts() -> QuerySet[Doubt]:
    """Answers that were reported as "not me" and not looked into yet, oldest first (A7)."""
    return (
        Doubt.objects.filter(verdict="")
        .select_related("request__partner", "decision__step", "decision__staff", "decision__contact")
        .order_by("raised_at", "id")
    )


def keys_without_consent() -> QuerySet[Key]:
    """Keys that stopped because their consent was withdrawn, neither revoked nor consented to anew."""
    held = Key.objects.filter(held_for__contains=[Key.Hold.CONSENT], status=Key.Status.SUSPENDED)
    return held.select_related("partner").order_by("suspended_at", "id")


def keys_behind(request: Request) -> list[Key]:
    """The keys that stand on a request's approvals: what it made, or what it changes or has changed."""
    if request.key is not None:
        return [request.key]
    done = (KeyChange.State.SCHEDULED, KeyChange.State.APPLIED)
    change = KeyChange.objects.select_related("key__owner").filter(request=request, state__in=done).first()
    return [change.key] if change else []


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
