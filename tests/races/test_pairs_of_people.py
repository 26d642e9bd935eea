"""Real threads on steps of several people, beside lost mails and other policies: one honest end (A4, A10)."""

from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts.models import User
from approvals.deputies.services.deputies import give_delegation
from approvals.models import Request, Step
from approvals.path.services.undeliverable import ask_again
from approvals.policies.selectors.in_force import current_policy
from audit.models import Event
from core.actors import SYSTEM, staff_actor
from notifications.models import Message
from notifications.services.bounces import report_bounce
from tests.cast import Cast, decide, make_staff, open_step
from tests.races.test_decisions import answering, at_once, outcome
from tests.races.test_policies import proposal, putting

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 4


def asks_for(request: Request, n: int) -> Step:
    """The open step, which needs so many people."""
    request.steps.filter(state="open").update(n_needed=n)
    return open_step(request)


def away(giver: User, deputy: User) -> None:
    """Somebody's PM steps are a deputy's for a day."""
    now = timezone.now()
    give_delegation(
        actor=staff_actor(giver),
        giver=giver,
        deputy=deputy,
        role="pm",
        starts_at=now,
        ends_at=now + timedelta(days=1),
        now=now,
    )


def people_on(step: Step) -> list[User | None]:
    """All who took part in answers on the step, in whatever name."""
    return [
        person
        for one in step.decisions.select_related("staff", "on_behalf_of")
        for person in (one.staff, one.on_behalf_of)
        if person
    ]


def test_of_the_last_two_deciders_at_once_exactly_one_closes_the_step(cast: Cast) -> None:
    third = make_staff("Third PM", "pm")
    for _round in range(ROUNDS):
        request = cast.request()
        step = asks_for(request, 2)
        decide(request, third)
        assert sorted(at_once(answering(step, cast.pm), answering(step, cast.pm2))) == ["conflict", "done"]
        assert (step.decisions.count(), open_step(request).role) == (2, "legal")
        opened = Event.objects.filter(
            action="step.opened",
            payload__step="legal",
            objects_touched__contains=[f"request:{request.public_id}"],
        )
        assert opened.count() == 1


def test_the_last_yes_or_a_no_at_once(cast: Cast) -> None:
    third = make_staff("Third PM", "pm")
    for _round in range(ROUNDS):
        request = cast.request()
        step = asks_for(request, 2)
        decide(request, third)
        said = at_once(answering(step, cast.pm), answering(step, cast.pm2, "reject"))
        assert sorted(said) == ["conflict", "done"]
        request.refresh_from_db()
        assert request.state == ("in_review" if said[0] == "done" else "rejected")


def test_a_giver_and_their_deputy_at_once_are_one_person(cast: Cast) -> None:
    away(cast.pm, cast.security)
    for _round in range(ROUNDS):
        request = cast.request()
        step = asks_for(request, 2)
        said = at_once(answering(step, cast.pm), answering(step, cast.security))
        assert sorted(said) == ["done", "refused"]
        assert cast.pm in people_on(step)
        assert open_step(request) == step  # a second person is still needed
        decide(request, cast.pm2)
        assert open_step(request).role == "legal"


def test_a_deputy_beside_the_other_who_is_asked_both_count(cast: Cast) -> None:
    away(cast.pm, cast.security)
    for _round in range(ROUNDS):
        request = cast.request()
        step = asks_for(request, 2)
        assert at_once(answering(step, cast.security), answering(step, cast.pm2)) == ["done", "done"]
        assert open_step(request).role == "legal"
        assert sorted(str(person) for person in people_on(step)) == sorted(
            str(person) for person in (cast.pm, cast.security, cast.pm2)
        )


@pytest.mark.parametrize("whose", ["pm", "pm2"])
def test_an_answer_beside_the_mail_that_comes_back(cast: Cast, whose: str) -> None:
    for _round in range(ROUNDS):
        request = cast.request()
        step = asks_for(request, 2)
        reader = getattr(cast, whose)
        link = step.links.get(staff=reader)
        mail = Message.objects.get(context__link=str(link.uid))
        Message.objects.filter(pk=mail.pk).update(state="sent", sent_at=timezone.now())
        bounce = partial(
            report_bounce,
            event_id=str(uuid4()),
            uid=mail.uid,
            is_final=True,
            status="5.1.1",
            now=timezone.now(),
        )
        assert at_once(answering(step, cast.pm), bounce) == ["done", "marked"]
        step.refresh_from_db()
        # Lost is a mail that somebody still needs: not that of who has answered.
        assert (step.undeliverable_at is not None) == (whose == "pm2")
        assert step.state == "open"


def test_the_last_answer_or_the_mail_sent_again(cast: Cast) -> None:
    for _round in range(ROUNDS):
        request = cast.request()
        step = open_step(request)
        mail = Message.objects.get(context__link=str(step.links.get(staff=cast.pm2).uid))
        Message.objects.filter(pk=mail.pk).update(state="sent", sent_at=timezone.now())
        now = timezone.now()
        report_bounce(event_id=str(uuid4()), uid=mail.uid, is_final=True, status="5.1.1", now=now)
        again = outcome(partial(ask_again, actor=SYSTEM("tests"), request=request, now=timezone.now()))
        decided, sent = at_once(answering(step, cast.pm), again)
        assert decided == "done"
        assert sent in {"done", "conflict"}
        assert not step.links.filter(used_at=None, died_at=None).exists()


def test_an_answer_beside_a_policy_put_in_force_by_a_second_person(cast: Cast) -> None:
    for _round in range(ROUNDS):
        request, before = cast.request(), current_policy(timezone.now())
        policy = proposal(cast.legal)
        said = at_once(answering(open_step(request), cast.pm), putting(policy, cast.coo, before.number))
        assert said == ["done", "done"]
        request.refresh_from_db()
        assert request.policy == before
        assert open_step(request).role == "legal"
        assert cast.request().policy == policy
