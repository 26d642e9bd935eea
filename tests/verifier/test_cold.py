"""V3's cold path: what a false key costs, and what a thousand of them cost."""

import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from keys.hotstore import publish as hotstore
from keys.secrets import form as secret_format
from keys.secrets import hashing
from tests.dataplane import LiveKey, add_secret, make_gateway, make_live_key, retire, verify
from verifier.contract.question import Context, Question
from verifier.decide import cold
from verifier.decide.warm import Miss


@pytest.fixture
def proofs(monkeypatch: pytest.MonkeyPatch) -> "Counter[str]":
    """Counts what Argon2 is asked; it is asked all the same."""
    seen: Counter[str] = Counter()
    real = hashing.verify_digest

    def counted(stored: str, value: bytes) -> bool:
        seen[stored] += 1
        return real(stored, value)

    monkeypatch.setattr(hashing, "verify_digest", counted)
    return seen


def false_key(live: LiveKey | None = None) -> str:
    """A well-formed secret that nobody issued, with a true key's family if wanted."""
    return secret_format.generate("kb", "live", live.key.family if live else None).text


@pytest.mark.django_db
def test_argon2_is_paid_once_and_the_database_read_once(
    gateway: str, proofs: "Counter[str]", django_assert_num_queries: Any
) -> None:
    live = make_live_key()
    verify(gateway, live.text[:-1])
    with django_assert_num_queries(2):
        assert verify(gateway, live.text).code == "VALID"
    with django_assert_num_queries(0):
        for _ in range(3):
            assert verify(gateway, live.text).code == "VALID"
    assert proofs.total() == 1


@pytest.mark.django_db
def test_policy_past_its_time_is_read_again_without_argon2(
    gateway: str, proofs: "Counter[str]", settings: Any, django_assert_num_queries: Any
) -> None:
    live = make_live_key()
    assert verify(gateway, live.text).code == "VALID"
    found, token = hotstore.read(live.key.family, now=timezone.now()), hotstore.begin(live.key.family)
    assert found is not None
    settings.API_KEY_AUTH_CACHE_TTL_SECONDS = -1
    hotstore.write(live.key.family, found.policy, token, now=timezone.now())
    settings.API_KEY_AUTH_CACHE_TTL_SECONDS = 300
    with django_assert_num_queries(2):
        assert verify(gateway, live.text).code == "VALID"
    assert proofs.total() == 1


@pytest.mark.django_db
def test_false_keys_of_a_true_key_id_reach_neither_argon2_nor_the_database_twice(
    gateway: str, proofs: "Counter[str]", django_assert_num_queries: Any
) -> None:
    live = make_live_key()
    assert verify(gateway, false_key(live)).code == "NOT_FOUND"
    with django_assert_num_queries(0):
        for _ in range(200):
            assert verify(gateway, false_key(live), ip="198.51.100.1").code == "NOT_FOUND"
    assert proofs.total() == 0
    # The flood neither used the key's limits nor locked its owner out.
    assert verify(gateway, live.text, ip="198.51.100.1").code == "VALID"


@pytest.mark.django_db
def test_unknown_family_is_remembered(gateway: str, django_assert_num_queries: Any) -> None:
    text = false_key()
    assert verify(gateway, text).code == "NOT_FOUND"
    with django_assert_num_queries(0):
        assert verify(gateway, text).code == "NOT_FOUND"


@pytest.mark.django_db
def test_false_keys_from_all_over_a_network_of_ipv6_are_put_off_together(gateway: str) -> None:
    for number in range(cold.STRIKES):
        assert verify(gateway, false_key(), ip=f"2001:db8:1:2:{number:x}::{number:x}").code == "NOT_FOUND"
    assert verify(gateway, false_key(), ip="2001:db8:1:2::ffff").code == "TOO_MANY_ATTEMPTS"
    assert verify(gateway, false_key(), ip="2001:db8:1:3::1").code == "NOT_FOUND"


@pytest.mark.django_db
def test_address_that_sends_many_false_keys_is_put_off(gateway: str, django_assert_num_queries: Any) -> None:
    live = make_live_key()
    verify(gateway, live.text)
    for _ in range(cold.STRIKES):
        assert verify(gateway, false_key(), ip="198.51.100.9").code == "NOT_FOUND"
    with django_assert_num_queries(0):
        answer = verify(gateway, false_key(), ip="198.51.100.9")
    assert answer.code == "TOO_MANY_ATTEMPTS"
    # Within seconds the address is blocked, and for as long.
    assert int(answer.headers["Retry-After"]) == settings.FALSE_KEYS_BLOCK_MINUTES * 60 > cold.STRIKE_SECONDS
    assert verify(gateway, false_key(), ip="198.51.100.10").code == "NOT_FOUND"
    assert verify(gateway, live.text, ip="198.51.100.9").code == "VALID"


@pytest.mark.django_db
def test_new_secret_of_a_known_key_works_once_it_is_published(gateway: str) -> None:
    live = make_live_key()
    assert verify(gateway, live.text).code == "VALID"
    type(live.secret).objects.update(status="overlap", ends_at=live.key.expires_at)
    text, _secret = add_secret(live.key)
    assert hotstore.publish_key(live.key.public_id)
    assert verify(gateway, text).code == "VALID"
    assert verify(gateway, live.text).code == "VALID"


@pytest.mark.django_db
def test_row_whose_hash_contradicts_its_digest_is_no_key(gateway: str) -> None:
    live = make_live_key()
    forged = hashing.hash_digest(b"another")
    type(live.secret).objects.update(argon2_hash=forged)
    assert verify(gateway, live.text).code == "NOT_FOUND"


@pytest.mark.django_db(transaction=True)
def test_many_who_want_the_same_cold_key_pay_argon2_once(proofs: "Counter[str]") -> None:
    gateway, live = make_gateway(), make_live_key()
    verify(gateway, live.text[:-1])
    codes: list[str] = []
    together = threading.Barrier(8)

    def ask() -> None:
        together.wait()
        codes.append(verify(gateway, live.text).code)
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == ["VALID"] * 8
    assert proofs.total() == 1


@pytest.mark.django_db
def test_a_clock_behind_the_stores_writes_no_record_that_is_over(gateway: str) -> None:
    """The store says STALE by its clock; what is read then is what holds by that clock."""
    live = make_live_key(rpm=100)
    retire(live.key, timedelta(days=7, seconds=30))
    token = hotstore.begin(live.key.family)
    ahead = Miss(b"STALE", token.epoch, token.run, int(time.time()) + 60)
    question = Question(live.text.encode(), Context(lease_seconds=1))
    assert cold._load(question, live.secret.public_id, bytes(live.secret.digest), ahead)
    assert cold._load(
        question, live.secret.public_id, bytes(live.secret.digest), replace(ahead, why=b"UNPROVEN")
    )
    assert verify(gateway, live.text).json["limits"]["minute"] == 50


def test_log_tells_of_an_outage_and_not_of_each_check(caplog: pytest.LogCaptureFixture) -> None:
    complaints = cold.Complaints()
    for _ in range(1_000):
        complaints.add()
    assert [record.__dict__["data"] for record in caplog.records] == [{"checks": 1}]
