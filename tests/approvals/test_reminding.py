"""Reminders, escalation, expiry in business hours: said once, in office hours, and never a decision (A5)."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from approvals.decisions.services.links import renew_link
from approvals.deputies.services.deputies import add_role_deputy, end_delegation, give_delegation
from approvals.deputies.services.reminding import keep_time
from approvals.models import Request, StepReminder
from approvals.path.services.path import PURPOSE
from approvals.path.services.watching import watch_steps
from approvals.requests.services.requests import withdraw_request
from audit.models import Event
from core.actors import SYSTEM, staff_actor
from core.business_time import add_business_hours
from core.links import token_of
from keys.models import Key
from notifications.models import Message
from notifications.registry import builder_of
from notifications.rendering import render_mail
from tests.cast import Cast, consent, decide, make_staff, open_step

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


def after(request: Request, hours: int) -> datetime:
    """So many business hours after the open step was opened."""
    opened = open_step(request).opened_at
    assert opened is not None
    return add_business_hours(opened, hours)


def reminded(kind: str = "step_reminder") -> list[str]:
    return list(Message.objects.filter(kind=kind).order_by("id").values_list("recipient_ref", flat=True))


def test_those_who_have_not_answered_are_reminded_twice(cast: Cast) -> None:
    request = cast.request()
    both = [cast.pm.public_id, cast.pm2.public_id]
    assert keep_time(now=after(request, 24) - MINUTE) == 0
    for hours, n in ((24, 1), (48, 2)):
        moment = after(request, hours)
        assert keep_time(now=moment) == 1
        assert keep_time(now=moment) == keep_time(now=moment + MINUTE) == 0
        assert sorted(reminded()) == sorted(both * n)
    events = Event.objects.filter(action="step.reminded").order_by("id")
    assert [event.payload["hours"] for event in events] == [24, 24, 48, 48]


def test_after_an_outage_there_is_one_reminder_and_no_burst(cast: Cast) -> None:
    request = cast.request()
    moment = after(request, 60)
    assert keep_time(now=moment) == 1
    assert len(reminded()) == 2
    assert keep_time(now=moment + MINUTE) == 0
    assert set(StepReminder.objects.values_list("hours", flat=True)) == {48}


def test_after_a_longer_outage_the_escalation_is_all_that_is_said(cast: Cast) -> None:
    request = cast.request()
    moment = after(request, 200)
    assert keep_time(now=moment) == 1
    assert keep_time(now=moment + MINUTE) == keep_time(now=add_business_hours(moment, 100)) == 0
    assert reminded() == []
    told = Message.objects.filter(kind="step_escalated", recipient_ref=cast.pm.public_id)
    assert told.count() == 1


def test_nothing_is_said_while_the_office_is_closed(cast: Cast) -> None:
    request = cast.request()
    moment = after(request, 24)
    closed = timezone.localtime(moment).replace(hour=22)
    assert keep_time(now=closed) == 0
    assert keep_time(now=add_business_hours(closed, 0)) == 1


def test_who_is_asked_later_is_reminded_later(cast: Cast) -> None:
    request = cast.request()
    late = make_staff("Newcomer", "pm")
    joined = after(request, 40)
    keep_time(now=joined)
    watch_steps(now=joined)
    keep_time(now=after(request, 50))
    assert late.public_id not in reminded()
    keep_time(now=add_business_hours(joined, 24))
    assert reminded().count(late.public_id) == 1


def test_a_reminder_carries_a_link_that_works(cast: Cast) -> None:
    """A fresh one where the first would die within a day: over a weekend it has died already."""
    request = cast.request()
    links = open_step(request).links.filter(staff=cast.pm)
    keep_time(now=after(request, 24))
    message = Message.objects.filter(kind="step_reminder", recipient_ref=cast.pm.public_id).get()
    link = links.get(uid=message.context["link"])
    assert link.died_at is None
    assert link.expires_at >= message.created_at + timedelta(hours=24)
    moment = after(request, 48)
    links.filter(died_at=None).update(expires_at=moment + timedelta(hours=2))
    keep_time(now=moment)
    newest = links.get(died_at=None)
    assert newest.expires_at == moment + timedelta(hours=72)
    latest = Message.objects.filter(kind="step_reminder", recipient_ref=cast.pm.public_id).latest("id")
    assert latest.context["link"] == str(newest.uid)


@pytest.mark.parametrize(
    ("language", "words"), [("ja", "【再通知】承認のお願い"), ("en", "Reminder, approval")]
)
def test_a_reminder_speaks_the_persons_language(cast: Cast, language: str, words: str) -> None:
    User.objects.update(language=language)
    request = cast.request()
    keep_time(now=after(request, 24))
    message = Message.objects.filter(kind="step_reminder").first()
    assert message is not None
    mail = builder_of(message.kind)(message)
    assert mail is not None
    finished = render_mail(message, mail)
    assert words in finished.subject
    assert "/decide/" in str(finished.body)
    html = str(finished.alternatives[0][0])
    assert html.count("/decide/") >= 2


def test_a_rights_holder_is_reminded_by_mail(cast: Cast) -> None:
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    step = open_step(request)
    assert step.contact is not None
    keep_time(now=after(request, 24))
    assert reminded("consent_reminder") == [step.contact.public_id]
    message = Message.objects.get(kind="consent_reminder")
    mail = builder_of("consent_reminder")(message)
    assert mail is not None
    assert "/consent/" in str(render_mail(message, mail).body)
    consent(request)
    keep_time(now=after(request, 23))
    assert len(reminded("consent_reminder")) == 1


def test_a_rule_of_the_policy_may_set_the_due_time(cast: Cast) -> None:
    request = cast.request()
    request.steps.filter(role="legal").update(deadline_hours=24)
    decide(request, cast.pm)
    step = open_step(request)
    assert step.due_at == after(request, 24)
    keep_time(now=step.due_at)
    assert open_step(request).escalated_at == step.due_at
    assert reminded() == []


def test_whoever_answered_or_took_back_hears_no_more(cast: Cast) -> None:
    answered, taken_back = cast.request(), cast.request()
    decide(answered, cast.pm)
    late = after(taken_back, 24)
    withdraw_request(
        actor=staff_actor(cast.requester),
        by=cast.requester,
        request=taken_back,
        version=taken_back.version,
        now=timezone.now(),
    )
    keep_time(now=late)
    assert cast.pm.public_id not in reminded()


def test_the_deputy_is_reminded_and_not_who_is_away(cast: Cast) -> None:
    now = timezone.now()
    give_delegation(
        actor=staff_actor(cast.legal),
        giver=cast.legal,
        deputy=cast.security,
        role="legal",
        starts_at=now,
        ends_at=now + timedelta(days=60),
        now=now,
    )
    request = cast.request()
    decide(request, cast.pm)
    keep_time(now=after(request, 24))
    assert reminded() == [cast.security.public_id]


def test_a_deputy_may_renew_their_link_while_they_stand_in(cast: Cast) -> None:
    now = timezone.now()
    delegation = give_delegation(
        actor=staff_actor(cast.legal),
        giver=cast.legal,
        deputy=cast.security,
        role="legal",
        starts_at=now,
        ends_at=now + timedelta(days=60),
        now=now,
    )
    request = cast.request()
    decide(request, cast.pm)
    link = open_step(request).links.get(staff=cast.security)
    token, later = token_of(bytes(link.nonce), purpose=PURPOSE), link.expires_at
    assert renew_link(actor=SYSTEM("x"), token=token, now=later)
    end_delegation(actor=SYSTEM("x"), by=cast.legal, delegation=delegation, now=later)
    assert not renew_link(actor=SYSTEM("x"), token=token, now=later + timedelta(days=4))


def test_time_never_decides(cast: Cast) -> None:
    add_role_deputy(actor=staff_actor(cast.admin), role="pm", staff=cast.legal, now=timezone.now())
    request = cast.request()
    moment = timezone.now()
    for _day in range(60):
        keep_time(now=moment)
        moment += timedelta(days=1)
    request.refresh_from_db()
    assert request.state == Request.State.IN_REVIEW
    assert not request.decisions.exists()
    assert not Key.objects.exists()


def test_looking_costs_no_more_for_more_steps(cast: Cast, django_assert_max_num_queries: Any) -> None:
    now = add_business_hours(timezone.now(), 0)
    for _number in range(6):
        cast.request()
    with django_assert_max_num_queries(10):
        assert keep_time(now=now) == 0


def test_a_step_is_due_when_it_escalates(cast: Cast) -> None:
    request = cast.request()
    step = open_step(request)
    assert step.due_at == after(request, 72)
