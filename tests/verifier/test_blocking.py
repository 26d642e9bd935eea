"""Blocked addresses (V3): by hand, and by itself where many false keys come from."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django.utils.translation import override

from accounts.models import User
from audit.models import Event
from core.actors import SYSTEM
from core.errors import Conflict, Invalid, NotAllowed
from keys.secrets import form as secret_format
from tests.cast import make_staff, sign_in
from tests.dataplane import authorize, make_gateway, make_live_key, verify
from verifier.callers import gateways
from verifier.callers.blocking import block_address, block_by_itself, lift_block
from verifier.decide.cold import STRIKES
from verifier.models import BlockedAddress

pytestmark = pytest.mark.django_db(transaction=True)

THIEF = "203.0.113.66"


@pytest.fixture
def officer() -> User:
    return make_staff("Mori", "security")


def block(by: User, network: str = THIEF, hours: int = 1) -> BlockedAddress:
    made = block_address(
        actor=SYSTEM("t"), by=by, network=network, reason="Guesses keys", hours=hours, now=timezone.now()
    )
    gateways.forget_all()  # what two seconds do
    return made


def test_no_key_is_answered_from_a_blocked_address(officer: User) -> None:
    gateway, live = make_gateway(), make_live_key()
    assert verify(gateway, live.text, ip=THIEF).code == "VALID"
    made = block(officer)
    assert verify(gateway, live.text, ip=THIEF).code == "ADDRESS_BLOCKED"
    assert authorize(gateway, live.text, HTTP_X_FORWARDED_FOR=THIEF).status == 403
    for address in ("203.0.113.65", "203.0.113.67", "2001:db8::1", f"::ffff:{THIEF[:-1]}5"):
        assert verify(gateway, live.text, ip=address).code == "VALID"
    assert verify(gateway, live.text, ip=f"::ffff:{THIEF}").code == "ADDRESS_BLOCKED"
    assert verify(gateway, live.text).code == "VALID"

    lift_block(actor=SYSTEM("t"), by=officer, number=made.pk, now=timezone.now())
    gateways.forget_all()
    assert verify(gateway, live.text, ip=THIEF).code == "VALID"
    actions = list(Event.objects.order_by("id").values_list("action", flat=True))
    assert actions[-2:] == ["address.blocked", "address.unblocked"]


def test_a_network_is_blocked_whole_and_a_block_ends_by_itself(officer: User) -> None:
    gateway, live = make_gateway(), make_live_key()
    made = block(officer, "2001:db8:1::/48")
    assert verify(gateway, live.text, ip="2001:db8:1:ffff::9").code == "ADDRESS_BLOCKED"
    assert verify(gateway, live.text, ip="2001:db8:2::9").code == "VALID"
    BlockedAddress.objects.filter(pk=made.pk).update(
        blocked_at=timezone.now() - timedelta(hours=2), until=timezone.now() - timedelta(hours=1)
    )
    gateways.forget_all()
    assert verify(gateway, live.text, ip="2001:db8:1:ffff::9").code == "VALID"
    with pytest.raises(Conflict):
        lift_block(actor=SYSTEM("t"), by=officer, number=made.pk, now=timezone.now())


def test_who_sends_many_false_keys_is_blocked_by_itself() -> None:
    gateway, live = make_gateway(), make_live_key()
    for _ in range(STRIKES):
        assert verify(gateway, secret_format.generate("kb", "live").text, ip=THIEF).code == "NOT_FOUND"
    made = BlockedAddress.objects.get()
    assert (made.network, made.is_automatic) == (f"{THIEF}/32", True)
    assert Event.objects.filter(action="address.blocked").count() == 1
    gateways.forget_all()
    assert verify(gateway, live.text, ip=THIEF).code == "ADDRESS_BLOCKED"
    assert block_by_itself(address=THIEF, now=timezone.now()) is None


def test_who_sends_them_from_all_over_a_network_of_ipv6_is_blocked_with_all_of_it() -> None:
    gateway, live = make_gateway(), make_live_key()
    for number in range(STRIKES):
        text = secret_format.generate("kb", "live").text
        assert verify(gateway, text, ip=f"2001:db8:1:2::{number:x}").code == "NOT_FOUND"
    assert BlockedAddress.objects.get().network == "2001:db8:1:2::/64"
    gateways.forget_all()
    assert verify(gateway, live.text, ip="2001:db8:1:2:9::9").code == "ADDRESS_BLOCKED"
    assert verify(gateway, live.text, ip="2001:db8:1:3::9").code == "VALID"


def test_false_keys_from_many_addresses_push_out_no_block_that_people_made(officer: User) -> None:
    gateway, live = make_gateway(), make_live_key()
    block(officer)
    for number in range(BlockedAddress.MOST + 1):
        assert block_by_itself(address=f"198.51.{100 + number // 256}.{number % 256}", now=timezone.now())
    gateways.forget_all()
    with override("en"):
        page = sign_in(officer).get("/gateways/blocked/").content.decode()
    assert "2 older blocks that came by themselves are not in force" in page
    assert f"looks through {BlockedAddress.MOST} at a time" in page
    assert verify(gateway, live.text, ip=THIEF).code == "ADDRESS_BLOCKED"
    assert verify(gateway, live.text, ip="198.51.100.0").code == "VALID"
    assert verify(gateway, live.text, ip="198.51.100.200").code == "ADDRESS_BLOCKED"


def test_a_block_that_nobody_would_look_at_is_refused(officer: User) -> None:
    for number in range(BlockedAddress.MOST):
        block(officer, f"198.51.100.{number}")
    with pytest.raises(Invalid, match="200"):
        block(officer, "198.51.101.1")
    block(officer, "198.51.100.7", hours=9)


def test_one_wrong_key_again_and_again_blocks_nobody() -> None:
    gateway, live = make_gateway(), make_live_key()
    wrong = secret_format.generate("kb", "live").text
    for _ in range(2 * STRIKES):
        assert verify(gateway, wrong, ip=THIEF).code == "NOT_FOUND"
    assert not BlockedAddress.objects.exists()
    assert verify(gateway, live.text, ip=THIEF).code == "VALID"


def test_who_may_and_what_is_refused(officer: User) -> None:
    with pytest.raises(NotAllowed):
        block(make_staff("P", "pm"))
    for network, hours in (("no address", 1), ("0.0.0.0/0", 1), (THIEF, 0), (THIEF, 721)):
        with pytest.raises(Invalid):
            block(officer, network, hours)
    assert not BlockedAddress.objects.exists()


def test_blocking_again_sets_a_new_end_and_keeps_the_first(officer: User) -> None:
    first, second = block(officer, hours=1), block(officer, hours=9)
    first.refresh_from_db()
    assert first.lifted_at is not None
    assert BlockedAddress.objects.get(lifted_at=None) == second


def test_false_keys_from_loopback_of_ipv6_do_not_block_ipv4() -> None:
    gateway, live = make_gateway(), make_live_key()
    for _ in range(STRIKES):
        verify(gateway, secret_format.generate("kb", "live").text, ip="::1")
    assert BlockedAddress.objects.get().network == "::/64"
    gateways.forget_all()
    assert verify(gateway, live.text, ip="::2").code == "ADDRESS_BLOCKED"
    assert verify(gateway, live.text, ip="203.0.113.7").code == "VALID"
    assert verify(gateway, live.text, ip="::ffff:203.0.113.7").code == "VALID"


def test_a_block_by_hand_is_of_one_family(officer: User) -> None:
    with pytest.raises(Invalid) as refused:
        block(officer, "::/64")
    assert refused.value.field == "network"
    assert not BlockedAddress.objects.exists()
