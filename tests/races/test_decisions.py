"""Real threads on one step: one honest decision, whatever is pressed, withdrawn or ends beside it (A10)."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from accounts.services import deactivate_staff
from approvals.decisions.services.answers import Answer
from approvals.decisions.services.consent import check_code, give_consent, send_code
from approvals.decisions.services.deciding import decide_as_staff
from approvals.decisions.services.links import expire_links, renew_link
from approvals.models import ConsentCode, Decision, Request, Step, StepLink
from approvals.path.services.path import PURPOSE
from approvals.path.services.watching import watch_steps
from approvals.requests.services.requests import expire_requests, withdraw_request
from audit.models import Event
from core.actors import SYSTEM, Actor, staff_actor
from core.errors import Conflict, NotAllowed
from core.links import code_of, token_of
from keys.models import Key
from notifications.models import Message
from partners.models import IdentityCheck
from tests.cast import Cast, decide, open_step, sign_in

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 12


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Run the acts in threads that start together, each with a connection of its own."""
    barrier = Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        try:
            barrier.wait(timeout=10)
            return act()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(acts)) as pool:
        return [future.result(timeout=60) for future in [pool.submit(run, act) for act in acts]]


def outcome(act: Callable[[], Any]) -> Callable[[], str]:
    """The act as a word: what became of it."""

    def run() -> str:
        try:
            act()
        except Conflict:
            return "conflict"
        except NotAllowed:
            return "refused"
        return "done"

    return run


def answering(step: Step, by: User, result: str = "approve") -> Callable[[], str]:
    now = timezone.now()
    points = IdentityCheck.points_for(step.request.partner.kind) if step.role == "tech" else []
    answer = Answer(
        outcome=result,
        digest=bytes(step.revision.digest),
        reason="" if result == "approve" else "No.",
        checklist=tuple(str(point) for point in points),
    )
    return outcome(
        lambda: decide_as_staff(
            actor=staff_actor(by), by=by, step=step, answer=answer, second_factor_at=now, link=None, now=now
        )
    )


def decisions_and_events(request: Request) -> tuple[int, int]:
    events = Event.objects.filter(
        action__in=["step.approved", "step.rejected"],
        objects_touched__contains=[f"request:{request.public_id}"],
    )
    return request.decisions.count(), events.count()


@pytest.mark.parametrize("second", ["approve", "reject"])
def test_two_approvers_at_once_one_wins(cast: Cast, second: str) -> None:
    for _round in range(ROUNDS):
        request = cast.request()
        step = open_step(request)
        results = at_once(answering(step, cast.pm), answering(step, cast.pm2, second))
        assert sorted(results) == ["conflict", "done"]
        assert decisions_and_events(request) == (1, 1)
        decision = request.decisions.get()
        request.refresh_from_db()
        wanted = Request.State.IN_REVIEW if decision.outcome == "approve" else Request.State.REJECTED
        assert request.state == wanted


def test_eight_clicks_are_one_decision_one_event_one_mail(cast: Cast) -> None:
    request = cast.request()
    step = open_step(request)
    token = token_of(bytes(step.links.get(staff=cast.pm).nonce), purpose=PURPOSE)
    url = reverse("approvals:link-decide", args=[token])
    data = {"answer": "approve", "digest": bytes(step.revision.digest).hex(), "reason": ""}
    clients = [sign_in(cast.pm) for _number in range(8)]
    answers = at_once(*[partial(client.post, url, data) for client in clients])
    assert sorted(answer.status_code for answer in answers) == [302] + [409] * 7
    assert decisions_and_events(request) == (1, 1)
    assert Message.objects.filter(kind="step_requested", recipient_ref=cast.legal.public_id).count() == 1


def test_eight_last_approvals_are_one_key_and_one_delivery(cast: Cast) -> None:
    for _round in range(4):
        request = cast.request()
        decide(request, cast.pm)
        decide(request, cast.legal)
        step = open_step(request)
        before = Message.objects.filter(kind="delivery_link").count()
        results = at_once(*[answering(step, cast.tech)] * 8)
        assert sorted(results) == ["conflict"] * 7 + ["done"]
        assert Key.objects.filter(request_ref=request.public_id).count() == 1
        assert Message.objects.filter(kind="delivery_link").count() == before + 1
        assert IdentityCheck.objects.count() == _round + 1


def test_two_of_two_people_at_once_both_count(cast: Cast) -> None:
    for _round in range(ROUNDS):
        request = cast.request()
        request.steps.filter(position=1).update(n_needed=2)
        step = open_step(request)
        assert at_once(answering(step, cast.pm), answering(step, cast.pm2)) == ["done", "done"]
        assert open_step(request).role == "legal"
        assert decisions_and_events(request) == (2, 2)


def test_deciding_against_withdrawing(cast: Cast) -> None:
    seen = set()
    for _round in range(ROUNDS):
        request = cast.request()
        step, now = open_step(request), timezone.now()

        def withdraw(request: Request = request, now: Any = now) -> None:
            actor = staff_actor(cast.requester)
            withdraw_request(
                actor=actor, by=cast.requester, request=request, version=request.version, now=now
            )

        decided, withdrawn = at_once(answering(step, cast.pm, "reject"), outcome(withdraw))
        assert {decided, withdrawn} == {"done", "conflict"}
        request.refresh_from_db()
        assert request.state == ("rejected" if decided == "done" else "withdrawn")
        assert request.decisions.count() == (1 if decided == "done" else 0)
        seen.add(decided)
    assert seen


