"""Changes of keys from asking to the look after them, by the services (R3)."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone
from django.utils.translation import override

from approvals.changes.services.after import note_look, roll_back_change
from approvals.changes.services.applying import apply_scheduled, cancel_change
from approvals.models import KeyChange, Request, Step
from approvals.requests.services.change_drafts import ChangeIsOpen, start_change
from approvals.requests.services.requests import withdraw_request
from audit.models import Event
from core.actors import SYSTEM, staff_actor
from core.errors import Conflict, DomainError, Invalid, NotAllowed
from keys.models import Key
from keys.status.services import hold_key
from notifications.models import Message
from tests.cast import Cast, consent, decide, make_contact, make_partner
from tests.changes import ask_change, changed, live_key
from tests.dataplane import early_in_a_minute, make_gateway, verify
from tests.key_stories import reveal, revoke, suspend
from verifier.callers import gateways

pytestmark = pytest.mark.django_db
S = KeyChange.State


@pytest.fixture(autouse=True)
def _in_english() -> Iterator[None]:
    with override("en"):
        yield


def said(error: DomainError) -> str:
    return str(error.message)


def path(request: Request) -> list[str]:
    return [str(step.role) for step in request.steps.order_by("position")]


def people_told(what: str) -> set[str]:
    return set(
        Message.objects.filter(kind="change_news", context__what=what).values_list("recipient_ref", flat=True)
    )


# --- the path ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"rpm": 50, "rph": 500},
        {"ip_ranges": ("203.0.113.0/28",)},
        {"burst": 5, "rotation_days": 60},
        {"concurrency": 2},
    ],
)
def test_what_only_tightens_takes_one_look(cast: Cast, changes: dict[str, Any]) -> None:
    key, _text = live_key(cast, contract=cast.big)
    request = ask_change(key, cast.requester, **changes)
    assert path(request) == ["pm_or_security"]
    assert request.change.direction == "tightens"
    decide(request, cast.security)
    request.refresh_from_db()
    assert request.state == Request.State.APPROVED
    assert KeyChange.objects.get(request=request).state == S.APPLIED


@pytest.mark.parametrize(
    "changes",
    [
        {"rpm": 200},
        {"rpm": 50, "burst": 40},
        {"scopes": ("catalog:read", "catalog:write")},
        {"ip_ranges": ()},
        {"name": "Another name"},
        {"concurrency": 0},
    ],
)
def test_what_loosens_anything_goes_the_whole_way(cast: Cast, changes: dict[str, Any]) -> None:
    key, _text = live_key(cast, contract=cast.big)
    assert path(ask_change(key, cast.requester, **changes)) == ["pm", "legal", "tech", "coo"]


def test_a_rights_holder_consents_to_what_loosens(cast: Cast) -> None:
    key, _text = live_key(cast, contract=cast.star_contract)
    request = ask_change(key, cast.requester, rpm=200)
    assert path(request) == ["pm", "rights_holder", "legal", "tech"]
    decide(request, cast.pm)
    consent(request)
    decide(request, cast.legal)
    decide(request, cast.tech)
    key.refresh_from_db()
    assert key.rpm == 200
    assert people_told("applied") == {cast.requester.public_id, key.recipient.public_id}


def test_a_first_budget_tightens_whoever_is_told_of_it(cast: Cast) -> None:
    key, _text = live_key(cast)
    budget: dict[str, Any] = {
        "monthly_budget_usd": "100.00",
        "budget_thresholds": (80,),
        "suspend_at_budget": True,
    }
    request = ask_change(key, cast.requester, **budget, billing_contact=key.recipient.public_id)
    assert path(request) == ["pm_or_security"]
    decide(request, cast.pm)
    key.refresh_from_db()
    assert key.suspend_at_budget
    assert key.billing_contact == key.recipient


def test_nobody_approves_their_own_tightening(cast: Cast) -> None:
    key, _text = live_key(cast)
    request = ask_change(key, cast.pm, rpm=50)
    with pytest.raises(NotAllowed):
        decide(request, cast.pm)
    with pytest.raises(NotAllowed):
        decide(request, cast.tech)
    decide(request, cast.pm2)


# --- asking ---------------------------------------------------------------------------------------------


def test_one_open_change_for_a_key(cast: Cast) -> None:
    key, _text = live_key(cast)
    first = ask_change(key, cast.requester, rpm=50)
    with pytest.raises(ChangeIsOpen) as refused:
        start_change(actor=staff_actor(cast.pm), by=cast.pm, key=key, now=timezone.now())
    assert refused.value.number == first.public_id
    withdraw_request(
        actor=staff_actor(cast.requester),
        by=cast.requester,
        request=first,
        version=first.version,
        now=timezone.now(),
    )
    assert KeyChange.objects.get(request=first).state == S.CLOSED
    ask_change(key, cast.pm, rpm=40)


def test_beginning_twice_is_one_draft(cast: Cast) -> None:
    key, _text = live_key(cast)
    drafts = [
        start_change(actor=staff_actor(cast.pm), by=cast.pm, key=key, now=timezone.now()) for _n in range(2)
    ]
    assert drafts[0] == drafts[1]
    assert drafts[0].draft["rpm"] == "100"


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({}, Invalid, "Nothing differs"),
        ({"rpm": 50, "why": " "}, Invalid, "Say why"),
        ({"rpm": 50, "reactivates": True}, Conflict, "not suspended"),
        ({"environment": "test"}, Conflict, "a new key is needed"),
        ({"rpm": 50, "not_before": timedelta(minutes=-5)}, Invalid, "has passed"),
        ({"rpm": 50, "not_before": timedelta(days=61)}, Invalid, "At most 60 days"),
        ({"expires_on": "2040-01-01"}, Invalid, "never outlives its contract"),
    ],
)
def test_what_can_not_be_asked_for(
    cast: Cast, changes: dict[str, Any], error: type[DomainError], words: str
) -> None:
    key, _text = live_key(cast)
    if isinstance(changes.get("not_before"), timedelta):
        changes = changes | {"not_before": timezone.now() + changes["not_before"]}
    with pytest.raises(error) as refused:
        ask_change(key, cast.requester, **changes)
    assert words in said(refused.value)


def test_a_key_that_ended_is_not_changed(cast: Cast) -> None:
    key, _text = live_key(cast)
    revoke(key, cast.security)
    with pytest.raises(Conflict):
        ask_change(key, cast.requester, rpm=50)


# --- the last approval --------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_after_the_last_approval_the_very_next_check_is_judged_anew(cast: Cast) -> None:
    gateways.forget_all()
    gateway = make_gateway()
    key, text = live_key(cast, scopes=("catalog:read", "catalog:write"))
    question = {"ip": "203.0.113.9", "scope": "catalog:write"}
    early_in_a_minute()
    assert verify(gateway, text, **question).code == "VALID"
    request = ask_change(key, cast.requester, scopes=("catalog:read",), rpm=2)
    assert verify(gateway, text, **question).code == "VALID"
    decide(request, cast.security)
    assert verify(gateway, text, **question).code == "INSUFFICIENT_SCOPE"
    assert verify(gateway, text, ip="203.0.113.9").code == "RATE_LIMITED_MINUTE"
    change = KeyChange.objects.get(request=request)
    roll_back_change(
        actor=staff_actor(cast.security),
        by=cast.security,
        request=request,
        reason="They write after all.",
        now=timezone.now(),
    )
    assert verify(gateway, text, **question).code == "VALID"
    change.refresh_from_db()
    assert change.state == S.ROLLED_BACK


def test_the_event_names_request_decisions_and_what_was(cast: Cast) -> None:
    key, _text = live_key(cast)
    change = changed(cast, key, rpm=50)
    event = Event.objects.get(action="key.changed")
    number = change.request.public_id
    assert event.objects_touched == [f"key:{key.public_id}", f"request:{number}"]
    assert event.payload["decisions"] == [str(change.request.decisions.get().uid)]
    assert (event.payload["before"], event.payload["after"]) == ({"rpm": 100}, {"rpm": 50})
    assert Event.objects.filter(action="request.approved").count() == 1


def test_a_key_changed_or_revoked_meanwhile_keeps_the_step_open(cast: Cast) -> None:
    key, _text = live_key(cast)
    request = ask_change(key, cast.requester, rpm=50)
    Key.objects.filter(pk=key.pk).update(burst=7)
    with pytest.raises(Conflict) as refused:
        decide(request, cast.pm)
    assert "was changed after" in said(refused.value)
    Key.objects.filter(pk=key.pk).update(burst=key.burst)
    revoke(key, cast.security)
    with pytest.raises(Conflict) as refused:
        decide(request, cast.pm)
    assert "can't be changed any more" in said(refused.value)
    request.refresh_from_db()
    assert request.state == Request.State.IN_REVIEW
    assert request.steps.get().state == Step.State.OPEN
    assert not request.decisions.exists()
    decide(request, cast.pm, "reject")
    assert KeyChange.objects.get(request=request).state == S.CLOSED


def test_a_contract_that_changed_meanwhile_stops_the_change(cast: Cast) -> None:
    key, _text = live_key(cast)
    request = ask_change(key, cast.requester, rpm=50)
    cast.small.monthly_amount_jpy = 900_000
    cast.small.save(update_fields=["monthly_amount_jpy"])
    with pytest.raises(Conflict):
        decide(request, cast.pm)


def test_a_suspended_key_is_started_by_the_whole_path(cast: Cast) -> None:
    key, _text = live_key(cast)
    suspend(key, cast.security)
    request = ask_change(key, cast.requester, reactivates=True)
    assert path(request) == ["pm", "legal", "tech"]
    for person in (cast.pm, cast.legal, cast.tech):
        decide(request, person)
    key.refresh_from_db()
    assert (key.status, key.suspended_at) == (Key.Status.ACTIVE, None)
    roll_back_change(
        actor=staff_actor(cast.pm), by=cast.pm, request=request, reason="Too early.", now=timezone.now()
    )
    key.refresh_from_db()
    assert key.status == Key.Status.SUSPENDED
    assert key.status_reason == "Too early."


def test_what_holds_a_key_holds_it_against_changes_too(cast: Cast) -> None:
    key, _text = live_key(cast)
    suspend(key, cast.security)
    request = ask_change(key, cast.requester, reactivates=True)
    decide(request, cast.pm)
    decide(request, cast.legal)
    hold_key(actor=SYSTEM("tests"), key=key, hold=Key.Hold.CONSENT, now=timezone.now())
    with pytest.raises(Conflict) as refused:
        decide(request, cast.tech)
    assert "withdrawn the consent" in said(refused.value)


def test_an_address_that_the_requester_changed_stops_it(cast: Cast) -> None:
    key, _text = live_key(cast)
    other = make_contact(cast.company, "Second", "technical")
    request = ask_change(key, cast.requester, recipient=other.public_id)
    for person in (cast.pm, cast.legal, cast.tech):
        decide(request, person)
    key.refresh_from_db()
    assert key.recipient == other


# --- sent back -------------------------------------------------------------------------------------------


def test_a_change_that_is_sent_back_lets_go_of_the_key_and_comes_again(cast: Cast) -> None:
    key, _text = live_key(cast)
    request = ask_change(key, cast.requester, rpm=300)
    decide(request, cast.pm)
    decide(request, cast.legal, "changes", reason="Less, please.")
    request.refresh_from_db()
    assert KeyChange.objects.get(request=request).state == S.DRAFT
    other = ask_change(key, cast.pm2, burst=5)  # goes first meanwhile
    decide(other, cast.security)
    assert KeyChange.objects.get(request=other).state == S.APPLIED
    again = start_change(actor=staff_actor(cast.requester), by=cast.requester, key=key, now=timezone.now())
    assert again == request
    ask_change(key, cast.requester, rpm=200)
    request.refresh_from_db()
    # What the change starts from is another now: everybody looks again.
    assert request.decisions.filter(fallen_at=None).count() == 0
    for person in (cast.pm, cast.legal, cast.tech):
        decide(request, person)
    key.refresh_from_db()
    assert (key.rpm, key.burst) == (200, 5)


def test_from_loosening_to_tightening_the_path_becomes_short(cast: Cast) -> None:
    key, _text = live_key(cast)
    request = ask_change(key, cast.requester, rpm=300)
    decide(request, cast.pm, "changes", reason="Rather less than now.")
    ask_change(key, cast.requester, rpm=50)
    change = KeyChange.objects.get(request=request)
    assert change.direction == "tightens"
    assert str(request.steps.get(state=Step.State.OPEN).role) == "pm_or_security"
    decide(request, cast.security)
    key.refresh_from_db()
    assert key.rpm == 50


# --- the window -------------------------------------------------------------------------------------------


def test_an_approved_change_waits_for_its_time(cast: Cast) -> None:
    key, _text = live_key(cast)
    at = timezone.now() + timedelta(hours=5)
    change = changed(cast, key, rpm=50, not_before=at)
    assert (change.state, key.rpm) == (S.SCHEDULED, 100)
    assert people_told("scheduled") == {cast.requester.public_id, key.recipient.public_id}
    assert apply_scheduled(now=at - timedelta(seconds=1)) == 0
    assert apply_scheduled(now=at) == 1
    assert apply_scheduled(now=at) == 0
    key.refresh_from_db()
    change.refresh_from_db()
    assert (change.state, key.rpm) == (S.APPLIED, 50)
    assert Event.objects.filter(action="key.changed").count() == 1


def test_approved_after_its_time_it_is_applied_at_once(cast: Cast) -> None:
    key, _text = live_key(cast)
    request = ask_change(key, cast.requester, rpm=50, not_before=timezone.now() + timedelta(hours=1))
    KeyChange.objects.filter(request=request).update(not_before=timezone.now() - timedelta(minutes=1))
    decide(request, cast.pm)
    key.refresh_from_db()
    assert key.rpm == 50


def test_what_can_not_be_applied_at_its_time_fails_where_people_see_it(cast: Cast) -> None:
    key, _text = live_key(cast, owner=cast.pm2)
    at = timezone.now() + timedelta(hours=5)
    change = changed(cast, key, rpm=50, not_before=at)
    revoke(key, cast.security)
    assert apply_scheduled(now=at) == 1
    change.refresh_from_db()
    assert change.state == S.FAILED
    assert key.public_id in change.end_reason
    assert people_told("failed") == {cast.requester.public_id, cast.pm2.public_id}
    assert Event.objects.filter(action="request.change_failed").count() == 1
    assert apply_scheduled(now=at) == 0


def test_requester_and_security_cancel_before_the_time_others_do_not(cast: Cast) -> None:
    key, _text = live_key(cast)
    at = timezone.now() + timedelta(hours=5)

    def cancel(by: Any, request: Request, reason: str = "Not tonight.") -> None:
        cancel_change(actor=staff_actor(by), by=by, request=request, reason=reason, now=timezone.now())

    for number, person in enumerate((cast.requester, cast.security)):
        change = changed(cast, key, rpm=50 + number, not_before=at)
        with pytest.raises(NotAllowed):
            cancel(cast.tech, change.request)
        with pytest.raises(Invalid):
            cancel(person, change.request, " ")
        cancel(person, change.request)
        change.refresh_from_db()
        assert (change.state, change.ended_by) == (S.CANCELLED, person)
        with pytest.raises(Conflict):
            cancel(person, change.request)
    assert apply_scheduled(now=at) == 0


# --- rolling back ----------------------------------------------------------------------------------------


def roll_back(
    by: Any, change: KeyChange, *, now: Any = None, reason: str = "It broke their nightly run."
) -> None:
    roll_back_change(
        actor=staff_actor(by), by=by, request=change.request, reason=reason, now=now or timezone.now()
    )


def test_a_tightening_is_taken_back_by_security_for_a_while(cast: Cast) -> None:
    key, _text = live_key(cast)
    change = changed(cast, key, rpm=50, ip_ranges=("203.0.113.0/28",))
    with pytest.raises(NotAllowed):
        roll_back(cast.pm, change)
    with pytest.raises(NotAllowed):
        roll_back(cast.tech, change)
    with pytest.raises(Invalid):
        roll_back(cast.security, change, reason="")
    assert change.applied_at is not None
    late = change.applied_at + settings.CHANGE_ROLLBACK + timedelta(minutes=1)
    with pytest.raises(Conflict) as refused:
        roll_back(cast.security, change, now=late)
    assert "14 days" in said(refused.value)
    roll_back(cast.security, change)
    key.refresh_from_db()
    assert (key.rpm, key.ip_ranges) == (100, ["203.0.113.0/24"])
    event = Event.objects.get(action="key.rolled_back")
    assert (event.payload["before"]["rpm"], event.payload["after"]["rpm"]) == (50, 100)
    with pytest.raises(Conflict):
        roll_back(cast.security, change)


def test_a_loosening_is_taken_back_by_a_pm(cast: Cast) -> None:
    key, _text = live_key(cast)
    request = ask_change(key, cast.requester, rpm=200)
    for person in (cast.pm, cast.legal, cast.tech):
        decide(request, person)
    roll_back(cast.pm2, KeyChange.objects.get(request=request))
    key.refresh_from_db()
    assert key.rpm == 100


def test_only_the_last_change_is_taken_back_one_after_the_other(cast: Cast) -> None:
    key, _text = live_key(cast)
    first, second = changed(cast, key, rpm=50), changed(cast, key, rpm=40)
    with pytest.raises(Conflict) as refused:
        roll_back(cast.security, first)
    assert second.request.public_id in said(refused.value)
    roll_back(cast.security, second)
    roll_back(cast.security, first)
    key.refresh_from_db()
    assert key.rpm == 100


def test_no_way_back_for_a_key_that_ended(cast: Cast) -> None:
    key, _text = live_key(cast)
    change = changed(cast, key, rpm=50)
    revoke(key, cast.security)
    with pytest.raises(Conflict):
        roll_back(cast.security, change)


# --- the look --------------------------------------------------------------------------------------------


def test_requester_or_owner_look_once(cast: Cast) -> None:
    key, _text = live_key(cast, owner=cast.pm2)
    change = changed(cast, key, rpm=50)
    assert change.applied_at is not None
    assert change.look_due_at == change.applied_at + settings.CHANGE_LOOK_AFTER

    def look(by: Any, note: str = "No more refusals than before.") -> None:
        note_look(actor=staff_actor(by), by=by, request=change.request, note=note, now=timezone.now())

    with pytest.raises(NotAllowed):
        look(cast.security)
    with pytest.raises(Invalid):
        look(cast.pm2, " ")
    look(cast.pm2)
    with pytest.raises(Conflict):
        look(cast.requester)
    assert Event.objects.get(action="request.change_looked_at").payload["note"].startswith("No more")


def test_a_partner_that_is_closed_gets_no_changes(cast: Cast) -> None:
    partner = make_partner("Closed soon")
    from tests.cast import make_contract

    key = cast.key(make_contract(partner))
    reveal(key)
    partner.is_active = False
    partner.save(update_fields=["is_active"])
    with pytest.raises(Conflict):
        ask_change(key, cast.requester, rpm=50)
