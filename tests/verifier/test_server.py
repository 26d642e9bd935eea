"""The verifier's own server: the same answers as the WSGI entry, over HTTP as gateways speak it."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from core.actors import staff_actor
from keys.models import Key
from keys.status.services import revoke_key
from tests.cast import make_partner, make_staff
from tests.dataplane import Answer, LiveKey, authorize, make_gateway, make_live_key, verify
from tests.serving import serving
from verifier.callers.gateways import NEWS_PER_SECOND
from verifier.models import GatewayCredential

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def port(django_db_setup: None) -> Iterator[int]:
    with serving() as (number, _):
        yield number


class Wire:
    """A raw connection: what a well-behaved client would never send can be sent, too."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 30)
        self._file = self._socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def answer(self, *, bodiless: bool = False) -> Answer:
        """Read one response."""
        line = self._file.readline()
        assert line, "the connection was closed"
        status, headers = int(line.split()[1]), {}
        while (field := self._file.readline().rstrip(b"\r\n").decode()) != "":
            name, _, value = field.partition(": ")
            assert name not in headers
            headers[name] = value
        if status == 100:
            return Answer(status, headers, b"")
        return Answer(status, headers, b"" if bodiless else self._file.read(int(headers["Content-Length"])))

    def is_closed(self) -> bool:
        """Whether the server has closed it, with nothing left to read."""
        return self._file.read(1) == b""

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.fixture
def wire(port: int) -> Iterator[Wire]:
    # Each test brings a gateway of its own, and the server looks for so many new ones in a second.
    time.sleep(1.5 / NEWS_PER_SECOND)
    made = Wire(port)
    yield made
    made.close()


