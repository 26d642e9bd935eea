"""A quarter of a year with Golden Week in it, played by the clock: who was told what, and when (A5)."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import transaction

from accounts.models import User
from accounts.services import deactivate_staff
from approvals.decisions.services.links import expire_links
from approvals.deputies.services.deputies import add_role_deputy, give_delegation, keep_delegations
from approvals.deputies.services.reminding import keep_time
from approvals.models import Decision, Request, StepReminder
from approvals.path.services.watching import watch_steps
from approvals.requests.services.requests import expire_requests
from core.actors import staff_actor
from core.business_time import office
from keys.models import Key
from notifications.models import Message
from tests.approvals.test_services_deciding import say
from tests.cast import Cast, make_contract, make_request, make_staff, open_step

pytestmark = [pytest.mark.django_db, pytest.mark.long]
TOKYO = ZoneInfo("Asia/Tokyo")
TOLD = ("step_requested", "step_reminder", "step_escalated", "step_stuck", "request_expired")
HOURS = (9, 12, 15, 17, 20)


def at(month: int, day: int, hour: int = 15) -> datetime:
    return datetime(2027, month, day, hour, tzinfo=TOKYO)


class Play:
    """The sweeps at fixed hours of every day, and what people do in between."""

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.deputy = make_staff("Deputy", "security")
        contract = make_contract(cast.company, starts_on=date(2027, 1, 1), ends_on=date(2028, 3, 31))
        self.terms = cast.terms(contract, expires_on="2027-12-31")
        self.requests: dict[str, Request] = {}
        self.acts: dict[datetime, list[Callable[[datetime], object]]] = {}

    def on(self, moment: datetime, act: Callable[[datetime], object]) -> None:
        self.acts.setdefault(moment, []).append(act)

    def ask(self, name: str, moment: datetime) -> None:
        def act(now: datetime) -> None:
            self.requests[name] = make_request(self.terms, self.cast.requester, now=now)

        self.on(moment, act)

    def answer(self, name: str, by: User, moment: datetime) -> None:
        self.on(moment, lambda now: say(open_step(self.requests[name]), by, now=now))

    def run(self, first: date, last: date) -> None:
        day = first
        while day <= last:
            for hour in HOURS:
                now = datetime(day.year, day.month, day.day, hour, tzinfo=TOKYO)
                for act in self.acts.get(now, []):
                    act(now)
                for sweep in (keep_delegations, watch_steps, keep_time, expire_links, expire_requests):
                    sweep(now=now)
            day += timedelta(days=1)

    def heard(self, name: str) -> list[tuple[str, str, str]]:
        """When (JST), what, who: about one request, in order."""
        names = dict(User.objects.values_list("public_id", "name"))
        number = f"request:{self.requests[name].public_id}"
        rows = Message.objects.filter(kind__in=TOLD, objects_touched__contains=[number]).order_by("id")
        found = {
            (f"{row.created_at.astimezone(TOKYO):%m-%d %H}", row.kind, names[row.recipient_ref])
            for row in rows
        }
        return sorted(found)


def quarter(cast: Cast, last: date = date(2027, 6, 30)) -> Play:
    play = Play(cast)
    admin = staff_actor(cast.admin)
    add_role_deputy(actor=admin, role="pm", staff=play.deputy, now=at(4, 1))
    # Nobody answers over Golden Week (29 April, 3 to 5 May).
    play.ask("golden week", at(4, 28))
    # Legal is away for a week, and a deputy answers for them.
    play.on(
        at(5, 7, 12),
        lambda now: give_delegation(
            actor=staff_actor(cast.legal),
            giver=cast.legal,
            deputy=play.deputy,
            role="legal",
            starts_at=at(5, 10, 9),
            ends_at=at(5, 15, 9),
            now=now,
        ),
    )
    play.ask("away", at(5, 10))
    play.answer("away", cast.pm, at(5, 11, 12))
    play.answer("away", play.deputy, at(5, 12, 12))
    play.answer("away", cast.tech, at(5, 13, 12))
    # The only one of tech leaves while a request waits for them.
    play.ask("leaver", at(6, 1, 9))
    play.answer("leaver", cast.pm, at(6, 1, 12))
    play.answer("leaver", cast.legal, at(6, 1, 15))
    play.on(
        at(6, 2, 12),
        lambda now: deactivate_staff(actor=admin, user=cast.tech, reason="Left.", now=now),
    )
    play.run(date(2027, 4, 26), last)
    return play


def test_a_quarter(cast: Cast) -> None:
    play = quarter(cast)
    pms = ("Ken Suzuki", "Misaki Sato")
    assert play.heard("golden week") == sorted(
        [
            *(("04-28 15", "step_requested", name) for name in pms),
            *(("04-30 15", "step_reminder", name) for name in pms),
            *(("05-06 15", "step_reminder", name) for name in pms),
            *(("05-07 15", "step_escalated", name) for name in (*pms, "Rin Nakamura")),
            ("05-07 15", "step_requested", "Deputy"),
            ("05-10 15", "step_reminder", "Deputy"),
            ("05-11 15", "step_reminder", "Deputy"),
            *(("05-28 15", "request_expired", name) for name in (*pms, "Rin Nakamura", "Deputy")),
        ]
    )
    assert play.heard("away") == [
        ("05-10 15", "step_requested", "Ken Suzuki"),
        ("05-10 15", "step_requested", "Misaki Sato"),
        ("05-11 12", "step_requested", "Deputy"),
        ("05-12 12", "step_requested", "Naoto Takahashi"),
    ]
    stuck = [row for row in play.heard("leaver") if row[1] == "step_stuck"]
    assert stuck == [
        ("06-02 12", "step_stuck", "Deputy"),
        ("06-02 12", "step_stuck", "Takeshi Watanabe"),
        ("06-02 12", "step_stuck", "Taro Yamamoto"),
    ]
    states = {name: Request.objects.get(pk=request.pk).state for name, request in play.requests.items()}
    assert states == {"golden week": "expired", "away": "approved", "leaver": "in_review"}
    assert Key.objects.count() == 1
    assert Decision.objects.count() == 5
    legal = Decision.objects.get(step__role="legal", request=play.requests["away"])
    assert (legal.staff, legal.on_behalf_of) == (play.deputy, cast.legal)
    # Nobody was told anything by the clock while the office was closed, and nothing twice.
    timed = Message.objects.filter(kind__in=["step_reminder", "step_escalated"])
    assert timed.count() > 10
    assert all(office().is_open(message.created_at) for message in timed)
    said = list(StepReminder.objects.values_list("step", "person_ref", "hours"))
    assert len(said) == len(set(said))


def test_golden_week_goes_the_same_way_twice(cast: Cast) -> None:
    told = []
    for _time in range(2):
        with transaction.atomic():
            play = quarter(cast, date(2027, 5, 13))
            told.append({name: play.heard(name) for name in play.requests})
            transaction.set_rollback(True)
        for person in cast.everyone.values():
            person.refresh_from_db()
    assert told[0] == told[1]
