"""The mails to those who are asked: each in its reader's language alone, with links that live long enough."""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.utils import timezone
from django.utils.translation import override

from approvals.decisions.services.links import state_of
from approvals.models import StepLink
from notifications.models import Message
from notifications.registry import builder_of
from notifications.rendering import render_mail
from tests.approvals.test_revisions import resubmit
from tests.cast import Cast, decide, make_request, open_step, sign_in

pytestmark = pytest.mark.django_db

JAPANESE = re.compile("[\u3040-\u30ff\u4e00-\u9fff]+")


def english_text(kind: str, ref: str) -> str:
    """The mail's words as a Japanese worker makes it for an English reader; names of partners left out."""
    message = Message.objects.filter(kind=kind, recipient_ref=ref).latest("id")
    with override("ja"):
        mail = builder_of(kind)(message)
        assert mail is not None
        text = str(render_mail(message, mail).body)
    return text.replace("みなと物流株式会社", "")


def test_a_mail_has_no_word_of_another_language(cast: Cast) -> None:
    request = cast.request()
    decide(request, cast.pm)
    decide(request, cast.legal, "changes", reason="Say more.")
    text = english_text("request_changes_wanted", cast.requester.public_id)
    assert "Sakura Ito (Legal)" in text
    assert not JAPANESE.findall(text)
    resubmit(request, purpose="Another purpose.", rpm=90)
    text = english_text("step_requested", cast.pm.public_id)
    assert "Changed since the last answer: " in text
    assert not JAPANESE.findall(text)


def test_each_answer_has_a_link_that_chooses_it_and_gives_none(cast: Cast) -> None:
    request = cast.request()
    message = Message.objects.filter(kind="step_requested", recipient_ref=cast.pm.public_id).latest("id")
    mail = builder_of("step_requested")(message)
    assert mail is not None
    text = str(render_mail(message, mail).body)
    assert "Ask for changes" in text
    link = mail.context["changes_url"]
    assert link in text
    parts = urlsplit(link)
    page = sign_in(cast.pm).get(f"{parts.path}?{parts.query}").content.decode()
    assert re.search(r'value="changes"[^>]*checked', page)
    assert not request.decisions.exists()


def friday_afternoon() -> datetime:
    """The next Friday at 15:00 in Tokyo."""
    today = timezone.now()
    friday = today + timedelta(days=(4 - today.weekday()) % 7 or 7)
    return datetime(friday.year, friday.month, friday.day, 6, tzinfo=UTC)


def test_a_link_lives_until_its_step_is_due_and_never_less_than_its_hours(cast: Cast) -> None:
    asked = friday_afternoon()
    request = make_request(cast.terms(), cast.requester, now=asked)
    step = open_step(request)
    assert step.due_at is not None
    assert step.due_at > asked + settings.STEP_LINK_LIFETIME
    for link in StepLink.objects.select_related("step__request"):
        assert link.expires_at == step.due_at
        assert state_of(link, now=step.due_at - timedelta(minutes=1)) == "open"
    request.steps.filter(role="legal").update(deadline_hours=4)
    decide(request, cast.pm)
    step, link = open_step(request), StepLink.objects.latest("id")
    assert step.due_at is not None
    assert step.opened_at is not None
    assert link.expires_at == max(step.opened_at + settings.STEP_LINK_LIFETIME, step.due_at)
