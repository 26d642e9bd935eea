"""A change of a key while something goes wrong: a doubt, a consent withdrawn, a key stopped (A7, A9, R3)."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override

from accounts.models import User
from approvals.changes.services.after import roll_back_change
from approvals.changes.services.applying import apply_scheduled, cancel_change
from approvals.models import Decision, Doubt, KeyChange, Request
from approvals.requests.services.change_drafts import start_change
from audit.models import Event
from core.actors import staff_actor
from core.errors import Conflict
from keys.models import Key
from keys.status.services import reactivate_key
from notifications.models import Message
from tests.approvals.test_break_glass import break_the_glass, key_of
from tests.cast import Cast, consent, decide, open_step, sign_in
from tests.changes import ask_change, changed, live_key
from tests.doubts import consent_of, look_into, not_me, take_back
from tests.key_stories import reveal, revoke, suspend

pytestmark = pytest.mark.django_db
S = KeyChange.State


@pytest.fixture(autouse=True)
def _in_english() -> Iterator[None]:
    with override("en"):
        yield


@pytest.fixture
def tonight() -> datetime:
    return timezone.now() + timedelta(hours=9)


@pytest.fixture
def star_key(cast: Cast) -> Key:
    """A rights-holder's key that runs on a consent."""
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    consent(request)
    decide(request, cast.legal)
    decide(request, cast.tech)
    key = Key.objects.get(request_ref=request.public_id)
    reveal(key)
    return key


def state(thing: Key | KeyChange) -> tuple[str, list[str]] | str:
    thing.refresh_from_db()
    return (thing.status, thing.held_for) if isinstance(thing, Key) else str(thing.state)


def all_approve(cast: Cast, request: Request) -> KeyChange:
    """The whole path of a change that loosens, up to its end."""
    while request.steps.filter(state="open").exists():
        role = open_step(request).role
        if role == "rights_holder":
            consent(request)
        else:
            decide(request, getattr(cast, str(role)))
    return KeyChange.objects.select_related("request", "key").get(request=request)


def roll_back(by: User, change: KeyChange) -> None:
    roll_back_change(
        actor=staff_actor(by), by=by, request=change.request, reason="It broke.", now=timezone.now()
    )


def page_of(doubt: Doubt, reader: User) -> str:
    """What security reads before it decides."""
    url = reverse("approvals:doubt-look", args=[doubt.request.public_id])
    return sign_in(reader).get(url).content.decode()


def first_consent(key: Key) -> Decision:
    return consent_of(Request.objects.get(key=key))


# --- an answer is in doubt while the change waits ------------------------------------------------------


def test_a_change_in_doubt_waits_and_the_key_runs_on_what_was_approved_before(
    cast: Cast, tonight: datetime
) -> None:
    key, _text = live_key(cast)
    change = changed(cast, key, rpm=50, not_before=tonight)
    doubt = not_me(change.request.decisions.get())
    assert state(key) == ("active", [])
    assert apply_scheduled(now=tonight) == 0
    with pytest.raises(Conflict, match="frozen"):
        cancel_change(
            actor=staff_actor(cast.security),
            by=cast.security,
            request=change.request,
            reason="Not tonight.",
            now=timezone.now(),
        )
    look_into(doubt, cast.coo, now=tonight + timedelta(hours=1))
    assert state(change) == S.SCHEDULED
    assert apply_scheduled(now=tonight + timedelta(hours=2)) == 1
    assert (state(change), state(key), key.rpm) == (S.APPLIED, ("active", []), 50)


def test_a_void_answer_cancels_the_change_before_its_time(cast: Cast, tonight: datetime) -> None:
    key, _text = live_key(cast)
    change = changed(cast, key, rpm=50, not_before=tonight)
    doubt = not_me(change.request.decisions.get())
    assert "the change is cancelled" in page_of(doubt, cast.coo)
    look_into(doubt, cast.coo, "rejected")
    assert (state(change), change.ended_by) == (S.CANCELLED, cast.coo)
    assert apply_scheduled(now=tonight) == 0
    assert (state(key), key.rpm) == (("active", []), 100)