def request(gateway: str, body: bytes, *fields: str, version: str = "1.1") -> bytes:
    """A question as a gateway sends it."""
    head = [
        f"POST /v1/keys/verify HTTP/{version}",
        "Host: verifier",
        f"Authorization: Bearer {gateway}",
        f"Content-Length: {len(body)}",
        *fields,
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def asked(text: str, **question: Any) -> bytes:
    return json.dumps({"key": text, **question}).encode()


def _told(answer: Answer) -> tuple[int, dict[str, Any], dict[str, str]]:
    """What two answers to one question have in common: not the moment, nor what is left."""
    data = answer.json if answer.body else {}
    body = {name: value for name, value in data.items() if name not in {"check", "lease", "remaining"}}
    fields = {name: value for name, value in answer.headers.items() if name != "Date"}
    for volatile in ("RateLimit", "X-Kagiban-Lease", "Content-Length"):
        if volatile in fields:
            fields[volatile] = "…"
    return answer.status, body, fields


@pytest.mark.parametrize("question", [
    {}, {"scope": "catalog:read"}, {"scope": "orders:write"}, {"environment": "test"}, {"ip": "no address"},
    {"scop": "catalog:read"}, {"cost_usd": "0.5"}, {"workspace": "WS-9999"},
])  # fmt: skip
def test_answers_as_the_wsgi_entry_does(wire: Wire, question: dict[str, Any]) -> None:
    gateway, live = make_gateway(), make_live_key(rpm=1_000, concurrency=10, monthly_budget_usd="100")
    for _ in ("cold", "warm"):
        wire.send(request(gateway, asked(live.text, **question)))
        assert _told(wire.answer()) == _told(verify(gateway, live.text, **question))


@pytest.mark.parametrize(
    "text", ["", "no key", "kb_live_abc_def", None, "Bearer kb_live_abc", "kb_live_abc\u200b"]
)
def test_answers_of_what_is_no_key_as_the_wsgi_entry_does(wire: Wire, text: str | None) -> None:
    gateway = make_gateway()
    text = make_live_key().text[:-1] + "!" if text is None else text
    for _ in ("cold", "warm"):
        wire.send(request(gateway, asked(text)))
        assert _told(wire.answer()) == _told(verify(gateway, text))


def test_unknown_gateway_is_refused(wire: Wire) -> None:
    for _ in range(2):
        wire.send(request("kbg_live_nobody", asked("x")))
        answer = wire.answer()
        assert (answer.status, answer.code) == (401, "UNKNOWN_GATEWAY")


@pytest.mark.parametrize("mode", ["standard", "nginx"])
def test_authorize_answers_as_the_wsgi_entry_does(wire: Wire, mode: str) -> None:
    gateway, live = make_gateway(mode=mode), make_live_key(rpm=1)
    other = make_live_key(live.key.partner)
    for text, query in [
        (other.text, "scope=catalog:read"),
        (other.text, "scope=orders:write"),
        (other.text, "scop=catalog:read"),
        (other.text, f"scope={other.text}"),
        (live.text[:-1] + "!", ""),
        ("", ""),
    ]:
        for _ in ("cold", "warm"):
            wire.send(
                f"GET /v1/authorize?{query} HTTP/1.1\r\nHost: v\r\nX-Gateway-Credential: {gateway}\r\n"
                f"Authorization: Bearer {text}\r\n\r\n".encode()
            )
            assert _told(wire.answer()) == _told(authorize(gateway, text, query=query))


def test_head_has_no_body_and_other_paths_are_nowhere(wire: Wire) -> None:
    wire.send(b"HEAD /v1/authorize HTTP/1.1\r\nHost: v\r\n\r\n")
    assert wire.answer(bodiless=True).status == 403
    gateway, live = make_gateway(), make_live_key()
    for text, status in [(live.text, 200), (live.text[:-1] + "!", 401)] * 2:
        fields = f"X-Gateway-Credential: {gateway}\r\nAuthorization: Bearer {text}"
        wire.send(f"HEAD /v1/authorize HTTP/1.1\r\nHost: v\r\n{fields}\r\n\r\n".encode())
        assert wire.answer(bodiless=True).status == status
    wire.send(b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert wire.answer(bodiless=True).status == 200
    wire.send(b"GET /accounts/login/ HTTP/1.1\r\nHost: v\r\n\r\n")
    assert wire.answer().code == "NO_SUCH_ENDPOINT"
    # Whoever watches over processes asks each by its own address, and without TLS.
    for host in (b"localhost", b"10.1.2.3:8001\r\nX-Forwarded-Proto: http"):
        wire.send(b"GET /healthz HTTP/1.1\r\nHost: %b\r\n\r\n" % host)
        assert wire.answer().json == {"status": "ok"}


def test_revoked_key_is_refused_by_the_next_check(wire: Wire) -> None:
    gateway, live, by = make_gateway(), make_live_key(), make_staff("Sho", "security")
    for _ in range(3):
        wire.send(request(gateway, asked(live.text)))
        assert wire.answer().code == "VALID"
    key = Key.objects.get(pk=live.key.pk)
    revoke_key(
        actor=staff_actor(by), by=by, key=key, reason="leaked", note="", typed_number=key.public_id,
        now=timezone.now(),
    )  # fmt: skip
    wire.send(request(gateway, asked(live.text)))
    assert wire.answer().code == "REVOKED"


def test_everybody_gets_the_answer_to_his_own_question(port: int) -> None:
    gateway, partner, owner = make_gateway(), make_partner("P"), make_staff("O", "requester")
    keys = [make_live_key(partner, owner) for _ in range(6)]
    wrong: list[str] = []
    for live in keys:  # cold checks of many at once may be put off
        verify(gateway, live.text)

    def ask(live: LiveKey, number: int) -> None:
        wire = Wire(port)
        for turn in range(100):
            # One in three is malformed and answered without the store, before others that were asked earlier.
            is_bad = (turn + number) % 3 == 0
            wire.send(request(gateway, asked(live.text[:-1] + "!" if is_bad else live.text)))
            told = wire.answer().json
            wanted = ("MALFORMED", None) if is_bad else ("VALID", live.key.public_id)
            if (told["code"], told.get("key")) != wanted:
                wrong.append(f"{told}")
        wire.close()

    wire = Wire(port)
    wire.send(request(gateway, asked(keys[0].text)))
    assert wire.answer().code == "VALID"
    wire.close()
    threads = [threading.Thread(target=ask, args=(live, n)) for n in range(2) for live in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_many_cold_keys_at_once_are_all_answered(port: int) -> None:
    gateway, partner, owner = make_gateway(), make_partner("P"), make_staff("O", "requester")
    keys = [make_live_key(partner, owner) for _ in range(24)]
    wires = [Wire(port) for _ in keys]
    wires[0].send(request(gateway, asked("x")))  # from here on the gateway is known
    assert wires[0].answer().code == "MALFORMED"
    for wire, live in zip(wires, keys, strict=True):
        wire.send(request(gateway, asked(live.text)))
    assert [wire.answer().code for wire in wires] == ["VALID"] * len(keys)
    for wire in wires:
        wire.close()


def test_a_head_that_is_known_means_the_same_again(wire: Wire) -> None:
    gateway, live = make_gateway(), make_live_key(rpm=1_000)
    whole, bad = request(gateway, asked(live.text)), request(gateway, asked(live.text[:-1] + "!"))
    for _ in range(3):
        wire.send(whole)
        assert wire.answer().code == "VALID"
        wire.send(bad)
        assert wire.answer().code == "MALFORMED"
    wire.send(whole[:-7])  # the end of the body comes later
    wire.send(whole[-7:])
    assert wire.answer().code == "VALID"
    wire.send(whole + bad + whole)
    assert [wire.answer().code for _ in range(3)] == ["VALID", "MALFORMED", "VALID"]
    wrong = asked(live.text).replace(b'"key"', b'"kex"')
    wire.send(request(gateway, wrong))
    assert wire.answer().status == 400


def test_a_key_that_is_cold_under_a_head_that_is_known(wire: Wire) -> None:
    gateway, partner, owner = make_gateway(), make_partner("P"), make_staff("O", "requester")
    for _ in range(3):
        live = make_live_key(partner, owner)
        for _ in ("cold", "warm"):
            wire.send(request(gateway, asked(live.text)))
            told = wire.answer().json
            assert (told["code"], told["key"]) == ("VALID", live.key.public_id)


def test_a_gateways_known_head_lets_nobody_in_once_it_is_revoked(wire: Wire) -> None:
    gateway, live = make_gateway(), make_live_key()
    for _ in range(3):
        wire.send(request(gateway, asked(live.text)))
        assert wire.answer().code == "VALID"
    GatewayCredential.objects.update(revoked_at=timezone.now())
    deadline = time.monotonic() + 30
    while True:
        wire.send(request(gateway, asked(live.text)))
        answer = wire.answer()
        if answer.status == 401:
            break
        assert answer.code == "VALID"
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert answer.code == "UNKNOWN_GATEWAY"


# --- HTTP -----------------------------------------------------------------------------------------------


def test_what_is_sent_ahead_is_answered_in_order(wire: Wire) -> None:
    gateway, live = make_gateway(), make_live_key(rpm=1_000)
    bad = live.text[:-1] + "!"
    texts = [live.text, bad, live.text, live.text, bad, bad, "unknown", live.text] * 20
    wire.send(b"".join(request(gateway, asked(text)) for text in texts))
    codes = [wire.answer().code for _ in texts]
    assert codes == ["VALID" if text == live.text else "MALFORMED" for text in texts]


def test_pieces_make_a_request(wire: Wire) -> None:
    gateway, live = make_gateway(), make_live_key()
    for byte in request(gateway, asked(live.text)):
        wire.send(bytes([byte]))
    assert wire.answer().code == "VALID"


def test_chunks_make_a_body(wire: Wire) -> None:
    gateway, live = make_gateway(), make_live_key()
    body = asked(live.text)
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:10], body[10:])) + b"0\r\n\r\n"
    head = request(gateway, b"", "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
    for _ in ("cold", "warm"):
        wire.send(head + chunks)
        assert wire.answer().code == "VALID"


def test_who_waits_to_send_the_body_is_asked_for_it(wire: Wire) -> None:
    gateway, body = make_gateway(), asked("x")
    whole = request(gateway, body, "Expect: 100-continue")
    wire.send(whole[: -len(body)])
    assert wire.answer().status == 100
    wire.send(body)
    assert wire.answer().code == "MALFORMED"


@pytest.mark.parametrize(
    ("version", "fields"),
    [("1.0", []), ("1.1", ["Connection: close"]), ("1.1", ["Connection: Upgrade", "Upgrade: h2c"])],
)
def test_connection_is_closed_where_it_has_to_be(wire: Wire, version: str, fields: list[str]) -> None:
    gateway = make_gateway()
    wire.send(request(gateway, asked("x"), *fields, version=version))
    answer = wire.answer()
    assert (answer.code, answer.headers["Connection"]) == ("MALFORMED", "close")
    assert wire.is_closed()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
        (b"GET /v1/authorize HTTP/1.1\r\nHost v\r\n\r\n", 400),
        (b"GET /v1/authorize HTTP/1.1\r\nHost: v\r\nX-Long: " + b"x" * 100_000, 431),
        (b"POST /v1/keys/verify HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST /v1/keys/verify HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n", 400),
    ],
)
def test_what_is_not_http_is_refused_and_the_connection_closed(wire: Wire, data: bytes, status: int) -> None:
    wire.send(data)
    assert wire.answer().status == status
    assert wire.is_closed()


