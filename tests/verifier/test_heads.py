"""Heads that were read before are not parsed again: only plain ones of known gateways, without a key."""

from typing import TYPE_CHECKING, Any

import pytest

from tests.dataplane import make_gateway, make_live_key
from verifier.api.app import BODY
from verifier.callers import gateways
from verifier.loop import heads

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db

QUESTION = b'{"key": "x"}'


@pytest.fixture(autouse=True)
def nothing_known() -> "Iterator[None]":
    heads._heads.clear()
    heads._around.clear()
    yield
    heads._heads.clear()
    heads._around.clear()


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
    known = heads.known(head + QUESTION)
    assert known is not None
    found, body = known
    assert (found.length, found.credential, body) == (len(QUESTION), gateway, QUESTION)
    assert heads.known(head + QUESTION[:-1]) is None
    assert BODY not in found.environ
    assert gateway not in repr(found)


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("Expect: 100-continue", "HTTP_EXPECT"),
        ("Transfer-Encoding: chunked", "HTTP_TRANSFER_ENCODING"),
        ("X-Forwarded-For: 203.0.113.9", "HTTP_X_FORWARDED_FOR"),
        ("Origin: https://app.example.jp", "HTTP_ORIGIN"),
    ],
)
def test_a_head_that_is_not_plain_is_not_kept(field: str, name: str) -> None:
    gateway = known_gateway()
    head = head_of(gateway, field)
    heads.learn(head + QUESTION, environ_of(gateway, **{name: field.partition(": ")[2]}), QUESTION)
    assert heads.known(head + QUESTION) is None


def test_nothing_is_kept_of_who_is_no_gateway() -> None:
    gateway = known_gateway()
    stranger = gateway[:-1] + ("0" if gateway[-1] != "0" else "1")
    head = head_of(stranger)
    heads.learn(head + QUESTION, environ_of(stranger), QUESTION)
    assert heads.known(head + QUESTION) is None


def test_a_head_in_which_a_partners_key_stands_is_not_kept() -> None:
    gateway, live = known_gateway(), make_live_key()
    head = head_of(gateway, f"X-API-Key: {live.text}")
    heads.learn(head + QUESTION, environ_of(gateway, HTTP_X_API_KEY=live.text), QUESTION)
    assert heads.known(head + QUESTION) is None


@pytest.mark.parametrize("rest", [b"", QUESTION[:-1], QUESTION + QUESTION])
def test_only_a_request_that_came_whole_and_alone_is_learned_from(rest: bytes) -> None:
    gateway = known_gateway()
    head = head_of(gateway)
    heads.learn(head + rest, environ_of(gateway), QUESTION)
    assert heads.known(head + QUESTION) is None


def test_another_target_is_not_kept() -> None:
    gateway = known_gateway()
    head = head_of(gateway, target="/v1/authorize")
    heads.learn(head + QUESTION, environ_of(gateway), QUESTION)
    assert heads.known(head + QUESTION) is None


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = known_gateway()
    monkeypatch.setattr(heads, "_MAX_HEADS", 3)
    for number in range(10):
        head = head_of(gateway, f"X-Trace: {number}")
        heads.learn(head + QUESTION, environ_of(gateway), QUESTION)
        assert heads.known(head + QUESTION) is not None
    assert len(heads._heads) <= 3


def subrequest(gateway: str, key: str, *fields: str, target: str = "/v1/authorize") -> bytes:
    lines = [f"GET {target} HTTP/1.1", f"X-Gateway-Credential: {gateway}", f"Authorization: Bearer {key}"]
    return "\r\n".join([*lines, "X-Forwarded-For: 203.0.113.9", *fields]).encode() + heads.END


def environ_of_subrequest(gateway: str, key: str, **fields: str) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/v1/authorize",
        "QUERY_STRING": "",
        "REMOTE_ADDR": "192.0.2.1",
        "HTTP_AUTHORIZATION": f"Bearer {key}",
        "HTTP_X_GATEWAY_CREDENTIAL": gateway,
        "HTTP_X_FORWARDED_FOR": "203.0.113.9",
        BODY: b"",
        **fields,
    }


def test_of_a_subrequest_what_stands_around_the_key_is_kept() -> None:
    gateway, live, other = known_gateway(), make_live_key(), make_live_key()
    heads.learn(subrequest(gateway, live.text), environ_of_subrequest(gateway, live.text), b"")
    known = heads.known(subrequest(gateway, other.text))
    assert known is not None
    head, key = known
    assert (head.credential, key) == (gateway, other.text.encode())
    assert head.context is not None
    assert head.context.ip.endswith(b"ffffcb007109")
    whole = head.environ_with(key, "192.0.2.1")
    assert whole == environ_of_subrequest(gateway, other.text)
    assert live.text not in repr(heads._around)


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("Content-Length: 0", "CONTENT_LENGTH"),
        ("Expect: 100-continue", "HTTP_EXPECT"),
        ("Transfer-Encoding: chunked", "HTTP_TRANSFER_ENCODING"),
    ],
)
def test_a_subrequest_that_may_have_a_body_is_not_kept(field: str, name: str) -> None:
    gateway, live = known_gateway(), make_live_key()
    environ = environ_of_subrequest(gateway, live.text, **{name: field.partition(": ")[2]})
    heads.learn(subrequest(gateway, live.text, field), environ, b"")
    assert heads.known(subrequest(gateway, live.text, field)) is None


def test_a_subrequest_with_a_second_key_is_not_kept() -> None:
    gateway, live = known_gateway(), make_live_key()
    twice, elsewhere = f"Authorization: Bearer {live.text}", f"X-API-Key: {live.text}"
    joined = f"Bearer {live.text},Bearer {live.text}"
    for field, fields in (
        (twice, {"HTTP_AUTHORIZATION": joined}),
        (elsewhere, {"HTTP_X_API_KEY": live.text}),
    ):
        heads.learn(
            subrequest(gateway, live.text, field), environ_of_subrequest(gateway, live.text, **fields), b""
        )
        assert heads.known(subrequest(gateway, live.text, field)) is None


def test_a_subrequest_with_a_key_in_its_url_is_not_kept() -> None:
    gateway, live = known_gateway(), make_live_key()
    target = f"/v1/authorize/{live.text}"
    environ = environ_of_subrequest(gateway, live.text, PATH_INFO=target)
    heads.learn(subrequest(gateway, live.text, target=target), environ, b"")
    assert heads.known(subrequest(gateway, live.text, target=target)) is None


@pytest.mark.parametrize("key", ["", "a b", "a,b", "a\tb", "a\x00b", "\xe4"])
def test_a_key_of_other_characters_is_left_to_the_parser(key: str) -> None:
    gateway, live = known_gateway(), make_live_key()
    heads.learn(subrequest(gateway, live.text), environ_of_subrequest(gateway, live.text), b"")
    assert heads.known(subrequest(gateway, live.text)) is not None
    assert heads.known(subrequest(gateway, key)) is None
