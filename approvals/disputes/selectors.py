"""What security is called for: answers in doubt, keys whose consent is gone, keys issued in an emergency."""

from django.db.models import QuerySet

from approvals.models import Doubt
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
    held = Key.objects.filter(held_for__contains=[Key.Hold.CONSENT], status=Key.Status.SUSPENDED).exclude(
        held_for=[]
    )
    return held.select_related("partner").order_by("suspended_at", "id")
