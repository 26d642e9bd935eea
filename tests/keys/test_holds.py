"""A held key does not run, whoever would start it, until what holds it is settled (A7-A9)."""

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import Event
from core.actors import SYSTEM, staff_actor
from core.errors import Conflict
from keys.models import Key
from keys.status.services import hold_key, reactivate_key, release_key
from notifications.models import Message
from tests.cast import Cast, sign_in
from tests.key_stories import link_of, reveal, revoke, suspend

pytestmark = pytest.mark.django_db
DOUBT, LATE = Key.Hold.DOUBT, Key.Hold.LATE


def hold(key: Key, why: Key.Hold = DOUBT) -> bool:
    done = hold_key(actor=SYSTEM("tests"), key=key, hold=why, now=timezone.now())
    key.refresh_from_db()
    return done


def release(key: Key, why: Key.Hold = DOUBT) -> bool:
    done = release_key(actor=SYSTEM("tests"), key=key, hold=why, now=timezone.now())
    key.refresh_from_db()
    return done


def start(cast: Cast, key: Key) -> None:
    actor = staff_actor(cast.tech)
    reactivate_key(actor=actor, by=cast.tech, key=key, reason="Looked at.", now=timezone.now())
    key.refresh_from_db()


def test_a_running_key_stops_and_its_people_are_told(cast: Cast) -> None:
    key = cast.key()
    reveal(key)
    assert hold(key)
    assert (key.status, key.held_for) == ("suspended", ["doubt"])
    told = Message.objects.filter(kind="key_suspended").values_list("recipient_ref", flat=True)
    assert set(told) == {key.recipient.public_id, key.owner.public_id}
    assert Event.objects.get(action="key.suspended").payload["reason_code"] == "doubt"
    assert not hold(key)
    assert Event.objects.filter(action="key.suspended").count() == 1


def test_a_key_on_its_way_can_not_be_collected_and_waits_again_afterwards(cast: Cast) -> None:
    key = cast.key()
    url = reverse("keys:delivery-collect", args=[link_of(key)])
    hold(key)
    assert Client().post(url).status_code in {409, 410}
    assert not key.secrets.exists()
    release(key)
    start(cast, key)
    assert key.status == "pending"
    reveal(key)
    assert key.status == "active"


def test_nobody_starts_a_held_key(cast: Cast) -> None:
    key = cast.key()
    reveal(key)
    hold(key)
    page = sign_in(cast.security).get(reverse("keys:key-detail", args=[key.public_id])).content.decode()
    assert "An approval of this key is in doubt" in page
    assert reverse("keys:key-reactivate", args=[key.public_id]) not in page
    page = sign_in(cast.security).get(reverse("keys:key-reactivate", args=[key.public_id])).content.decode()
    assert "An approval of this key is in doubt" in page
    assert 'name="reason"' not in page
    answer = sign_in(cast.security).post(
        reverse("keys:key-reactivate", args=[key.public_id]), {"reason": "I know better."}
    )
    assert answer.status_code == 409
    assert "in doubt" in answer.content.decode()
    key.refresh_from_db()
    assert key.status == "suspended"


def test_each_hold_must_go_before_the_key_may_start(cast: Cast) -> None:
    key = cast.key()
    reveal(key)
    hold(key)
    hold(key, LATE)
    assert release(key)
    assert key.status == "suspended"
    with pytest.raises(Conflict):
        start(cast, key)
    assert release(key, LATE)
    assert not release(key, LATE)
    start(cast, key)
    assert key.status == "active"


def test_who_suspended_a_key_can_not_start_it_once_it_is_held(cast: Cast) -> None:
    key = cast.key()
    reveal(key)
    suspend(key, cast.tech)
    assert hold(key)
    assert Message.objects.filter(kind="key_suspended").count() == 2  # of the first suspension alone
    with pytest.raises(Conflict):
        start(cast, key)


def test_a_held_key_can_be_revoked_and_an_ended_one_needs_no_hold(cast: Cast) -> None:
    key = cast.key()
    hold(key)
    revoke(key, cast.security)
    assert key.status == "revoked"
    assert not hold(key, LATE)


def test_the_database_refuses_a_held_key_that_runs(cast: Cast) -> None:
    key = cast.key()
    hold(key)
    with pytest.raises(IntegrityError, match="keys_key_held_never_runs"), transaction.atomic():
        Key.objects.filter(pk=key.pk).update(status="active", suspended_at=None)


def test_not_approved_is_no_reason_for_a_person(cast: Cast) -> None:
    key = cast.key()
    url = reverse("keys:key-revoke", args=[key.public_id])
    form = {"reason": "not_approved", "typed_number": key.public_id, "note": ""}
    assert sign_in(cast.security).post(url, form).status_code == 422
