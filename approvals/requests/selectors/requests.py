"""Lists of requests, each in a constant number of queries."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet

from accounts.models import User
from accounts.roles import Permission
from approvals.access import visible_requests
from approvals.models import Decision, Delegation, Request, RoleDeputy, StandingDeputy, Step
from approvals.path.bench import Bench, barring, refs_in, roles_in_common
from approvals.policies.rules import STAFF_ROLES
from core.paging import Order, Page, capped_count, keyset_page
from core.searching import with_words

PAGE_SIZE = 25
OPEN_STATES = (Request.State.DRAFT, Request.State.CHANGES_WANTED, Request.State.IN_REVIEW)
VIEWS = ("mine", "review", "ended")
SEARCHED = ("title", "partner__name", "partner__name_kana", "requester__name")


@dataclass(frozen=True, slots=True)
class Asked:
    """The open step of a request, and who is asked by mail: names, in the order of their numbers.

    `by_me`: whether the reader may decide it, asked or not.
    """

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
    """The open steps that this person may decide now, oldest first: their own, and those of people in
    whose place they are (A1, A4, A5)."""
    if not user.is_active or not user.may(Permission.DECIDE):
        return Step.objects.none()
    mine = Q(role__in=_step_roles(user.roles)) & _asks(user)
    for deputy in RoleDeputy.objects.filter(staff=user):
        mine |= Q(role__in=_step_roles([deputy.role]), deputies_at__isnull=False)
    for named in StandingDeputy.objects.filter(deputy=user).select_related("giver"):
        roles = roles_in_common(user, named.giver) if named.giver.is_active else []
        free = ~Q(request__requester=named.giver) & ~Q(Exists(_with_a_part(named.giver)))
        mine |= Q(role__in=_step_roles(roles), escalated_at__isnull=False) & _asks(named.giver) & free
    in_force = Delegation.objects.filter(deputy=user, began_at__isnull=False, ended_at=None)
    for delegation in in_force.select_related("giver"):
        giver = delegation.giver
        if giver.has_role(delegation.role):
            free = ~Q(request__requester=giver) & ~Q(Exists(_with_a_part(giver)))
            mine |= Q(role__in=_step_roles([delegation.role])) & _asks(giver) & free
    return (
        Step.objects.filter(mine, state=Step.State.OPEN, request__state=Request.State.IN_REVIEW)
        .filter(request__frozen_at=None)
        .exclude(request__requester=user)
        .filter(~Exists(_with_a_part(user)))
        .order_by("opened_at", "id")
    )


def _asks(user: User) -> Q:
    """Of the steps that name people, those that name this person."""
    return Q(people=[]) | Q(people__contains=[user.public_id])


def _step_roles(roles: Iterable[str]) -> list[str]:
    """The steps that any of these roles decides."""
    held = set(roles)
    return [step_role for step_role, deciding in STAFF_ROLES.items() if not deciding.isdisjoint(held)]


def _with_a_part(user: User) -> QuerySet[Decision]:
    """For Exists over steps: a decision by this person, or in their name, that bars them from the step."""
    bars = Q(fallen_at=None) | ~Q(step__role=OuterRef("role"))
    return Decision.objects.filter(bars, Q(staff=user) | Q(on_behalf_of=user), request=OuterRef("request"))


def count_waiting(user: User) -> int:
    """How many steps wait for this person: the number in the navigation."""
    return steps_for(user).count()


def list_requests(user: User, *, view: str, text: str = "", state: str = "", cursor: str = "") -> RequestList:
    """One page of what this person may see, in the order of the view."""
    found = with_words(visible_requests(user), text, texts=SEARCHED)
    if state in Request.State.values:
        found = found.filter(state=state)
    views = {name: _in_view(found, user, name) for name in VIEWS}
    order = Order("id", descending=True)
    page = keyset_page(_with_steps(views[view]), order=order, size=PAGE_SIZE, cursor=cursor)
    return RequestList(
        page=page,
        rows=rows_of(user, page.rows),
        counts={name: capped_count(rows) for name, rows in views.items()},
    )


def _in_view(found: QuerySet[Request], user: User, view: str) -> QuerySet[Request]:
    if view == "mine":
        return found.filter(requester=user)
    if view == "review":
        return found.filter(state__in=[Request.State.IN_REVIEW, Request.State.CHANGES_WANTED])
    return found.exclude(state__in=OPEN_STATES)


def _with_steps(found: QuerySet[Request]) -> QuerySet[Request]:
    open_steps = Step.objects.filter(state=Step.State.OPEN).select_related("contact")
    return found.select_related("partner", "requester", "key").prefetch_related(
        Prefetch("steps", queryset=open_steps, to_attr="open_steps"),
        Prefetch("decisions", queryset=Decision.objects.select_related("staff", "on_behalf_of", "step")),
    )


def rows_of(user: User, requests: Sequence[Request]) -> list[RequestRow]:
    """Rows for requests that `_with_steps` fetched, with three queries for the people."""
    bench = Bench.read() if requests else Bench({}, [], [])
    return [RequestRow(request, _asked(user, request, bench)) for request in requests]


def _asked(user: User, request: Request, bench: Bench) -> Asked | None:
    steps: list[Step] = request.open_steps  # type: ignore[attr-defined]  # put there by _with_steps
    if not steps:
        return None
    if steps[0].contact:
        return Asked(step=steps[0], people=[steps[0].contact.name], by_me=False)
    decided = refs_in(barring(steps[0], request.decisions.all()))
    return Asked(
        step=steps[0],
        people=[person.label for person in bench.asked(steps[0], decided)],
        by_me=any(person.user == user for person in bench.able(steps[0], decided)),
    )


def requests_of_partner(user: User, partner_pk: int, *, limit: int = 10) -> list[RequestRow]:
    """The partner's latest requests that this person may see."""
    found = _with_steps(visible_requests(user).filter(partner=partner_pk))
    return rows_of(user, list(found[:limit]))


def my_requests(user: User, *, since: datetime, limit: int = 10) -> list[RequestRow]:
    """The person's own requests that are open, or ended since then."""
    found = Request.objects.filter(requester=user).filter(Q(state__in=OPEN_STATES) | Q(ended_at__gte=since))
    return rows_of(user, list(_with_steps(found).order_by("-changed_at")[:limit]))
