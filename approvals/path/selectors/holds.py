"""What of a request still stands behind a key: nothing in doubt, no consent taken back (A7, A9)."""

from django.db.models import Max, Q, QuerySet

from approvals.models import Decision, Doubt, KeyChange, Request
from keys.models import Key


def keys_behind(request: Request) -> list[Key]:
    """The keys that stand on a request's approvals: what it made, or what it has changed.

    A key whose change still waits for its time does not: it runs on what was approved before.
    """
    if request.key is not None:
        return [request.key]
    applied = KeyChange.objects.filter(request=request, state=KeyChange.State.APPLIED)
    change = applied.select_related("key__owner").first()
    return [change.key] if change else []


def is_in_doubt(key: Key) -> bool:
    """Whether any request that the key stands on has an answer in doubt, or a void one that still works (A7).

    Void is what is to be asked again and was not yet, and a change that could not be undone.
    """
    applied, verdict = Q(change__key=key, change__state=KeyChange.State.APPLIED), Doubt.Verdict
    behind = Request.objects.filter(Q(key=key) | applied)
    void = Q(ended_at=None, doubts__verdict=verdict.AGAIN) | (applied & Q(doubts__verdict=verdict.REJECTED))
    return behind.filter(Q(frozen_at__isnull=False) | void).exists()


def consents_behind(key: Key) -> QuerySet[Decision]:
    """The consents to what the key is, and to what was changed of it since."""
    changed = Q(request__change__key=key, request__change__state=KeyChange.State.APPLIED)
    given = Decision.objects.filter(contact__isnull=False, outcome=Decision.Outcome.APPROVE)
    return given.filter(Q(request__key=key) | changed)


def counts_for(consents: QuerySet[Decision], key: Key) -> QuerySet[Decision]:
    """Those of these consents that the key may run on: not taken back, and newer than any withdrawal (A9)."""
    last = consents_behind(key).aggregate(at=Max("withdrawal__withdrawn_at"))["at"]
    valid = consents.filter(
        contact__isnull=False, outcome=Decision.Outcome.APPROVE, fallen_at=None, withdrawal=None
    )
    return valid if last is None else valid.filter(decided_at__gt=last)


def is_consent_withdrawn(key: Key) -> bool:
    """Whether a consent that the key stands on was taken back, and none was given since (A9)."""
    consents = consents_behind(key)
    return consents.filter(withdrawal__isnull=False).exists() and not counts_for(consents, key).exists()
