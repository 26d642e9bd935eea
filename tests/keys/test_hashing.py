"""K2: how a secret is kept."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from keys.secrets import hashing

OLD, NEW = b"o" * 32, b"n" * 32


@pytest.fixture
def peppers(settings: Settings) -> Settings:
    settings.PEPPERS = {1: OLD, 2: NEW}
    settings.ARGON2_MEMORY_KIB, settings.ARGON2_TIME_COST = 1024, 1
    return settings


@given(st.binary(max_size=200), st.binary(min_size=1, max_size=100))
def test_fast_digest_is_hmac_sha256(message: bytes, pepper: bytes) -> None:
    assert hashing._digester(pepper)(message) == hmac.digest(pepper, message, "sha256")


def test_highest_pepper_is_the_current_one(peppers: Settings) -> None:
    assert hashing.current_version() == 2
    assert hashing.digest("text") == hmac.digest(NEW, b"text", "sha256")
    assert list(hashing.digests("text")) == [
        (2, hmac.digest(NEW, b"text", "sha256")),
        (1, hmac.digest(OLD, b"text", "sha256")),
    ]


def test_stored_hash_is_salted_argon2id_and_holds_neither_text_nor_digest(peppers: Settings) -> None:
    value = hashing.digest("kb_live_secret")
    first, second = hashing.hash_digest(value), hashing.hash_digest(value)
    assert first.startswith("$argon2id$v=19$m=1024,t=1,p=1$")
    assert first != second
    assert "kb_live_secret" not in first
    assert value.hex() not in first
    assert hashing.verify_digest(first, value)
    assert not hashing.verify_digest(first, hashing.digest("kb_live_other"))


def test_unreadable_hash_is_a_plain_no(peppers: Settings) -> None:
    assert not hashing.verify_digest("", b"digest")
    assert not hashing.verify_digest("$argon2id$broken", b"digest")


def test_old_pepper_or_parameters_ask_for_renewal(peppers: Settings) -> None:
    stored = hashing.hash_digest(hashing.digest("text"))
    assert not hashing.needs_rehash(stored, 2)
    assert hashing.needs_rehash(stored, 1)
    peppers.ARGON2_TIME_COST = 2
    assert hashing.needs_rehash(stored, 2)


def test_unknown_pepper_version_is_an_error(peppers: Settings) -> None:
    with pytest.raises(KeyError):
        hashing.digest("text", 9)
