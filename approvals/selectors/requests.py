"""Lists of requests, each in a constant number of queries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet, Subquery

from accounts.models import User
from approvals.access import visible_requests
from approvals.models import Decision, Request, Step
from approvals.policy import STAFF_ROLES
from approvals.selectors.path import able_to_decide
from approvals.selectors.preview import staff_who_decide
from core.paging import Order, Page, keyset_page
from core.parsing import clean_text

PAGE_SIZE = 25
OPEN_STATES = (Request.State.DRAFT, Request.State.IN_REVIEW)
VIEWS = ("waiting", "mine", "review", "ended")


@dataclass(frozen=True, slots=True)
class Asked:
    """The open step of a request, and who may decide it: names, in the order of their numbers."""

    step: Step
    people: list[str]
    by_me: bool


@dataclass(frozen=True, slots=True)
class RequestRow:
    """A request as lists show it; `asked` is None unless it is in review."""

    request: Request
    asked: Asked | None


@dataclass(frozen=True, slots=True)
class RequestList:
    """One page of requests, and how many stand behind each view."""

    page: Page[Request]
    rows: list[RequestRow]
    counts: dict[str, int]


def steps_for(user: User) -> QuerySet[Step]:
    """The open steps that this person may decide now, oldest first (A1, A4)."""
    roles = [step_role for step_role, roles in STAFF_ROLES.items() if not roles.isdisjoint(user.roles)]
    if not roles:
        return Step.objects.none()
    decided = Decision.objects.filter(request=OuterRef("request"), staff=user)
    return (
        Step.objects.filter(state=Step.State.OPEN, role__in=roles, request__state=Request.State.IN_REVIEW)
        .filter(Q(people=[]) | Q(people__contains=[user.public_id]))
        .exclude(request__requester=user)
        .filter(~Exists(decided))
        .order_by("opened_at", "id")
    )


def count_waiting(user: User) -> int:
    """How many steps wait for this person: the number in the navigation."""
    return steps_for(user).count()


def list_requests(user: User, *, view: str, text: str = "", state: str = "", cursor: str = "") -> RequestList:
    """One page of what this person may see, in the order of the view."""
    found = _search(visible_requests(user), text)
    if state in Request.State.values:
        found = found.filter(state=state)
    views = {name: _in_view(found, user, name) for name in VIEWS}
    order = Order("opened_at") if view == "waiting" else Order("id", descending=True)
    page = keyset_page(_with_steps(views[view]), order=order, size=PAGE_SIZE, cursor=cursor)
    return RequestList(
        page=page,
        rows=rows_of(user, page.rows),
        counts={name: rows.count() for name, rows in views.items()},
    )


def _in_view(found: QuerySet[Request], user: User, view: str) -> QuerySet[Request]:
    if view == "waiting":
        mine = steps_for(user).order_by().filter(request=OuterRef("pk"))
        return found.annotate(opened_at=Subquery(mine.values("opened_at")[:1])).filter(
            opened_at__isnull=False
        )
    if view == "mine":
        return found.filter(requester=user)
    if view == "review":
        return found.filter(state=Request.State.IN_REVIEW)
    return found.exclude(state__in=OPEN_STATES)


def _search(found: QuerySet[Request], text: str) -> QuerySet[Request]:
    text = clean_text(text)[:120]
    if not text:
        return found
    return found.filter(
        Q(public_id__iexact=text)
        | Q(title__icontains=text)
        | Q(partner__name__icontains=text)
        | Q(partner__name_kana__icontains=text)
        | Q(requester__name__icontains=text)
    )


def _with_steps(found: QuerySet[Request]) -> QuerySet[Request]:
    open_steps = Step.objects.filter(state=Step.State.OPEN).select_related("contact")
    return found.select_related("partner", "requester", "key").prefetch_related(
        Prefetch("steps", queryset=open_steps, to_attr="open_steps"),
        Prefetch("decisions", queryset=Decision.objects.select_related("staff")),
    )


def rows_of(user: User, requests: Sequence[Request]) -> list[RequestRow]:
    """Rows for requests that `_with_steps` fetched, with one query for the people."""
    staff = staff_who_decide() if requests else {}
    return [RequestRow(request, _asked(user, request, staff)) for request in requests]


def _asked(user: User, request: Request, staff: dict[str, User]) -> Asked | None:
    steps: list[Step] = request.open_steps  # type: ignore[attr-defined]  # put there by _with_steps
    if not steps:
        return None
    if steps[0].contact:
        return Asked(step=steps[0], people=[steps[0].contact.name], by_me=False)
    decided = {decision.staff.public_id for decision in request.decisions.all() if decision.staff}
    able = able_to_decide(steps[0], request, staff, decided)
    return Asked(step=steps[0], people=[person.name for person in able], by_me=user in able)


def requests_of_partner(user: User, partner_pk: int, *, limit: int = 10) -> list[RequestRow]:
    """The partner's latest requests that this person may see."""
    found = _with_steps(visible_requests(user).filter(partner=partner_pk))
    return rows_of(user, list(found[:limit]))


def my_requests(user: User, *, since: datetime, limit: int = 10) -> list[RequestRow]:
    """The person's own requests that are open, or ended since then."""
    found = Request.objects.filter(requester=user).filter(Q(state__in=OPEN_STATES) | Q(ended_at__gte=since))
    return rows_of(user, list(_with_steps(found).order_by("-changed_at")[:limit]))