def test_deciding_against_expiring(cast: Cast) -> None:
    for _round in range(ROUNDS):
        request = cast.request()
        step = open_step(request)
        later = timezone.now() + settings.REQUEST_LIFETIME + timedelta(minutes=1)
        decided, expired = at_once(answering(step, cast.pm, "reject"), partial(expire_requests, now=later))
        request.refresh_from_db()
        if decided == "done":
            assert (request.state, expired) == ("rejected", 0)
        else:
            assert (request.state, expired) == ("expired", 1)
        assert request.decisions.count() == (1 if decided == "done" else 0)


def test_deciding_against_being_deactivated(cast: Cast) -> None:
    for number in range(ROUNDS):
        leaver = User.objects.create(
            public_id=f"ST-9{number:03d}",
            email=f"leaver{number}@kagiban.example",
            name="Leaver",
            roles=["pm"],
        )
        request = cast.request()
        step = open_step(request)

        def deactivate(leaver: User = leaver) -> None:
            deactivate_staff(
                actor=staff_actor(cast.admin), user=leaver, reason="Left the company.", now=timezone.now()
            )

        decided, gone = at_once(answering(step, leaver), outcome(deactivate))
        assert gone == "done"
        assert decided in {"done", "refused"}
        assert request.decisions.count() == (1 if decided == "done" else 0)


def test_sweeps_beside_decisions_never_stop_them(cast: Cast) -> None:
    for _round in range(6):
        request = cast.request()
        step, link = open_step(request), StepLink.objects.latest("id")
        token = token_of(bytes(link.nonce), purpose=PURPOSE)
        later = link.expires_at
        results = at_once(
            answering(step, cast.pm),
            partial(expire_links, now=later),
            lambda: watch_steps(now=timezone.now()),
            partial(renew_link, actor=SYSTEM("test"), token=token, now=later),
        )
        assert results[0] == "done"
        assert not step.links.filter(used_at=None, died_at=None).exists()


def test_two_sweeps_at_once_tell_of_each_link_once(cast: Cast) -> None:
    for _number in range(6):
        cast.request()
    later = StepLink.objects.latest("expires_at").expires_at
    ended = at_once(*[lambda: expire_links(now=later)] * 3)
    assert sum(ended) == 12
    assert Event.objects.filter(action="link.expired").count() == 12


def test_two_watchers_alarm_once(cast: Cast) -> None:
    request = cast.request()
    decide(request, cast.pm)
    User.objects.filter(pk=cast.legal.pk).update(is_active=False, roles=[])
    at_once(*[lambda: watch_steps(now=timezone.now())] * 3)
    assert Event.objects.filter(action="step.stuck").count() == 1
    assert Message.objects.filter(kind="step_stuck").count() == 2


# --- consent ----------------------------------------------------------


def waiting_consent(cast: Cast) -> tuple[Step, str, Actor]:
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    step = open_step(request)
    assert step.contact is not None
    token = token_of(bytes(step.links.get().nonce), purpose=PURPOSE)
    return step, token, Actor(kind="contact", ref=step.contact.public_id)


def test_two_consents_at_once_one_stands(cast: Cast) -> None:
    for _round in range(ROUNDS):
        step, token, actor = waiting_consent(cast)
        now = timezone.now()
        code = send_code(actor=actor, token=token, now=now)
        digits = code_of(bytes(code.nonce))
        proof = check_code(actor=actor, token=token, given=digits, now=now).proof

        def say(result: str, step: Step = step, token: str = token, proof: str = proof) -> Callable[[], str]:
            answer = Answer(
                outcome=result,
                digest=bytes(step.revision.digest),
                reason="No.",
                signed_name="Star",
                signed_capacity="Star",
            )
            contact = Actor(kind="contact", ref="CO")
            return outcome(
                lambda: give_consent(
                    actor=contact, token=token, proof=proof, answer=answer, now=timezone.now()
                )
            )

        results = at_once(say("approve"), say("reject"), say("approve"))
        assert sorted(results) == ["conflict", "conflict", "done"]
        assert Decision.objects.filter(step=step).count() == 1
    assert Message.objects.filter(kind="consent_receipt").count() == ROUNDS


def test_guesses_at_once_are_all_counted(cast: Cast) -> None:
    _step, token, actor = waiting_consent(cast)
    code = send_code(actor=actor, token=token, now=timezone.now())
    wrong = f"{(int(code_of(bytes(code.nonce))) + 1) % 10**8:08d}"
    url = reverse("approvals:consent-terms", args=[token])
    answers = at_once(*[lambda: Client().post(url, {"code": wrong})] * 12)
    assert {answer.status_code for answer in answers} == {422}
    assert ConsentCode.objects.get().n_attempts == settings.CONSENT_CODE_ATTEMPTS
    assert Event.objects.filter(action="consent.code_failed").count() == settings.CONSENT_CODE_ATTEMPTS


def test_a_code_typed_twice_at_once_opens_the_page_once(cast: Cast) -> None:
    _step, token, actor = waiting_consent(cast)
    code = send_code(actor=actor, token=token, now=timezone.now())
    url, digits = reverse("approvals:consent-terms", args=[token]), code_of(bytes(code.nonce))
    answers = at_once(*[lambda: Client().post(url, {"code": digits})] * 4)
    assert sorted(answer.status_code for answer in answers) == [200, 422, 422, 422]
