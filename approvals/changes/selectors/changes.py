"""Changes of keys as pages show them: what a key has now, which way a change goes, its history (R3)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from django.conf import settings
from django.db.models import Q, QuerySet, Sum
from django.utils.functional import Promise

from accounts.models import User
from approvals.changes.differences import Direction, TermChange, changed_fields, diff_terms
from approvals.changes.use_wording import LIMITS, uses_of
from approvals.models import KeyChange, Request, Revision
from core.errors import Conflict
from keys.models import Key
from keys.terms.settings import require_unchanged, terms_of
from keys.terms.terms import KeyTerms, office_day
from keys.use.selectors.peaks import peaks_of

S = KeyChange.State
OPEN_STATES = (S.IN_REVIEW, S.SCHEDULED)


def present_terms(key: Key) -> KeyTerms:
    """The key's terms as they are now, with the contact who gave the rights-holder's consent last."""
    contact = ""
    if key.partner.needs_consent:
        contact = _last_consent(key) or _only_consent(key)
    return terms_of(key, consent_contact=contact)


def _last_consent(key: Key) -> str:
    made = Q(request__key=key) | Q(request__change__key=key, request__change__applied_at__isnull=False)
    revision = Revision.objects.filter(made).order_by("-id").first()
    contact = str(revision.terms["consent_contact"]) if revision else ""
    still_there = key.partner.contacts.filter(public_id=contact, is_active=True).exists()
    return contact if still_there else ""


def _only_consent(key: Key) -> str:
    found = list(key.partner.contacts.filter(is_active=True, purposes__contains=["consent"])[:2])
    return found[0].public_id if len(found) == 1 else ""


def direction_of(old: KeyTerms, new: KeyTerms, *, reactivates: bool) -> str:
    """`tightens` where every difference does, `loosens` otherwise, `""` where nothing differs.

    Who is told about the costs of a budget that is new belongs to that budget, and what replaces a key to the
    retirement that is new.
    """
    found = changed_fields(old, new)
    if not old.monthly_budget_usd and new.monthly_budget_usd and not old.billing_contact:
        found.pop("billing_contact", None)
    if not old.retires_at and new.retires_at:
        found.pop("replacement", None)
    if not found and not reactivates:
        return ""
    only_tightens = not reactivates and set(found.values()) == {Direction.TIGHTENS}
    way = KeyChange.Direction.TIGHTENS if only_tightens else KeyChange.Direction.LOOSENS
    return way.value


def change_of(request: Request) -> KeyChange | None:
    """What a request to change a key adds to it; None for a new key."""
    if request.kind != Request.Kind.CHANGE:
        return None
    changes = KeyChange.objects.select_related("key__recipient", "key__workspace", "ended_by", "looked_by")
    return changes.get(request=request)


def why_stale(change: KeyChange) -> list[str | Promise]:
    """What has happened to the key that keeps the change from being applied; empty when nothing has."""
    key = Key.objects.select_related(
        "partner", "workspace", "contract", "recipient", "billing_contact", "plan", "replacement"
    ).get(pk=change.key_id)
    if change.state not in OPEN_STATES:
        return []
    try:
        require_unchanged(key, terms_of(key), bytes(change.base_digest))
    except Conflict as conflict:
        return [conflict.message]
    return []


def difference_of(change: KeyChange, revision: Revision) -> list[TermChange]:
    """Old and new side by side: the terms that the change is based on, and those of its revision."""
    return diff_terms(KeyTerms.from_json(change.base), KeyTerms.from_json(revision.terms))


def difference_with_use(change: KeyChange, revision: Revision, *, now: datetime) -> list[TermChange]:
    """The difference, each limit with what the key really uses of it while the change is not in force."""
    found = difference_of(change, revision)
    if change.state not in OPEN_STATES or not any(line.field in LIMITS for line in found):
        return found
    uses = uses_of(KeyTerms.from_json(change.base), peaks_of(change.key, now=now))
    return [replace(line, used=uses.get(line.field, "")) for line in found]


# --- history ----------------------------------------------------------------------------------------------


def changes_of(key: Key, *, limit: int = 20) -> Sequence[KeyChange]:
    """The changes of a key that were submitted, newest first, each with its request."""
    found = key.changes.exclude(state=S.DRAFT).exclude(state=S.CLOSED, direction="")
    return list(found.select_related("request__requester", "ended_by", "looked_by")[:limit])


def looks_for(user: User, *, now: datetime) -> QuerySet[KeyChange]:
    """The applied changes at which this person is asked to look now, the oldest first."""
    return (
        KeyChange.objects.filter(state=S.APPLIED, looked_at=None, look_due_at__lte=now)
        .filter(Q(request__requester=user) | Q(key__owner=user))
        .select_related("request", "key__partner")
        .order_by("look_due_at", "id")
    )


@dataclass(frozen=True, slots=True)
class Side:
    """Calls in as many days before or after a change; the day of the change belongs to neither."""

    days: int
    n_allowed: int
    n_refused: int

    @property
    def a_day(self) -> int:
        """Calls let through on an average day."""
        return round(self.n_allowed / self.days) if self.days else 0

    @property
    def refused_percent(self) -> float:
        """The share of calls that were refused."""
        n = self.n_allowed + self.n_refused
        return round(100 * self.n_refused / n, 1) if n else 0.0


def before_and_after(change: KeyChange, *, now: datetime) -> tuple[Side, Side] | None:
    """Use of the key in as many days before the change as have passed since; None before it is in force."""
    if change.applied_at is None:
        return None
    day, today = office_day(change.applied_at), office_day(now)
    n_days = max(1, min((today - day).days, settings.CHANGE_PEAK_DAYS))
    return (
        _side(change.key, day - timedelta(days=n_days), n_days),
        _side(change.key, day + timedelta(days=1), n_days),
    )


def _side(key: Key, first: date, n_days: int) -> Side:
    rows = key.use_days.filter(day__gte=first, day__lt=first + timedelta(days=n_days))
    found = rows.aggregate(allowed=Sum("n_allowed"), refused=Sum("n_refused"))
    return Side(days=n_days, n_allowed=found["allowed"] or 0, n_refused=found["refused"] or 0)
