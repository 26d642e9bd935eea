"""Heads that were read before are not parsed again: only plain ones of known gateways, without a key."""

from typing import TYPE_CHECKING, Any

import pytest

from tests.dataplane import make_gateway, make_live_key
from verifier import gateways, heads
from verifier.app import BODY

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db

QUESTION = b'{"key": "x"}'


@pytest.fixture(autouse=True)
def nothing_known() -> "Iterator[None]":
    heads._heads.clear()
    yield
    heads._heads.clear()


def environ_of(gateway: str, **fields: str) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/v1/keys/verify",
        "QUERY_STRING": "",
        "REMOTE_ADDR": "192.0.2.1",
        "HTTP_AUTHORIZATION": f"Bearer {gateway}",
        "CONTENT_LENGTH": str(len(QUESTION)),
        BODY: QUESTION,
        **fields,
    }


def head_of(
    gateway: str, *fields: str, target: str = "/v1/keys/verify", length: int = len(QUESTION)
) -> bytes:
    lines = [
        f"POST {target} HTTP/1.1", f"Authorization: Bearer {gateway}", f"Content-Length: {length}", *fields,
    ]  # fmt: skip
    return "\r\n".join(lines).encode() + heads.END


def known_gateway() -> str:
    """A gateway that this process has seen before."""
    gateway = make_gateway()
    gateways.forget_all()
    gateways.caller_of(gateway, "192.0.2.1")
    return gateway


def test_the_head_of_a_plain_check_is_kept_without_its_body() -> None:
    gateway = known_gateway()
    head = head_of(gateway)
    heads.learn(head + QUESTION, environ_of(gateway), QUESTION)
    found = heads.known(head)
    assert found is not None
    assert (found.length, found.credential) == (len(QUESTION), gateway)
    assert BODY not in found.environ
    assert gateway not in repr(found)


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("Expect: 100-continue", "HTTP_EXPECT"),
        ("Transfer-Encoding: chunked", "HTTP_TRANSFER_ENCODING"),
        ("X-Forwarded-For: 203.0.113.9", "HTTP_X_FORWARDED_FOR"),
    ],
)
def test_a_head_that_is_not_plain_is_not_kept(field: str, name: str) -> None:
    gateway = known_gateway()
    head = head_of(gateway, field)
    heads.learn(head + QUESTION, environ_of(gateway, **{name: field.partition(": ")[2]}), QUESTION)
    assert heads.known(head) is None


def test_nothing_is_kept_of_who_is_no_gateway() -> None:
    gateway = known_gateway()
    stranger = gateway[:-1] + ("0" if gateway[-1] != "0" else "1")
    head = head_of(stranger)
    heads.learn(head + QUESTION, environ_of(stranger), QUESTION)
    assert heads.known(head) is None


def test_a_head_in_which_a_partners_key_stands_is_not_kept() -> None:
    gateway, live = known_gateway(), make_live_key()
    head = head_of(gateway, f"X-API-Key: {live.text}")
    heads.learn(head + QUESTION, environ_of(gateway, HTTP_X_API_KEY=live.text), QUESTION)
    assert heads.known(head) is None


@pytest.mark.parametrize("rest", [b"", QUESTION[:-1], QUESTION + QUESTION])
def test_only_a_request_that_came_whole_and_alone_is_learned_from(rest: bytes) -> None:
    gateway = known_gateway()
    head = head_of(gateway)
    heads.learn(head + rest, environ_of(gateway), QUESTION)
    assert heads.known(head) is None


def test_another_target_is_not_kept() -> None:
    gateway = known_gateway()
    head = head_of(gateway, target="/v1/authorize")
    heads.learn(head + QUESTION, environ_of(gateway), QUESTION)
    assert heads.known(head) is None


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = known_gateway()
    monkeypatch.setattr(heads, "_MAX_HEADS", 3)
    for number in range(10):
        head = head_of(gateway, f"X-Trace: {number}")
        heads.learn(head + QUESTION, environ_of(gateway), QUESTION)
        assert heads.known(head) is not None
    assert len(heads._heads) <= 3
