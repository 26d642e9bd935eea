"""The work queue of the signed-in person: what waits, what is late, what is stuck (UX: home is a queue)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce

from accounts.models import User
from accounts.roles import Permission, Role
from approvals.changes.selectors.changes import looks_for
from approvals.disputes.selectors import keys_without_consent, open_doubts
from approvals.models import Request, Step
from approvals.requests.selectors.requests import RequestRow, my_requests, steps_for
from core.paging import COUNT_CAP, capped_count, count_text
from keys.models import LIVE, Key
from keys.terms.terms import end_of_day, office_day
from notifications.models import Message

LENGTH = 8
EXPIRY_DAYS = 14
COLLECT_WITHIN = timedelta(hours=24)
ENDED_LATELY = timedelta(days=14)
USABLE = (Key.Status.ACTIVE, Key.Status.RETIRING)


@dataclass(frozen=True, slots=True)
class Some:
    """The first few of a kind, and how many there are in all, counted up to core.paging.COUNT_CAP."""

    rows: Sequence[Any]
    total: int

    @property
    def n_more(self) -> int:
        """How many are not shown; 0 only where all are."""
        return self.total - len(self.rows)

    @property
    def total_text(self) -> str:
        """How many in all: `9`, or `1,000+`."""
        return count_text(self.total)

    @property
    def more_text(self) -> str:
        """How many are not shown: `1`, or `1,000+`."""
        return count_text(self.total if self.total >= COUNT_CAP else self.n_more)


@dataclass(frozen=True, slots=True)
class TroubledKey:
    """A key that wants something done: `state` is one of the badge table's."""

    key: Key
    state: str


@dataclass(frozen=True, slots=True)
class Home:
    """All that stands on the page. None: not this person's business."""

    waiting: Some | None
    mine: list[RequestRow] | None
    keys: Some
    stuck: Some | None
    failed: Some | None
    looks: Some
    doubts: Some | None
    consents: Some | None

    @property
    def is_quiet(self) -> bool:
        """Whether nothing at all is to be done."""
        lists = (self.waiting, self.keys, self.stuck, self.failed, self.looks, self.doubts, self.consents)
        return not self.mine and not any(some.total for some in lists if some)


def home_of(user: User, *, now: datetime) -> Home:
    """The person's home, in a number of queries that does not grow with rows."""
    makes, decides = user.may(Permission.MAKE_REQUESTS), user.may(Permission.DECIDE)
    guards = user.has_role(Role.SECURITY) or user.has_role(Role.ADMIN)
    mends = user.may(Permission.RETRY_MESSAGES)
    return Home(
        waiting=_some(_waiting(user)) if decides else None,
        mine=my_requests(user, since=now - ENDED_LATELY) if makes else None,
        keys=_keys_in_trouble(user, now),
        stuck=_some(_stuck()) if guards else None,
        failed=_some(Message.objects.filter(state=Message.State.FAILED)) if mends else None,
        looks=_some(looks_for(user, now=now)),
        doubts=_some(open_doubts()) if user.may(Permission.CLEAR_DOUBTS) or guards else None,
        consents=_some(keys_without_consent()) if guards else None,
    )


def _some(rows: QuerySet[Any]) -> Some:
    first = list(rows[: LENGTH + 1])
    total = len(first) if len(first) <= LENGTH else capped_count(rows)
    return Some(rows=first[:LENGTH], total=total)


def _waiting(user: User) -> QuerySet[Step]:
    return steps_for(user).select_related("request__partner", "request__requester", "revision")


def _stuck() -> QuerySet[Step]:
    """Open steps that nobody may decide, or whose mail came back (A2, A3)."""
    return (
        Step.objects.filter(state=Step.State.OPEN, request__state=Request.State.IN_REVIEW)
        .filter(Q(stuck_at__isnull=False) | Q(undeliverable_at__isnull=False))
        .select_related("request__partner", "contact")
        .order_by("opened_at", "id")
    )


def _keys_in_trouble(user: User, now: datetime) -> Some:
    """One's own keys; for those who keep watch over keys, all of them."""
    today = office_day(now)
    watches = user.has_role(Role.OPS) or user.has_role(Role.SECURITY)
    found = Key.objects.all() if watches else Key.objects.filter(owner=user)
    found = found.filter(
        LIVE,
        Q(status__in=USABLE, expires_at__lte=end_of_day(today + timedelta(days=EXPIRY_DAYS)))
        | Q(status__in=USABLE, rotation_due_on__lt=today)
        | Q(status=Key.Status.RETIRING)
        | Q(status=Key.Status.PENDING, issued_at__lte=now - COLLECT_WITHIN),
    )
    some = _some(found.select_related("partner").order_by(Coalesce("retires_at", "expires_at"), "id"))
    return replace(some, rows=[TroubledKey(key, _trouble(key, now)) for key in some.rows])


def _trouble(key: Key, now: datetime) -> str:
    if key.status == Key.Status.PENDING:
        return "undelivered"
    if key.rotation_due_on and key.rotation_due_on < office_day(now):
        return "rotation_late"
    return "retiring" if key.status == Key.Status.RETIRING else "expiring"
