"""The Python client against the real verifier: verdicts, its cache, and what it does when nobody answers."""

import asyncio
import logging
import socket
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from kagiban_client import (
    BadQuestionError,
    Cache,
    Client,
    Limits,
    NotAllowedError,
    UnavailableError,
    Verdict,
    is_key,
    mask,
)
from kagiban_client.keyform import contains_key

from core.actors import staff_actor
from keys.hotstore import publish as hotstore
from keys.models import Key
from keys.secrets import form as secret_format
from keys.status.services import revoke_key
from tests.cast import make_staff
from tests.dataplane import LiveKey, change, make_gateway, make_live_key, retire

pytestmark = pytest.mark.django_db(transaction=True)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


def revoke(live: LiveKey) -> None:
    by, key = make_staff("Sho", "security"), Key.objects.get(pk=live.key.pk)
    revoke_key(
        actor=staff_actor(by), by=by, key=key, reason="leaked", note="", typed_number=key.public_id,
        now=timezone.now(),
    )  # fmt: skip


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url, make_gateway(), timeout=30) as made:
        yield made


def test_says_who_the_key_is_and_what_is_left(client: Client) -> None:
    live = make_live_key(rpm=100, rph=1_000, monthly_budget_usd="10", ip_ranges=["203.0.113.0/24"])
    verdict = client.verify(
        live.text, ip="203.0.113.9", scopes=["catalog:read"], environment="live", cost_usd=Decimal("0.25")
    )
    assert verdict
    assert (verdict.code, verdict.status, verdict.key) == ("VALID", 200, live.key.public_id)
    assert verdict.partner == live.key.partner.public_id
    assert verdict.scopes == ("catalog:read", "catalog:write")
    assert verdict.limits == Limits(minute=100, hour=1_000, budget_usd=Decimal(10))
    assert (verdict.remaining.minute, verdict.remaining.budget_usd) == (99, Decimal("9.75"))
    assert verdict.expires_at == live.key.expires_at
    assert verdict.fields["RateLimit"].startswith('"minute";r=99;t=')


@pytest.mark.parametrize(
    ("question", "code", "status"),
    [
        ({}, "IP_NOT_ALLOWED", 403),
        ({"ip": "203.0.113.9", "scopes": ["orders:write"]}, "INSUFFICIENT_SCOPE", 403),
        ({"ip": "203.0.113.9", "environment": "test"}, "WRONG_ENVIRONMENT", 403),
        ({"ip": "203.0.113.9", "workspace": "WS-9999"}, "WRONG_WORKSPACE", 403),
        ({"ip": "203.0.113.9", "model": "large"}, "MODEL_NOT_ALLOWED", 403),
        ({"ip": "203.0.113.9", "features": ["export"]}, "FEATURE_NOT_ALLOWED", 403),
    ],
)
def test_refusal_says_why(client: Client, question: dict[str, Any], code: str, status: int) -> None:
    live = make_live_key(ip_ranges=["203.0.113.0/24"])
    verdict = client.verify(live.text, **question)
    assert not verdict
    assert (verdict.code, verdict.status, verdict.key) == (code, status, live.key.public_id)
    assert verdict.title


def test_cost_is_counted_in_millionths_rounded_up(client: Client) -> None:
    live = make_live_key(monthly_budget_usd="1")
    verdict = client.verify(live.text, cost_usd=Decimal(1) / 3)
    assert verdict.remaining.budget_usd == Decimal("0.666666")


def test_limit_says_when_to_come_back(client: Client) -> None:
    live = make_live_key(rpm=1)
    assert client.verify(live.text)
    verdict = client.verify(live.text)
    assert (verdict.code, verdict.status) == ("RATE_LIMITED_MINUTE", 429)
    assert verdict.retry_after
    assert verdict.fields["RateLimit-Policy"] == '"minute";q=1;w=60'


def test_retiring_key_says_until_when(client: Client) -> None:
    live = make_live_key()
    retire(live.key, timedelta(days=20))
    verdict = client.verify(live.text)
    assert verdict.retiring_since
    assert verdict.fields["Sunset"].endswith("GMT")


def test_revoked_key_is_refused_by_the_next_call(client: Client) -> None:
    live = make_live_key()
    assert client.verify(live.text)
    revoke(live)
    assert client.verify(live.text).code == "REVOKED"


def test_event_loops_and_threads_get_the_answers_to_their_own_questions(client: Client) -> None:
    keys = [make_live_key() for _ in range(4)]
    # A verifier looks for ten credentials a second that are new to it; the others are refused meanwhile.
    assert client.verify(keys[0].text)

    async def ask_all() -> list[str | None]:
        verdicts = await asyncio.gather(*(client.averify(live.text) for live in keys * 5))
        await client.aclose()
        return [verdict.key for verdict in verdicts]

    wanted = [live.key.public_id for live in keys]
    for _ in range(2):  # each run has an event loop of its own
        assert asyncio.run(ask_all()) == wanted * 5
    seen: dict[int, list[str | None]] = {}

    def ask(number: int) -> None:
        seen[number] = [client.verify(keys[number].text).key for _ in range(20)]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [seen[number] for number in range(4)] == [[number] * 20 for number in wanted]


