"""Break-glass: a key at once, its approvals within 24 hours, or it is suspended by itself (A8)."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override

from accounts.models import User
from accounts.second_factor import SecondFactorNeeded
from approvals.deputies.services.reminding import keep_time
from approvals.emergencies.selectors import count_emergencies
from approvals.emergencies.services import break_glass
from approvals.models import Emergency, Request
from approvals.path.services.emergency_end import suspend_late_emergencies
from approvals.requests.drafts import draft_of
from approvals.requests.services.requests import start_draft, submit_request, withdraw_request
from audit.models import Event
from core.actors import staff_actor
from core.errors import Conflict, Invalid, NotAllowed
from keys.models import Key
from keys.status.services import reactivate_key
from keys.terms.terms import KeyTerms
from notifications.models import Message
from partners.mails import when_text
from partners.models import Partner
from tests.approvals.test_not_me import look, mail_text, press
from tests.cast import Cast, decide, make_draft, open_step, sign_in
from tests.key_stories import reveal

pytestmark = pytest.mark.django_db


def break_the_glass(
    cast: Cast, *, by: User | None = None, partner: Partner | None = None, **changes: Any
) -> Request:
    """Security issues a key of the small contract in an emergency."""
    by = by or cast.security
    now, actor = timezone.now(), staff_actor(by)
    draft = start_draft(actor=actor, by=by, partner=partner or cast.company, now=now)
    wanted: dict[str, Any] = {
        "terms": cast.terms(),
        "reason": "The parcel tracker is down.",
        "incident": "INC-7",
        "typed_number": draft.public_id,
        "second_factor_at": now,
    }
    wanted |= changes
    return break_glass(actor=actor, by=by, request=draft, version=draft.version, draft={}, now=now, **wanted)


def key_of(request: Request) -> Key:
    return Key.objects.get(request_ref=request.public_id)


def late(minutes: int = 1) -> Any:
    return timezone.now() + settings.EMERGENCY_LIFETIME + timedelta(minutes=minutes)


# --- issuing ----------------------------------------------------------


def test_the_key_is_there_at_once_and_its_approvals_have_begun(cast: Cast) -> None:
    request = break_the_glass(cast)
    key = key_of(request)
    assert (request.state, key.status) == ("in_review", "pending")
    assert request.key == key
    assert open_step(request).role == "pm"
    reveal(key)
    assert key.status == "active"
    event = Event.objects.get(action="request.emergency_issued")
    assert event.payload["reason"] == "The parcel tracker is down."
    assert event.payload["incident"] == "INC-7"


def test_no_emergency_goes_before_a_rights_holders_consent(cast: Cast) -> None:
    with pytest.raises(Conflict, match=r"consent|同意"):
        break_the_glass(cast, partner=cast.star, terms=cast.terms(cast.star_contract))
    assert not Key.objects.exists()


def test_until_approved_it_may_no_more_than_its_plan_gives_and_for_a_week(cast: Cast) -> None:
    terms = cast.terms(rpm=1_500, rph=40_000, burst=0, concurrency=5)
    request = break_the_glass(cast, terms=terms)
    key = key_of(request)
    assert (key.rpm, key.rph, key.burst, key.concurrency) == (100, 1_000, 20, 5)
    assert key.expires_at <= timezone.now() + timedelta(days=settings.EMERGENCY_KEY_DAYS + 1)
    assert KeyTerms.from_json(request.revisions.get().terms).rpm == 1_500


def test_it_administers_nothing_before_its_last_approval(cast: Cast) -> None:
    terms = cast.team_terms(scopes=("catalog:read", "catalog:admin"))
    request = break_the_glass(cast, partner=cast.team, terms=terms)
    assert key_of(request).scopes == ["catalog:read"]
    for person in (cast.pm, cast.tech):
        decide(request, person)
    assert key_of(request).scopes == ["catalog:read", "catalog:admin"]


def test_nothing_but_administrative_scopes_is_no_emergency(cast: Cast) -> None:
    terms = cast.team_terms(scopes=("catalog:admin",))
    with pytest.raises(Conflict, match=r"administrative|管理"):
        break_the_glass(cast, partner=cast.team, terms=terms)
    assert not Key.objects.exists()
    draft = make_draft(cast.team, cast.security, draft_of(terms))
    url = reverse("approvals:emergency-issue", args=[draft.public_id])
    answer = sign_in(cast.security).get(url, follow=True)
    assert "no key has these before its approvals" in answer.content.decode()


def test_pm_legal_coo_security_and_admin_are_told_at_once(cast: Cast) -> None:
    request = break_the_glass(cast)
    told = set(Message.objects.filter(kind="emergency_issued").values_list("recipient_ref", flat=True))
    people = (cast.pm, cast.pm2, cast.legal, cast.coo, cast.security, cast.admin)
    assert told == {person.public_id for person in people}
    text = mail_text("emergency_issued", cast.coo)
    for said in (request.public_id, key_of(request).public_id, "The parcel tracker is down.", "INC-7"):
        assert said in text


def test_it_takes_security_a_second_factor_a_reason_and_the_number(cast: Cast) -> None:
    with pytest.raises(NotAllowed):
        break_the_glass(cast, by=cast.pm)
    with pytest.raises(SecondFactorNeeded):
        break_the_glass(cast, second_factor_at=None)
    with pytest.raises(Invalid):
        break_the_glass(cast, reason=" ")
    with pytest.raises(Invalid):
        break_the_glass(cast, typed_number="KR-0000")
    assert not Key.objects.exists()
    assert not Emergency.objects.exists()


def test_whoever_broke_the_glass_decides_no_step(cast: Cast) -> None:
    User.objects.filter(pk=cast.security.pk).update(roles=["security", "pm", "legal", "tech"])
    cast.security.refresh_from_db()
    request = break_the_glass(cast)
    with pytest.raises(NotAllowed):
        decide(request, cast.security)


def test_the_database_lets_no_other_request_in_review_have_a_key(cast: Cast) -> None:
    request = break_the_glass(cast)
    other = cast.request()
    key = cast.key()
    with pytest.raises(IntegrityError, match="key_iff_approved"), transaction.atomic():
        Request.objects.filter(pk=other.pk).update(key=key)
    with pytest.raises(IntegrityError, match="key_iff_approved"), transaction.atomic():
        Request.objects.filter(pk=request.pk).update(emergency_at=None)
    with pytest.raises(IntegrityError, match="key_iff_approved"), transaction.atomic():
        Request.objects.filter(pk=other.pk).update(emergency_at=timezone.now())


def test_every_step_is_due_with_the_emergency_and_its_mail_says_so_first(cast: Cast) -> None:
    request = break_the_glass(cast)
    for person in (cast.pm, cast.legal, cast.tech):
        step = open_step(request)
        assert step.due_at is not None
        assert step.due_at <= request.emergency.due_at
        text = mail_text("step_requested", person)
        assert "has been issued already" in text or "すでに発行されています" in text
        with override(person.language):
            assert text.index(str(when_text(request.emergency.due_at))) < text.index("http")
        decide(request, person)
    dues = [event.payload["due_at"] for event in Event.objects.filter(action="step.opened")]
    assert max(dues) <= request.emergency.due_at.isoformat()


def test_approvers_are_reminded_when_half_of_the_time_is_gone_be_it_night(cast: Cast) -> None:
    request = break_the_glass(cast)
    step = open_step(request)
    assert step.due_at is not None
    assert step.opened_at is not None
    half = step.opened_at + (step.due_at - step.opened_at) / 2
    assert keep_time(now=half - timedelta(minutes=1)) == 0
    assert keep_time(now=half) == 1
    # It goes by the clock: no number of business hours would be right.
    assert "hours" not in Event.objects.filter(action="step.reminded").latest("id").payload
    assert keep_time(now=half + timedelta(minutes=5)) == 0
    reminded = Message.objects.filter(kind="step_reminder").values_list("recipient_ref", flat=True)
    assert set(reminded) == {cast.pm.public_id, cast.pm2.public_id}
    assert keep_time(now=step.due_at) == 1
    step.refresh_from_db()
    assert step.escalated_at == step.due_at
    assert keep_time(now=step.due_at + timedelta(minutes=5)) == 0


def test_a_void_answer_holds_the_key_until_it_is_approved_again(cast: Cast) -> None:
    request = break_the_glass(cast)
    key = key_of(request)
    press(decide(request, cast.pm))
    assert look(request, cast.coo, "again") == 302
    start: dict[str, Any] = {
        "actor": staff_actor(cast.security),
        "by": cast.security,
        "key": key,
        "reason": "It is safe.",
    }
    with pytest.raises(Conflict):
        reactivate_key(**start, now=timezone.now())
    request.refresh_from_db()
    submit_request(
        actor=staff_actor(cast.security),
        by=cast.security,
        request=request,
        version=request.version,
        terms=KeyTerms.from_json(request.revisions.get().terms),
        now=timezone.now(),
    )
    step = open_step(request)
    assert step.due_at is not None
    assert step.due_at <= request.emergency.due_at
    with pytest.raises(Conflict):
        reactivate_key(**start, now=timezone.now())
    for person in (cast.pm, cast.legal, cast.tech):
        decide(request, person)
    assert reactivate_key(**start, now=timezone.now()).status == "pending"


# --- how it ends ------------------------------------------------------


def test_with_all_approvals_it_becomes_an_ordinary_key(cast: Cast) -> None:
    request = break_the_glass(cast, terms=cast.terms(rpm=1_500, rph=40_000))
    key = key_of(request)
    reveal(key)
    for person in (cast.pm, cast.legal, cast.tech):
        decide(request, person)
    request.refresh_from_db()
    key.refresh_from_db()
    assert (request.state, request.emergency.state) == ("approved", "completed")
    assert (key.status, key.provisional_until, key.rpm, key.rph) == ("active", None, 1_500, 40_000)
    assert key.expires_at > timezone.now() + timedelta(days=100)
    assert Key.objects.count() == 1
    assert suspend_late_emergencies(now=late()) == 0
    assert "ordinary key" in mail_text("emergency_ended", cast.security)


def test_too_late_it_is_suspended_by_itself_once_and_everybody_hears(cast: Cast) -> None:
    request = break_the_glass(cast)
    key = key_of(request)
    reveal(key)
    decide(request, cast.pm)
    assert suspend_late_emergencies(now=late(-2)) == 0
    assert suspend_late_emergencies(now=late()) == 1
    assert suspend_late_emergencies(now=late()) == 0
    key.refresh_from_db()
    assert (key.status, key.held_for) == ("suspended", ["late"])
    assert Message.objects.filter(kind="emergency_late").count() == 6
    assert Message.objects.filter(kind="key_suspended", recipient_ref=key.recipient.public_id).exists()
    with pytest.raises(Conflict):
        reactivate_key(
            actor=staff_actor(cast.ops), by=cast.ops, key=key, reason="Needed.", now=timezone.now()
        )


def test_approved_late_somebody_may_start_it_again(cast: Cast) -> None:
    request = break_the_glass(cast)
    key = key_of(request)
    suspend_late_emergencies(now=late())
    for person in (cast.pm, cast.legal, cast.tech):
        decide(request, person)
    key.refresh_from_db()
    assert (key.status, key.held_for) == ("suspended", [])
    reactivate_key(actor=staff_actor(cast.ops), by=cast.ops, key=key, reason="Approved.", now=timezone.now())
    key.refresh_from_db()
    assert key.status == "pending"


def test_a_rejection_revokes_it_at_once(cast: Cast) -> None:
    request = break_the_glass(cast)
    key = key_of(request)
    reveal(key)
    decide(request, cast.pm, "reject")
    key.refresh_from_db()
    request.refresh_from_db()
    assert (request.state, request.emergency.state) == ("rejected", "refused")
    assert (key.status, key.revoke_reason) == ("revoked", "not_approved")
    assert "revoked" in mail_text("emergency_ended", cast.coo)


def test_taking_the_request_back_revokes_it_too(cast: Cast) -> None:
    request = break_the_glass(cast)
    request.refresh_from_db()
    withdraw_request(
        actor=staff_actor(cast.security),
        by=cast.security,
        request=request,
        version=request.version,
        now=timezone.now(),
    )
    assert key_of(request).status == "revoked"


def test_a_key_that_ended_meanwhile_stays_ended(cast: Cast) -> None:
    request = break_the_glass(cast)
    key = key_of(request)
    decide(request, cast.pm)
    decide(request, cast.legal)
    from tests.key_stories import revoke

    revoke(key, cast.security)
    decide(request, cast.tech)
    request.refresh_from_db()
    key.refresh_from_db()
    assert (request.state, key.status) == ("approved", "revoked")


def test_emergencies_are_counted_for_the_monthly_review(cast: Cast) -> None:
    since = timezone.now()
    break_the_glass(cast)
    second = break_the_glass(cast)
    decide(second, cast.pm, "reject")
    counts = count_emergencies(since=since, until=timezone.now())
    assert (counts.n_issued, counts.n_running, counts.n_refused, counts.n_completed) == (2, 1, 1, 0)
    assert count_emergencies(since=since - timedelta(days=30), until=since).n_issued == 0


# --- pages ------------------------------------------------------------


def test_from_the_form_to_the_key(cast: Cast) -> None:
    client = sign_in(cast.security)
    draft = make_draft(cast.company, cast.security, draft_of(cast.terms()))
    edit = client.get(reverse("approvals:request-edit", args=[draft.public_id])).content.decode()
    assert 'value="break-glass"' in edit
    url = reverse("approvals:emergency-issue", args=[draft.public_id])
    page = client.get(url)
    assert page.status_code == 200
    assert "before anybody approves it" in page.content.decode()
    form = {"reason": "The tracker is down.", "incident": "", "typed_number": "KR-9999"}
    assert client.post(url, form).status_code == 422
    assert not Key.objects.exists()
    done = client.post(url, form | {"typed_number": draft.public_id}, follow=True)
    assert "Emergency: the key was issued before these approvals." in done.content.decode()
    key = key_of(draft)
    shown = client.get(reverse("keys:key-detail", args=[key.public_id])).content.decode()
    assert "Issued in an emergency" in shown
    assert "data-countdown" in shown
    decide_page = sign_in(cast.pm).get(reverse("approvals:step-decide", args=[draft.public_id]))
    assert "The tracker is down." in decide_page.content.decode()


def test_an_incomplete_draft_goes_back_to_the_form(cast: Cast) -> None:
    draft = make_draft(cast.company, cast.security)
    url = reverse("approvals:emergency-issue", args=[draft.public_id])
    browser = sign_in(cast.security)
    answer = browser.get(url)
    assert answer["Location"] == reverse("approvals:request-edit", args=[draft.public_id]) + "?check=1"
    form = browser.get(answer["Location"])
    assert form.context["form"].errors["purpose"]
    assert 'class="errorlist' in form.content.decode()


def test_the_button_on_an_incomplete_form_says_what_is_missing_beside_the_fields(cast: Cast) -> None:
    answers = []
    for action in ("break-glass", "submit"):
        draft = make_draft(cast.company, cast.security)
        url = reverse("approvals:request-edit", args=[draft.public_id])
        answers.append(sign_in(cast.security).post(url, {"version": draft.version, "action": action}))
    assert [answer.status_code for answer in answers] == [422, 422]
    errors = [answer.context["form"].errors for answer in answers]
    assert errors[0]
    assert errors[0] == errors[1]


def test_others_have_no_such_button(cast: Cast) -> None:
    draft = make_draft(cast.company, cast.requester, draft_of(cast.terms()))
    page = sign_in(cast.requester).get(reverse("approvals:request-edit", args=[draft.public_id]))
    assert 'value="break-glass"' not in page.content.decode()
    url = reverse("approvals:emergency-issue", args=[draft.public_id])
    assert sign_in(cast.requester).get(url).status_code == 403