# --- an answer is in doubt once it is applied ----------------------------------------------------------


def test_a_void_answer_undoes_the_change_that_it_made(cast: Cast) -> None:
    key, _text = live_key(cast)
    change = all_approve(cast, ask_change(key, cast.requester, rpm=200))
    doubt = not_me(change.request.decisions.earliest("id"))
    assert state(key) == ("suspended", ["doubt"])
    assert "the change is undone first" in page_of(doubt, cast.security)
    look_into(doubt, cast.security, "rejected")
    # What the void answer gave is gone; somebody starts the key, and says why that is safe.
    assert (state(change), state(key), key.rpm) == (S.ROLLED_BACK, ("suspended", []), 100)
    assert Event.objects.get(action="key.rolled_back").payload["reason"] == "Called them."
    assert Message.objects.filter(kind="change_news", context__what="rolled_back").exists()


def test_what_can_not_be_undone_keeps_the_key_held_until_it_is(cast: Cast) -> None:
    key, _text = live_key(cast)
    change = all_approve(cast, ask_change(key, cast.requester, rpm=200))
    later = changed(cast, key, burst=5)
    look_into(not_me(change.request.decisions.earliest("id")), cast.security, "rejected")
    assert (state(change), state(key)) == (S.APPLIED, ("suspended", ["doubt"]))
    with pytest.raises(Conflict):
        reactivate_key(
            actor=staff_actor(cast.ops), by=cast.ops, key=key, reason="It is fine.", now=timezone.now()
        )
    roll_back(cast.security, later)
    assert state(key) == ("suspended", ["doubt"])
    roll_back(cast.security, change)
    assert (state(key), key.rpm) == (("suspended", []), 100)


def test_nothing_is_rolled_back_while_the_request_is_frozen(cast: Cast) -> None:
    key, _text = live_key(cast)
    change = changed(cast, key, rpm=50)
    doubt = not_me(change.request.decisions.get())
    with pytest.raises(Conflict, match="frozen"):
        roll_back(cast.security, change)
    look_into(doubt, cast.coo)
    assert state(key) == ("suspended", [])
    roll_back(cast.security, change)
    assert (state(key), key.rpm) == (("suspended", []), 100)


def test_of_two_doubts_about_a_key_the_first_that_is_cleared_does_not_let_go(cast: Cast) -> None:
    request = cast.request()
    for person in (cast.pm, cast.legal, cast.tech):
        decide(request, person)
    key = Key.objects.get(request_ref=request.public_id)
    reveal(key)
    change = changed(cast, key, rpm=50)
    doubts = [not_me(one.decisions.earliest("id")) for one in (request, change.request)]
    look_into(doubts[0], cast.security)
    assert state(key) == ("suspended", ["doubt"])
    look_into(doubts[1], cast.security)
    assert state(key) == ("suspended", [])


# --- a consent is withdrawn ----------------------------------------------------------------------------


def test_a_withdrawn_consent_cancels_the_change_that_waits_for_its_time(
    cast: Cast, star_key: Key, tonight: datetime
) -> None:
    change = all_approve(cast, ask_change(star_key, cast.requester, rpm=200, not_before=tonight))
    assert state(change) == S.SCHEDULED
    take_back(consent_of(change.request))
    assert apply_scheduled(now=tonight) == 0
    # The key itself stands on the consent from before, which is not taken back.
    assert (state(change), state(star_key), star_key.rpm) == (S.CANCELLED, ("active", []), 100)


def test_no_consent_from_before_a_withdrawal_starts_the_key(
    cast: Cast, star_key: Key, tonight: datetime
) -> None:
    suspend(star_key, cast.security)
    asked = ask_change(star_key, cast.requester, reactivates=True, not_before=tonight)
    change = all_approve(cast, asked)
    take_back(first_consent(star_key))
    assert apply_scheduled(now=tonight) == 1
    assert (state(change), state(star_key)) == (S.FAILED, ("suspended", ["consent"]))
    assert "withdrawn the consent" in change.end_reason


