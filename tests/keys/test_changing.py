"""Changing an issued key's terms: whole or not at all, in force on the next check (R3, V4)."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from audit.models import Event
from core.actors import SYSTEM
from core.errors import Conflict
from keys.life.services.changing import Change, change_key
from keys.models import Key
from keys.terms.settings import digest_of_settings, terms_of
from keys.terms.terms import KeyTerms
from tests.cast import Cast
from tests.dataplane import early_in_a_minute, make_gateway, verify
from tests.key_stories import reveal, revoke, suspend
from verifier.callers import gateways

pytestmark = pytest.mark.django_db(transaction=True)
ADDRESS = "203.0.113.9"


@pytest.fixture
def gateway(transactional_db: None) -> str:
    """The credential of a gateway that may ask from everywhere."""
    gateways.forget_all()
    return make_gateway()


def wanted(key: Key, **changes: Any) -> Change:
    now = terms_of(Key.objects.get(pk=key.pk))
    status = changes.pop("status", None)
    return Change(replace(now, **changes), based_on=digest_of_settings(now), status=status)


def apply(key: Key, change: Change) -> Key:
    with transaction.atomic():
        return change_key(
            actor=SYSTEM("tests"), key=key, change=change, objects=["request:KR-1"], now=timezone.now()
        )


def test_terms_of_an_issued_key_are_those_it_was_issued_on(cast: Cast) -> None:
    asked = cast.terms(
        purpose_category="revenue",
        sla_latency_ms=500,
        sla_success_percent="99.5",
        monthly_budget_usd="120.00",
        budget_thresholds=(50, 100),
        billing_contact=cast.company.contacts.get().public_id,
        model_names=("small",),
    )
    key = cast.key(
        **{
            name: getattr(asked, name)
            for name in (
                "purpose_category",
                "sla_latency_ms",
                "sla_success_percent",
                "monthly_budget_usd",
                "budget_thresholds",
                "billing_contact",
                "model_names",
            )
        }
    )
    key.refresh_from_db()
    assert terms_of(key) == asked


def test_the_very_next_check_is_judged_by_the_new_limits(cast: Cast, gateway: str) -> None:
    key = cast.key(scopes=("catalog:read", "catalog:write"))
    _secret, text = reveal(key)
    question = {"ip": ADDRESS, "scope": "catalog:write"}
    early_in_a_minute()
    assert verify(gateway, text, **question).code == "VALID"
    apply(key, wanted(key, scopes=("catalog:read",)))
    assert verify(gateway, text, **question).code == "INSUFFICIENT_SCOPE"
    apply(key, wanted(key, rpm=1))
    assert verify(gateway, text, ip=ADDRESS).code == "RATE_LIMITED_MINUTE"
    apply(key, wanted(key, rpm=200, ip_ranges=("198.51.100.0/24",)))
    assert verify(gateway, text, ip=ADDRESS).code == "IP_NOT_ALLOWED"
    assert verify(gateway, text, ip="198.51.100.7").code == "VALID"


def test_the_event_tells_before_and_after_of_what_differs(cast: Cast) -> None:
    key = cast.key()
    reveal(key)
    due, before = key.rotation_due_on, key.revision
    last = cast.small.ends_on.isoformat()
    changed = apply(key, wanted(key, rpm=40, rotation_days=60, expires_on=last))
    event = Event.objects.get(action="key.changed")
    assert event.objects_touched == [f"key:{key.public_id}", "request:KR-1"]
    assert event.payload["before"]["rpm"] == 100
    assert event.payload["after"]["rpm"] == 40
    assert event.payload["fields"] == ["expires_on", "rotation_days", "rpm"]
    assert due is not None
    assert changed.rotation_due_on == due - timedelta(days=30)
    key.refresh_from_db()
    assert key.revision == before + 1
    assert terms_of(key).expires_on == last


def test_products_and_search_follow(cast: Cast) -> None:
    key = cast.key()
    apply(key, wanted(key, name="Parcels", products=("catalog", "orders"), scopes=("orders:read",)))
    key.refresh_from_db()
    assert {product.code for product in key.products.all()} == {"catalog", "orders"}
    assert "parcels" in key.search_text
    assert "orders" in key.search_text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"environment": "test"}, "a new key is needed"),
        ({"expires_on": "2040-01-01"}, "a key never outlives its contract"),
        ({"rpm": 5_000, "rph": 60_000}, "at most 2,000 a minute"),
        ({"scopes": ("orders:read",)}, "Not a scope of the chosen API products"),
    ],
)
def test_what_a_new_key_could_not_have_no_change_gives(
    cast: Cast, changes: dict[str, Any], words: str
) -> None:
    key = cast.key()
    reveal(key)
    with pytest.raises(Conflict) as refused:
        apply(key, wanted(key, **changes))
    assert words.casefold() in _english(refused.value).casefold()
    assert not Event.objects.filter(action="key.changed").exists()


def _english(error: Conflict) -> str:
    from django.utils.translation import override

    with override("en"):
        return str(error.message)


def test_a_key_that_was_changed_or_ended_meanwhile_is_not_overwritten(cast: Cast) -> None:
    key = cast.key()
    reveal(key)
    first, second = wanted(key, rpm=40), wanted(key, rph=500)
    apply(key, first)
    with pytest.raises(Conflict):
        apply(key, second)
    key.refresh_from_db()
    assert (key.rpm, key.rph) == (40, 1_000)
    third = wanted(key, rph=500)
    revoke(key, cast.security)
    with pytest.raises(Conflict):
        apply(key, third)
    key.refresh_from_db()
    assert key.status == Key.Status.REVOKED


def test_a_suspended_key_is_changed_and_started_in_one_act(cast: Cast, gateway: str) -> None:
    key = cast.key()
    _secret, text = reveal(key)
    suspend(key, cast.security)
    apply(key, wanted(key, rph=500))
    assert verify(gateway, text, ip=ADDRESS).code == "SUSPENDED"
    apply(key, wanted(key, rph=400, status=Key.Status.ACTIVE))
    assert verify(gateway, text, ip=ADDRESS).code == "VALID"
    with pytest.raises(Conflict):
        apply(key, wanted(key, status=Key.Status.ACTIVE))


def test_who_receives_a_key_stays_while_the_link_is_on_its_way(cast: Cast) -> None:
    from tests.cast import make_contact

    key = cast.key()
    other = make_contact(cast.company, "Second", "technical").public_id
    with pytest.raises(Conflict):
        apply(key, wanted(key, recipient=other))
    reveal(key)
    apply(key, wanted(key, recipient=other))


def test_the_digest_is_of_what_the_key_keeps(cast: Cast) -> None:
    one: KeyTerms = cast.terms(scopes=("catalog:read", "catalog:write"))
    same = replace(
        one, scopes=("catalog:write", "catalog:read"), licence_checklist=(), terms_version="2027-01"
    )
    assert digest_of_settings(one) == digest_of_settings(same)
    assert digest_of_settings(one) != digest_of_settings(replace(one, burst=0))
