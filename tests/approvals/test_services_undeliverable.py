"""A mail that comes back makes its step undeliverable: told at once, and sent again once mended (A3)."""

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from approvals.models import Request, Step
from approvals.path.services.path import send_link
from approvals.path.services.undeliverable import mark_undeliverable
from approvals.path.services.watching import watch_steps
from audit.models import Event
from core.actors import staff_actor
from notifications.models import Message
from tests.cast import Cast, consent, decide, open_step, sign_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def step(cast: Cast) -> Step:
    """The star's step, whose mail came back."""
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    message = Message.objects.get(kind="consent_requested")
    Message.objects.filter(pk=message.pk).update(state=Message.State.FAILED)
    mark_undeliverable(message, now=timezone.now())
    return open_step(request)


def ask_again_url(request: Request) -> str:
    return reverse("approvals:step-ask-again", args=[request.public_id])


def test_the_step_is_marked_and_the_guardians_are_told_once(cast: Cast, step: Step) -> None:
    assert step.undeliverable_at is not None
    mark_undeliverable(Message.objects.get(kind="consent_requested"), now=timezone.now())
    told = Message.objects.filter(kind="step_stuck").values_list("recipient_ref", flat=True)
    assert sorted(told) == sorted([cast.security.public_id, cast.admin.public_id])
    assert Event.objects.filter(action="step.undeliverable").count() == 1


@pytest.mark.parametrize("what", ["decided", "replaced"])
def test_the_mail_of_a_link_that_is_over_marks_nothing(cast: Cast, what: str) -> None:
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    message = Message.objects.get(kind="consent_requested")
    if what == "decided":
        consent(request)
    else:
        open_step(request).links.update(died_at=timezone.now())
    mark_undeliverable(message, now=timezone.now())
    assert not Step.objects.filter(undeliverable_at__isnull=False).exists()


def test_the_mail_is_sent_again_to_the_mended_address(cast: Cast, step: Step) -> None:
    client = sign_in(cast.pm)
    url = ask_again_url(step.request)
    page = client.get(reverse("approvals:request-detail", args=[step.request.public_id]))
    assert url in page.content.decode()
    response = client.post(url)
    assert response.status_code == 302
    fresh = open_step(step.request)
    assert fresh.undeliverable_at is None
    assert fresh.links.filter(died_at=None).count() == 1
    assert Message.objects.filter(kind="consent_requested").count() == 2
    assert client.post(url).status_code == 409
    assert Message.objects.filter(kind="consent_requested").count() == 2


def test_only_people_whose_mail_came_back_are_asked_again(cast: Cast) -> None:
    request = cast.request()
    message = Message.objects.get(kind="step_requested", recipient_ref=cast.pm.public_id)
    Message.objects.filter(pk=message.pk).update(state=Message.State.FAILED)
    mark_undeliverable(message, now=timezone.now())
    sign_in(cast.pm2).post(ask_again_url(request))
    mails = Message.objects.filter(kind="step_requested")
    assert mails.filter(recipient_ref=cast.pm.public_id).count() == 2
    assert mails.filter(recipient_ref=cast.pm2.public_id).count() == 1


def test_who_may_ask_again(cast: Cast, step: Step) -> None:
    url = ask_again_url(step.request)
    assert sign_in(cast.pm).get(url).status_code == 405
    for name in ("legal", "auditor", "ops", "coo"):
        assert sign_in(cast.everyone[name]).post(url).status_code == 403
    assert sign_in(cast.requester).post(url).status_code == 302


def lose(request: Request, name: str) -> None:
    """The mail to this person about the open step comes back."""
    message = Message.objects.filter(kind="step_requested", recipient_ref=name).latest("id")
    Message.objects.filter(pk=message.pk).update(state=Message.State.FAILED)
    mark_undeliverable(message, now=timezone.now())


def is_marked(request: Request) -> bool:
    return open_step(request).undeliverable_at is not None


def test_a_mail_to_one_does_not_hide_that_the_others_came_back(cast: Cast) -> None:
    request = cast.request()
    lose(request, cast.pm.public_id)
    step = open_step(request)
    send_link(actor=staff_actor(cast.admin), step=step, recipient=cast.pm2, now=timezone.now())
    assert is_marked(request)
    send_link(actor=staff_actor(cast.admin), step=open_step(request), recipient=cast.pm, now=timezone.now())
    assert not is_marked(request)


def test_the_mark_goes_when_whose_mail_was_lost_has_answered(cast: Cast) -> None:
    request = cast.request()
    request.steps.filter(position=1).update(n_needed=2)
    lose(request, cast.pm.public_id)
    decide(request, cast.pm)
    assert not is_marked(request)
    assert open_step(request).role == "pm"


def test_a_lost_mail_counts_as_long_as_its_reader_may_decide(cast: Cast) -> None:
    request = cast.request()
    lose(request, cast.pm.public_id)
    User.objects.filter(pk=cast.pm.pk).update(roles=[])
    assert watch_steps(now=timezone.now()) == 1
    assert not is_marked(request)
    User.objects.filter(pk=cast.pm.pk).update(roles=["pm"])
    assert watch_steps(now=timezone.now()) == 1
    assert is_marked(request)
    assert Event.objects.filter(action="step.undeliverable").count() == 2
    assert watch_steps(now=timezone.now()) == 0


def test_nobody_is_written_to_who_may_not_decide_any_more(cast: Cast) -> None:
    request = cast.request()
    lose(request, cast.pm.public_id)
    n_mails = Message.objects.filter(kind="step_requested").count()
    User.objects.filter(pk=cast.pm.pk).update(roles=[])
    assert sign_in(cast.pm2).post(ask_again_url(request)).status_code == 302
    assert Message.objects.filter(kind="step_requested").count() == n_mails
    assert not is_marked(request)


def test_the_mail_to_somebody_who_left_marks_nothing(cast: Cast) -> None:
    request = cast.request()
    User.objects.filter(pk=cast.pm.pk).update(roles=[], is_active=False)
    lose(request, cast.pm.public_id)
    assert not is_marked(request)
