"""The queue of open steps: mine, my team's, the late ones, all; the first due on top (A5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypedDict

from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Coalesce

from accounts.models import User
from accounts.roles import Permission
from approvals.access import visible_requests
from approvals.changes.terms import label_of
from approvals.models import Request, Step, StepRole
from approvals.policies.rules import STAFF_ROLES
from approvals.requests.selectors.requests import SEARCHED, steps_for
from core.paging import Order, Page, capped_count, keyset_page
from core.searching import with_words
from keys.models import PurposeCategory

if TYPE_CHECKING:
    from django_stubs_ext import WithAnnotations

PAGE_SIZE = 25
VIEWS = ("mine", "team", "late", "all")
NEVER = datetime(9999, 1, 1, tzinfo=UTC)


class DueKey(TypedDict):
    """What `_by_due` adds to a step: its due time, or the end of days."""

    due_key: datetime


@dataclass(frozen=True, slots=True)
class QueueRow:
    """An open step in a list. `amount` is yen a month, 0 without a contract; `what_for` as it was typed."""

    step: Step
    request: Request
    purpose: str
    what_for: str
    amount: int
    is_late: bool
    may_decide: bool


@dataclass(frozen=True, slots=True)
class Queue:
    """One page of open steps, and how many stand behind each view that the person has."""

    page: Page[Step]
    rows: Sequence[QueueRow]
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a step stands in a person's own queue: its neighbours, and how many others wait."""

    previous: Step | None
    next: Step | None
    n_left: int


def views_of(user: User) -> tuple[str, ...]:
    """The views that make sense for this person: who decides nothing has no queue of their own."""
    return VIEWS if user.may(Permission.DECIDE) else VIEWS[2:]


def list_steps(
    user: User, *, view: str, text: str = "", role: str = "", cursor: str = "", now: datetime
) -> Queue:
    """One page of the open steps that this person may see, in a constant number of queries."""
    views = {name: _narrow(_in_view(user, name, now), text, role) for name in views_of(user)}
    order = Order("due_key")
    page = keyset_page(_with_request(views[view]), order=order, size=PAGE_SIZE, cursor=cursor)
    mine = set(steps_for(user).filter(pk__in=[step.pk for step in page.rows]).values_list("pk", flat=True))
    return Queue(
        page=page,
        rows=[_row(step, may_decide=step.pk in mine, now=now) for step in page.rows],
        counts={name: capped_count(rows) for name, rows in views.items()},
    )


def place_in_queue(user: User, step: Step) -> Place:
    """What comes before and after a step in the person's own queue, whether or not it still stands there.

    After the last one the first comes again: what was passed over is not lost.
    """
    others = _by_due(steps_for(user)).exclude(pk=step.pk).select_related("request")
    due = step.due_at or NEVER
    after = others.filter(Q(due_key__gt=due) | Q(due_key=due, pk__gt=step.pk))
    before = others.exclude(Q(due_key__gt=due) | Q(due_key=due, pk__gt=step.pk))
    return Place(
        previous=before.order_by("-due_key", "-id").first(),
        next=after.order_by("due_key", "id").first() or others.order_by("due_key", "id").first(),
        n_left=others.count(),
    )


def _in_view(user: User, view: str, now: datetime) -> QuerySet[Step]:
    if view == "mine":
        return _by_due(steps_for(user))
    found = _by_due(
        Step.objects.filter(
            state=Step.State.OPEN,
            request__state=Request.State.IN_REVIEW,
            request__frozen_at=None,  # nobody decides these until security has looked
            request__in=visible_requests(user),
        )
    )
    if view == "team":
        roles = [role for role, held in STAFF_ROLES.items() if not held.isdisjoint(user.roles)]
        return found.filter(role__in=roles)
    return found.filter(due_at__lt=now) if view == "late" else found


def _by_due(found: QuerySet[Step]) -> "QuerySet[WithAnnotations[Step, DueKey]]":
    return found.annotate(due_key=Coalesce("due_at", Value(NEVER)))


def _narrow(found: QuerySet[Step], text: str, role: str) -> QuerySet[Step]:
    if role in StepRole.values:
        found = found.filter(role=role)
    texts = [f"request__{column}" for column in SEARCHED]
    return with_words(found, text, texts=texts, number="request__public_id")


def _with_request(found: QuerySet[Step]) -> QuerySet[Step]:
    return found.select_related("revision", "contact", "request__partner", "request__requester")


def _row(step: Step, *, may_decide: bool, now: datetime) -> QueueRow:
    terms = step.revision.terms
    return QueueRow(
        step=step,
        request=step.request,
        purpose=label_of(PurposeCategory, terms.get("purpose_category", "")),
        what_for=str(terms.get("purpose", "")),
        amount=int(terms.get("monthly_amount_jpy") or 0) if terms.get("contract") else 0,
        is_late=step.due_at is not None and step.due_at < now,
        may_decide=may_decide,
    )