# --- the cache ---


def test_without_a_cache_every_call_is_asked(client: Client) -> None:
    live = make_live_key(rpm=10)
    left = [client.verify(live.text).remaining.minute for _ in range(3)]
    assert left == [9, 8, 7]


def test_kept_yes_ends_with_its_bound(url: str) -> None:
    clock, live = Clock(), make_live_key()
    with Client(url, make_gateway(), timeout=30, cache=Cache(allow_seconds=2, clock=clock)) as client:
        assert not client.verify(live.text).is_cached
        revoke(live)
        clock.seconds += 1.9
        kept = client.verify(live.text)
        assert (kept.valid, kept.is_cached) == (True, True)
        # Another question was not answered yet.
        assert client.verify(live.text, scopes=["catalog:read"]).code == "REVOKED"
        clock.seconds += 0.1
        assert client.verify(live.text).code == "REVOKED"


@pytest.mark.parametrize(
    ("fields", "question"),
    [
        ({"rpm": 100}, {}),
        ({"concurrency": 5}, {}),
        ({}, {"cost_usd": Decimal(1)}),
        ({}, {"lease_seconds": 5}),
    ],
)
def test_what_takes_something_is_asked_every_time(
    url: str, fields: dict[str, Any], question: dict[str, Any]
) -> None:
    live = make_live_key(**fields)
    with Client(url, make_gateway(), timeout=30, cache=Cache(allow_seconds=5, clock=Clock())) as client:
        for _ in range(2):
            assert not client.verify(live.text, **question).is_cached


def test_limits_are_left_out_only_by_who_asks_for_it(url: str) -> None:
    live = make_live_key(rpm=1)
    with Client(
        url, make_gateway(), timeout=30, cache=Cache(allow_seconds=5, limited=True, clock=Clock())
    ) as client:
        assert client.verify(live.text).fields["RateLimit"]
        kept = client.verify(live.text)
        assert (kept.is_cached, kept.fields) == (True, {})


def test_kept_no_ends_with_its_bound(url: str) -> None:
    clock, live = Clock(), make_live_key(status="suspended", suspended_at=timezone.now())
    with Client(url, make_gateway(), timeout=30, cache=Cache(refuse_seconds=10, clock=clock)) as client:
        assert client.verify(live.text).code == "SUSPENDED"
        change(live.key, status="active", suspended_at=None)
        assert hotstore.publish_key(live.key.public_id)
        assert client.verify(live.text).is_cached
        clock.seconds += 10
        assert client.verify(live.text).code == "VALID"


def test_limit_that_refused_is_asked_again(url: str) -> None:
    live = make_live_key(rpm=1)
    with Client(url, make_gateway(), timeout=30, cache=Cache(refuse_seconds=10, clock=Clock())) as client:
        codes = [client.verify(live.text) for _ in range(3)]
        assert [(verdict.status, verdict.is_cached) for verdict in codes[1:]] == [(429, False)] * 2


def test_cache_has_bounds_and_holds_no_key() -> None:
    with pytest.raises(ValueError, match="allow_seconds"):
        Cache(allow_seconds=6)
    with pytest.raises(ValueError, match="refuse_seconds"):
        Cache(refuse_seconds=61)


def test_cache_forgets_the_oldest(url: str) -> None:
    keys = [make_live_key() for _ in range(3)]
    cache = Cache(allow_seconds=5, max_entries=2, clock=Clock())
    with Client(url, make_gateway(), timeout=30, cache=cache) as client:
        for live in keys:
            client.verify(live.text)
        assert [client.verify(live.text).is_cached for live in (keys[2], keys[1], keys[0])] == [
            True,
            True,
            False,
        ]
        assert keys[1].text.split("_")[3] not in repr(vars(cache))


# --- nobody answers ---


def test_no_verifier_is_no_yes(nowhere: str) -> None:
    text = secret_format.generate("kb", "live").text
    with Client(nowhere, "kbg_live_x") as client:
        with pytest.raises(UnavailableError, match="ConnectError") as caught:
            client.verify(text)
        assert caught.value.__context__ is None
        assert text not in "".join(traceback.format_exception(caught.value))


def test_white_space_around_key_and_credential_counts_nowhere(url: str) -> None:
    live, credential = make_live_key(), make_gateway()
    with Client(url, f"{credential}\n", timeout=30, cache=Cache(allow_seconds=1)) as client:
        for text in (f" {live.text}\n", f"\u3000{live.text}", live.text):
            assert client.verify(text).code == "VALID"