def test_too_large_a_body_is_refused(port: int) -> None:
    gateway = make_gateway()
    for size in (16 * 1024 + 1, 2 * 1024 * 1024):
        wire = Wire(port)
        wire.send(request(gateway, b" " * size))
        assert wire.answer().status == 413
        wire.close()


def test_a_full_batch_of_reports_is_taken(wire: Wire) -> None:
    gateway, live = make_gateway(), make_live_key()
    rows = [{"id": f"{n:0128}", "key": live.key.public_id, "status": 200} for n in range(500)]
    body = json.dumps(rows).encode()
    assert len(body) > 5 * 16 * 1024
    head = f"POST /v1/usage HTTP/1.1\r\nHost: v\r\nAuthorization: Bearer {gateway}\r\n"
    for outcome in ("taken", "repeated"):
        wire.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = wire.answer()
        assert (answer.status, answer.json[outcome]) == (200, 500)
    wire.send(request(gateway, asked(live.text)))
    assert wire.answer().code == "VALID"
    wire.send(f"{head}Content-Length: {300 * 1024}\r\n\r\n".encode() + b" " * 300 * 1024)
    assert wire.answer().status == 413


def test_requests_that_come_together_are_no_long_head(wire: Wire) -> None:
    gateway, live = make_gateway(), make_live_key()
    one, n = request(gateway, asked(live.text), f"X-Trace: {'t' * 1_000}"), 100
    wire.send(one * n + one[:60])
    assert [wire.answer().code for _ in range(n)] == ["VALID"] * n
    wire.send(one[60:])
    assert wire.answer().code == "VALID"