def test_submitted_again_the_rights_holder_is_asked_anew(cast: Cast, star_key: Key) -> None:
    suspend(star_key, cast.security)
    asked = ask_change(star_key, cast.requester, reactivates=True)
    decide(asked, cast.pm)
    consent(asked)
    take_back(first_consent(star_key))
    decide(asked, cast.legal)
    with pytest.raises(Conflict, match="withdrawn the consent"):
        decide(asked, cast.tech)
    decide(asked, cast.tech, "changes")
    asked = ask_change(star_key, cast.requester, reactivates=True)
    assert open_step(asked).role == "rights_holder"
    change = all_approve(cast, asked)
    assert (state(change), state(star_key)) == (S.APPLIED, ("active", []))


def test_with_the_change_goes_the_consent_that_was_given_to_it(cast: Cast, star_key: Key) -> None:
    take_back(first_consent(star_key))
    change = all_approve(cast, ask_change(star_key, cast.requester, reactivates=True))
    assert state(star_key) == ("active", [])
    roll_back(cast.security, change)
    assert state(star_key) == ("suspended", ["consent"])


# --- the key is stopped, ends, or loses its contract -----------------------------------------------------


def test_a_key_that_was_stopped_again_is_not_started_by_what_was_asked_before(
    cast: Cast, tonight: datetime
) -> None:
    key, _text = live_key(cast)
    suspend(key, cast.security)
    change = all_approve(cast, ask_change(key, cast.requester, reactivates=True, not_before=tonight))
    reactivate_key(
        actor=staff_actor(cast.ops), by=cast.ops, key=key, reason="Audit over.", now=timezone.now()
    )
    suspend(key, cast.security)
    assert apply_scheduled(now=tonight) == 1
    assert (state(change), state(key)[0]) == (S.FAILED, "suspended")
    assert "suspended again" in change.end_reason


def test_a_suspended_key_gets_its_settings_and_stays_suspended(cast: Cast, tonight: datetime) -> None:
    key, _text = live_key(cast)
    change = changed(cast, key, rpm=50, not_before=tonight)
    suspend(key, cast.security)
    assert apply_scheduled(now=tonight) == 1
    assert (state(change), state(key)[0], key.rpm) == (S.APPLIED, "suspended", 50)


def test_of_a_key_that_ended_the_change_is_given_up_at_once(cast: Cast, tonight: datetime) -> None:
    key, _text = live_key(cast)
    change = changed(cast, key, rpm=50, not_before=tonight)
    revoke(key, cast.security)
    assert apply_scheduled(now=timezone.now()) == 1
    assert state(change) == S.FAILED


def test_a_contract_that_ended_meanwhile_stops_the_change_at_its_time(cast: Cast, tonight: datetime) -> None:
    key, _text = live_key(cast)
    change = changed(cast, key, rpm=50, not_before=tonight)
    cast.small.ends_on = timezone.localdate() - timedelta(days=1)
    cast.small.save(update_fields=["ends_on"])
    assert apply_scheduled(now=tonight) == 1
    assert (state(change), state(key)[0], key.rpm) == (S.FAILED, "active", 100)
    assert change.end_reason


# --- an emergency -----------------------------------------------------------------------------------------


def test_a_key_of_an_emergency_is_not_changed_before_it_is_approved(cast: Cast) -> None:
    """Its last approval gives it what was asked for then, and would undo the change unseen."""
    request = break_the_glass(cast)
    key = key_of(request)
    reveal(key)
    with pytest.raises(Conflict, match="emergency"):
        start_change(actor=staff_actor(cast.requester), by=cast.requester, key=key, now=timezone.now())
    for person in (cast.pm, cast.legal, cast.tech):
        decide(request, person)
    ask_change(key, cast.requester, rpm=50)