def test_who_wants_it_lets_every_whole_key_through_meanwhile(nowhere: str) -> None:
    with Client(nowhere, "kbg_live_x", when_unavailable="allow") as client:
        verdict = client.verify(secret_format.generate("kb", "live").text)
        assert (verdict.valid, verdict.code, verdict.is_degraded) == (True, "UNAVAILABLE", True)
        assert client.verify("no key").code == "MALFORMED"


async def _ask(client: Client, text: str) -> Verdict:
    try:
        return await client.averify(text)
    finally:
        await client.aclose()


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that says just this to whoever comes; nothing at all if it is empty."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65_536)
                    if answer:
                        connection.sendall(answer)
                    else:
                        stop.wait(10)

        stop = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stop.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_slow_verifier_is_not_waited_for() -> None:
    text = secret_format.generate("kb", "live").text
    with answering(b"") as url:
        with (
            Client(url, "kbg_live_x", timeout=0.1) as client,
            pytest.raises(UnavailableError, match="Timeout"),
        ):
            client.verify(text)
        with pytest.raises(UnavailableError, match="Timeout"):
            asyncio.run(_ask(Client(url, "kbg_live_x", timeout=0.1), text))


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Sign in to the hotel's network</html>",
        b"[]",
        b"null",
        b'{"valid":true}',
        b'{"valid":true,"code":"REVOKED"}',
        b'{"valid":"yes","code":"VALID","title":"","retry_after":null,"key":null,"status":200}',
        b"\xff",
    ],
)
def test_what_is_no_verdict_is_no_yes(body: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    text = secret_format.generate("kb", "live").text
    with (
        answering(head + body) as url,
        Client(url, "kbg_live_x") as client,
        pytest.raises(UnavailableError, match="none of a verifier"),
    ):
        client.verify(text)


def test_other_statuses_are_no_yes_and_say_when_to_come_back() -> None:
    for line, after in [(b"302 Found", None), (b"500 Oh", None), (b"503 Away\r\nRetry-After: 7", 7)]:
        head = b"HTTP/1.1 %b\r\nLocation: /\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" % line
        with answering(head) as url, Client(url, "kbg_live_x") as client:
            with pytest.raises(UnavailableError) as caught:
                client.verify(secret_format.generate("kb", "live").text)
            assert caught.value.retry_after == after


def test_unknown_credential_lets_nobody_through(url: str) -> None:
    live = make_live_key()
    client = Client(url, "kbg_live_nobody", timeout=30, when_unavailable="allow")
    with client, pytest.raises(NotAllowedError):
        client.verify(live.text)


def test_wrong_question_is_told_to_its_programmer(client: Client) -> None:
    live = make_live_key()
    with pytest.raises(BadQuestionError, match="`ip`"):
        client.verify(live.text, ip="here")
    with pytest.raises(TypeError, match="lists"):
        client.verify(live.text, scopes="catalog:read")
    with pytest.raises(TypeError, match="Decimal"):
        client.verify(live.text, cost_usd=0.1)  # type: ignore[arg-type]  # what a program without types does
    assert client.verify(live.text, cost_usd=Decimal(1_000_000))


# --- keys ---


def test_what_is_no_key_never_leaves(nowhere: str) -> None:
    text = secret_format.generate("kb", "live").text
    with Client(nowhere, "kbg_live_x") as client:
        for bad in (
            "",
            "x",
            text[:-1] + ("a" if text[-1] != "a" else "b"),
            text + "0",
            f'"{text}"',
            f"Bearer {text}",
        ):
            verdict = client.verify(bad)
            assert (verdict.code, verdict.status) == ("MALFORMED", 401)


@given(
    st.sampled_from(["kb", "acme2"]),
    st.sampled_from(secret_format.ENVIRONMENTS),
    st.integers(0, 70),
    st.sampled_from(secret_format.ALPHABET + "_-é\n"),
)
def test_form_is_the_verifiers_own(brand: str, environment: str, place: int, letter: str) -> None:
    text = secret_format.generate(brand, environment).text
    assert is_key(text)
    changed = text[:place] + letter + text[place + 1 :]
    assert is_key(changed) == (secret_format.parse(changed) is not None)
    assert contains_key(f"/a?b={changed}") == secret_format.contains_secret(f"/a?b={changed}")
    assert mask(text) == text[: text.rindex("_") + 1] + "…"
    assert mask(changed + "x") == "…"


def test_nothing_that_is_written_holds_a_key_or_the_credential(
    url: str, nowhere: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    live, credential = make_live_key(), make_gateway()
    with Client(url, credential, timeout=30, cache=Cache(allow_seconds=1)) as client:
        assert client.verify(live.text)
        written = [caplog.text, repr(client), repr(client.verify(live.text))]
    with Client(nowhere, credential) as client, pytest.raises(UnavailableError) as caught:
        client.verify(live.text)
    written += [caplog.text, repr(caught.value)]
    assert "httpx" in caplog.text
    for text in written:
        assert live.text.split("_")[3] not in text
        assert credential.split("_")[3] not in text
