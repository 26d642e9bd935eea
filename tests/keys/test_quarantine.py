"""Quarantine (K6): read only, a tenth of the limits, known addresses only, with an end of its own."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import Event
from core.actors import SYSTEM
from core.errors import Conflict, Invalid, NotAllowed
from keys.hotstore import publish as hotstore
from keys.life.services.quarantine import end_due_quarantines, end_quarantine, quarantine_key
from keys.models import ApiProduct, Key, Scope, SeenAddress
from keys.registry.selectors.key_page import key_page
from keys.rights.limits import limits_of
from keys.rights.quarantine import RPM_OF_NO_LIMIT, limits_in_force, narrowed
from keys.status.services import revoke_key, suspend_key
from notifications.models import Message
from tests.cast import make_staff
from tests.dataplane import LiveKey, make_gateway, make_live_key, verify

pytestmark = pytest.mark.django_db(transaction=True)

OFFICE = "203.0.113.9"


@pytest.fixture(autouse=True)
def catalogue() -> None:
    product = ApiProduct.objects.create(code="catalog", name="目録", name_en="Catalogue", licence_level=1)
    Scope.objects.create(product=product, code="catalog:read", name="読む", name_en="Read")
    Scope.objects.create(product=product, code="catalog:write", name="書く", name_en="Write", is_write=True)


def used_from(live: LiveKey, address: str, *, days_ago: float = 5, n_allowed: int = 10) -> None:
    first = timezone.now() - timedelta(days=days_ago)
    SeenAddress.objects.create(
        key=live.key, secret=live.secret, address=address, first_seen_at=first, last_seen_at=first,
        n_allowed=n_allowed, n_refused=10 - n_allowed,
    )  # fmt: skip


def narrow(live: LiveKey, *, hours: int = 24) -> Key:
    by = make_staff("Mori", "security")
    return quarantine_key(
        actor=SYSTEM("t"), by=by, key=live.key, reason="Odd traffic", hours=hours, now=timezone.now()
    )


def test_it_may_only_read_from_addresses_that_were_known() -> None:
    live, gateway = make_live_key(rpm=100, rph=1_000, burst=50), make_gateway()
    used_from(live, OFFICE)
    used_from(live, "198.51.100.1", days_ago=0.5)  # first seen today: it may be the thief
    used_from(live, "198.51.100.2", n_allowed=0)  # tried and refused
    ask = {"scope": "catalog:read", "ip": OFFICE}
    assert verify(gateway, live.text, scope="catalog:write", ip="192.0.2.1").code == "VALID"

    narrow(live)
    told = verify(gateway, live.text, **ask).json
    assert told["code"] == "VALID"
    assert told["scopes"] == ["catalog:read"]
    assert (told["limits"]["minute"], told["limits"]["hour"], told["limits"]["burst"]) == (10, 100, 5)
    for refused in (
        {"scope": "catalog:write", "ip": OFFICE},
        {"scope": "catalog:read", "ip": "198.51.100.1"},
        {"scope": "catalog:read", "ip": "198.51.100.2"},
        {"scope": "catalog:read"},
    ):
        assert verify(gateway, live.text, **refused).code == "QUARANTINED"
    assert [verify(gateway, live.text, **ask).code for _ in range(20)].count("VALID") <= 10


def test_without_a_known_address_nothing_passes() -> None:
    live, gateway = make_live_key(), make_gateway()
    narrow(live)
    for ip in (OFFICE, "::1", None):
        asked = {"ip": ip} if ip else {}
        assert verify(gateway, live.text, scope="catalog:read", **asked).code == "QUARANTINED"


def test_it_ends_by_the_clock_whether_or_not_a_sweep_runs() -> None:
    live = make_live_key(rpm=100)
    key = narrow(live, hours=2)
    until = key.quarantined_until
    assert until is not None
    policy = hotstore.policy_of(key, [live.secret], now=timezone.now())
    assert (policy.quarantined, policy.rpm, policy.changes_at) == (True, 10, until)
    after = hotstore.policy_of(key, [live.secret], now=until)
    assert (after.quarantined, after.rpm, after.scopes) == (False, 100, tuple(key.scopes))

    assert end_due_quarantines(now=until - timedelta(seconds=1)) == 0
    assert end_due_quarantines(now=until) == 1
    assert end_due_quarantines(now=until) == 0
    key.refresh_from_db()
    assert (key.quarantined_until, key.quarantine_reason, key.quarantine_addresses) == (None, "", [])
    kinds = Event.objects.order_by("id").values_list("action", flat=True)
    assert list(kinds)[-2:] == ["key.quarantined", "key.quarantine_ended"]
    told = Message.objects.filter(kind="key_quarantine_ended").values_list("recipient_ref", flat=True)
    assert set(told) == {key.recipient.public_id, key.owner.public_id}


def test_ended_by_hand_it_gives_everything_back() -> None:
    live, gateway = make_live_key(), make_gateway()
    key = narrow(live)
    by = make_staff("Ota", "ops")
    with pytest.raises(Invalid):
        end_quarantine(actor=SYSTEM("t"), by=by, key=key, reason=" ", now=timezone.now())
    end_quarantine(actor=SYSTEM("t"), by=by, key=key, reason="It was our test", now=timezone.now())
    assert verify(gateway, live.text, scope="catalog:write", ip="192.0.2.1").code == "VALID"
    with pytest.raises(Conflict):
        end_quarantine(actor=SYSTEM("t"), by=by, key=key, reason="Again", now=timezone.now())


def test_who_may_and_what_has_to_be_said() -> None:
    live = make_live_key()
    now, by = timezone.now(), make_staff("Mori", "security")
    with pytest.raises(NotAllowed):
        quarantine_key(
            actor=SYSTEM("t"), by=make_staff("A", "auditor"), key=live.key, reason="x", hours=1, now=now
        )
    for reason, hours in ((" ", 1), ("x", 0), ("x", 169)):
        with pytest.raises(Invalid):
            quarantine_key(actor=SYSTEM("t"), by=by, key=live.key, reason=reason, hours=hours, now=now)
    suspend_key(actor=SYSTEM("t"), by=by, key=live.key, reason="x", now=now)
    with pytest.raises(Conflict):
        quarantine_key(actor=SYSTEM("t"), by=by, key=live.key, reason="x", hours=1, now=now)
    live.key.refresh_from_db()
    assert live.key.quarantined_until is None


def test_a_key_that_is_revoked_meanwhile_stays_dead() -> None:
    live, gateway, by = make_live_key(), make_gateway(), make_staff("Mori", "security")
    key = narrow(live)
    revoke_key(
        actor=SYSTEM("t"), by=by, key=key, reason="leaked", note="", typed_number=key.public_id,
        now=timezone.now(),
    )  # fmt: skip
    assert verify(gateway, live.text).code == "REVOKED"
    end_due_quarantines(now=timezone.now() + timedelta(hours=25))
    assert verify(gateway, live.text).code == "REVOKED"
    assert not Message.objects.filter(kind="key_quarantine_ended").exists()


def test_what_is_left_of_limits() -> None:
    key = make_live_key(rpm=0, rph=5, burst=0).key
    left = narrowed(key, limits_of(key, timezone.now())).limits
    assert (left.rpm, left.rph, left.burst) == (RPM_OF_NO_LIMIT, 1, 0)


def test_pages_measure_against_what_is_left() -> None:
    key, now = narrow(make_live_key(rpm=100, rph=1_000)), timezone.now()
    assert limits_in_force(key, now).rph == key_page(key.owner, key, now=now).limits.rph == 100
    assert limits_in_force(key, now + timedelta(hours=25)).rph == 1_000