def test_a_long_head_is_refused_however_it_comes(wire: Wire, port: int) -> None:
    whole = request(make_gateway(), asked("x"), *(f"X-{n}: {'x' * 1_000}" for n in range(70)))
    wire.send(whole)
    assert wire.answer().status == 431
    assert wire.is_closed()
    slow = Wire(port)
    for at in range(0, len(whole), 5_000):
        slow.send(whole[at : at + 5_000])
        time.sleep(0.005)
    assert slow.answer().status == 431
    slow.close()


def test_fields_behind_the_body_are_no_fields(wire: Wire) -> None:
    gateway, live = make_gateway(), make_live_key(ip_ranges=["203.0.113.0/24"])
    body = asked(live.text, ip="203.0.113.9")
    trailers = b"0\r\nAuthorization: Bearer q\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"
    head = request(gateway, b"", "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
    wire.send(head + b"%x\r\n%b\r\n" % (len(body), body) + trailers)
    assert wire.answer().code == "VALID"


def test_nothing_stands_before_the_answers_that_are_due(wire: Wire) -> None:
    gateway, live = make_gateway(), make_live_key()
    plain = request(gateway, asked(live.text))
    wire.send(plain + request(gateway, asked(live.text), "Expect: 100-continue"))
    assert [wire.answer().status for _ in range(2)] == [200, 200]


@pytest.mark.parametrize("hosts", ["", "Host: \r\n", "Host: a\r\nHost: b\r\n"])
def test_a_request_names_its_host_once(wire: Wire, hosts: str) -> None:
    wire.send(f"GET /healthz HTTP/1.1\r\n{hosts}\r\n".encode())
    assert wire.answer().status == 400
    assert wire.is_closed()


def test_white_space_around_a_value_is_none_of_it(wire: Wire) -> None:
    gateway, live = make_gateway(), make_live_key(ip_ranges=["203.0.113.0/24"])
    for _ in ("cold", "warm"):
        wire.send(
            b"GET /v1/authorize/posts HTTP/1.1\r\nHost: v\r\nX-Gateway-Credential: \t %b \t\r\n"
            b"X-Kagiban-Scope: \r\nX-Kagiban-Environment: live \r\nX-Forwarded-For: 203.0.113.9 \r\n"
            b"Authorization: Bearer  %b \r\n\r\n" % (gateway.encode(), live.text.encode())
        )
        assert wire.answer().status == 200
    body = asked(live.text, ip="203.0.113.9")
    for _ in ("cold", "warm"):
        wire.send(request(f" {gateway} ", body))
        assert wire.answer().code == "VALID"


def test_field_with_an_underscore_does_not_pass_for_another(wire: Wire) -> None:
    gateway, live = make_gateway(), make_live_key(ip_ranges=["203.0.113.0/24"])
    for _ in ("cold", "warm"):
        wire.send(
            f"GET /v1/authorize HTTP/1.1\r\nHost: v\r\nX-Gateway-Credential: {gateway}\r\n"
            f"Authorization: Bearer {live.text}\r\nX-Forwarded-For: 198.51.100.1\r\n"
            "X_Forwarded_For: 203.0.113.1\r\n\r\n".encode()
        )
        assert wire.answer().code == "IP_NOT_ALLOWED"


def test_several_workers_share_a_port_and_end_when_told() -> None:
    gateway, live = make_gateway(), make_live_key(rpm=1_000)
    with serving("--workers", "2") as (port, _process):
        for _ in range(10):
            wire = Wire(port)
            wire.send(request(gateway, asked(live.text)))
            assert wire.answer().code == "VALID"
            wire.close()
