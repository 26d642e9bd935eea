"""No secret in clear after the whole journey: not at rest, under way, in a log or in an export (S4).

What is searched for, in every row of every table, every value of Valkey and every command that it was sent
(task messages are among them), every log line and every export: the key and its random part, the tokens of
all mail links, the code of a consent, an app's secret and a gateway's credential.
"""

import base64
import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import HTTPCookieProcessor, Request, build_opener

import pytest
import redis
from django.conf import settings
from django.db import connection
from django.utils import timezone
from psycopg import sql

from accounts.models import User
from core.sealing import seal
from intake.services.receiving import receive_mail
from tests import product as products
from tests.accounts.test_sign_in import code_of
from tests.cast import PASSWORD, Cast
from tests.intake.letters import mail
from tests.product import Product

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.fault]
MARKER = "planted-marker-4f1c9a27d0"
PACKED = re.compile(rb"[A-Za-z0-9+/_-]{24,}={0,2}")
HEX = re.compile(rb"(?:[0-9a-f]{2}){12,}")


# --- a person at a browser, by HTTP --------------------------------------------------------------------


class Person:
    """Opens pages and sends their forms, with cookies and CSRF tokens as a browser has them."""

    def __init__(self, base: str) -> None:
        self.base, self.url, self.page = base, base, ""
        self.opener = build_opener(HTTPCookieProcessor(CookieJar()))

    def open(self, path: str) -> str:
        return self._send(Request(urljoin(self.base, path)))

    def post(self, path: str, **fields: Any) -> str:
        """Send a form of the page that is open; fields that the page hides are taken from it."""
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', self.page))
        data = urlencode(hidden | fields, doseq=True).encode()
        return self._send(Request(urljoin(self.url, path), data=data))

    def sign_in(self, user: User, *, next_url: str = "/") -> str:
        self.open(f"/sign-in/?{urlencode({'next': next_url})}")
        return self.post("/sign-in/", login=user.email, password=PASSWORD, next=next_url)

    def text_of(self, identifier: str) -> str:
        """The text of the element with this id."""
        found = re.search(rf'id="{identifier}"[^>]*>\s*([^<]+?)\s*<', self.page)
        assert found, (identifier, self.page)
        return found[1]

    def _send(self, request: Request) -> str:
        try:
            with self.opener.open(request, timeout=30) as answer:
                self.url, body = answer.url, answer.read()
        except HTTPError as error:
            with error:
                raise AssertionError(f"{error.code} at {request.full_url}: {error.read().decode()}") from None
        self.page = body.decode("utf-8-sig")
        return self.page


# --- where secrets could lie ----------------------------------------------------------------------------


def tables() -> Iterator[tuple[str, bytes]]:
    """Every row of every table; sessions opened."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            statement = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))
            with cursor.cursor.copy(statement) as copy:
                yield f"table {table}", b"".join(bytes(block) for block in copy)
        cursor.execute("SELECT session_data FROM django_session")
        store = import_module(settings.SESSION_ENGINE).SessionStore()
        for (data,) in cursor.fetchall():
            yield "a session", json.dumps(store.decode(data), default=str).encode()


def as_bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def valkey_values(client: "redis.Redis") -> Iterator[tuple[str, bytes]]:
    """Every key of Valkey with its whole value, whatever its type."""
    readers: dict[bytes, Any] = {
        b"string": client.get,
        b"list": lambda name: client.lrange(name, 0, -1),
        b"set": client.smembers,
        b"zset": lambda name: client.zrange(name, 0, -1, withscores=True),
        b"hash": client.hgetall,
        b"stream": client.xrange,
    }
    for name in client.scan_iter(count=1_000):
        value = readers[as_bytes(client.type(name))](name)
        text = value if isinstance(value, bytes) else repr(value).encode()
        yield f"Valkey {name!r}", bytes(name) + b"\n" + text


def logs(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in folder.glob("*.log"):
        yield f"log {path.name}", path.read_bytes()


def layers(blob: bytes) -> Iterator[bytes]:
    """The bytes as they are, and what is packed in them as Base64 (task messages) or hex (bytea)."""
    yield blob
    inner = []
    for found in PACKED.findall(blob):
        text = found.rstrip(b"=").replace(b"+", b"-").replace(b"/", b"_")
        if len(text) % 4 != 1:
            inner.append(base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4)))
    inner += [bytes.fromhex(found.decode()) for found in HEX.findall(blob)]
    yield from inner
    for one in inner:
        for found in PACKED.findall(one):
            if len(found.rstrip(b"=")) % 4 == 0:
                yield base64.urlsafe_b64decode(found.replace(b"+", b"-").replace(b"/", b"_"))


def holds(layer: bytes, needle: str) -> bool:
    """Whether the needle lies there: a number as itself, not as a few digits of some longer one."""
    if needle.isdigit():
        return re.search(rb"(?<!\d)%b(?!\d)" % needle.encode(), layer) is not None
    return needle.encode() in layer


def find(needles: dict[str, str], places: Iterator[tuple[str, bytes]]) -> list[str]:
    """`what in where` for each needle that lies somewhere."""
    return [
        f"{what} in {where}"
        for where, blob in places
        for layer in layers(blob)
        for what, needle in needles.items()
        if holds(layer, needle)
    ]


@contextmanager
def listening(url: str) -> Iterator[bytearray]:
    """Every command that Valkey is sent while the block runs: task messages, records, counters."""
    place, heard = urlsplit(url), bytearray()
    with socket.create_connection((place.hostname or "", place.port or 6379)) as wire:
        words = [word for word in (place.username or "default", place.password) if word]
        login = f"AUTH {' '.join(words)}\r\n" if place.password else ""
        wire.sendall(f"{login}MONITOR\r\n".encode())

        def listen() -> None:
            while data := wire.recv(65_536):
                heard.extend(data)

        thread = threading.Thread(target=listen)
        thread.start()
        n_answers = 2 if login else 1
        while heard.count(b"+OK\r\n") < n_answers:
            assert thread.is_alive(), bytes(heard)
            time.sleep(0.01)
        try:
            yield heard
            time.sleep(0.2)  # what was said last is on its way
        finally:
            wire.shutdown(socket.SHUT_RDWR)
            thread.join()


# --- the journey ----------------------------------------------------------------------------------------


def walk(cast: Cast, product: Product) -> tuple[dict[str, str], dict[str, bytes]]:
    """Everything that makes, sends or takes a secret; returns the secrets by name, and the exports."""
    secrets: dict[str, str] = {}
    tech = Person(product.base)
    tech.sign_in(cast.tech)
    tech.open("/sign-in/second-factor/app/add/")
    secrets["an app's secret"] = tech.text_of("totp-secret")
    tech.post(tech.url, code=code_of(secrets["an app's secret"]))
    tech.open("/gateways/add/")
    tech.post("", name="Edge", mode="standard", fail_policy="open", ip_ranges="")
    secrets["a gateway's credential"] = tech.text_of("credential")

    request = cast.request(cast.star_contract)
    decide(cast.pm, product, secrets)
    consent(cast, product, secrets)
    decide(cast.legal, product, secrets)
    url = product.mail_to(cast.tech.email, "/decide/").link("/decide/", "answer=approve")
    note_token(secrets, url)
    tech.open(url)
    checklist = re.findall(r'name="checklist" value="(\w+)"', tech.page)
    tech.post("", answer="approve", reason="", checklist=checklist)
    request.refresh_from_db()
    assert request.key is not None

    url = product.mail_to(request.key.recipient.email).link("/collect/")
    note_token(secrets, url)
    recipient = Person(product.base)
    recipient.open(url)
    recipient.post("")
    text = recipient.text_of("the-key")
    secrets["the key"], secrets["the key's random part"] = text, text.rsplit("_", 1)[-1][:43]

    gateway = secrets["a gateway's credential"]
    check = product.verify(gateway, text, ip="203.0.113.9", cost_usd="0.1")
    assert check["code"] == "VALID"
    assert product.report(gateway, check=check["check"], status=200, cost_usd="0.05")["taken"] == 1
    # What belongs nowhere is put everywhere: into a report, too.
    assert product.report(gateway, id=text, key=text, status=200)["wrong"] == 1
    assert product.verify(gateway, f"{text}x", ip="203.0.113.9")["code"] != "VALID"
    recipient.open(f"/keys/?q={text}")  # somebody puts the key where it never belongs
    for how in ("8bit", "base64", "quoted-printable"):  # or into a mail
        raw = mail(
            f"用途：{text}", subject=f"Key {text}", encoding=how, message_id=f"<{how}@minato.example.jp>"
        )
        receive_mail(raw=raw, via="pipe", now=timezone.now())
    pm = Person(product.base)
    pm.sign_in(cast.pm, next_url="/keys/")
    pm.open(f"/keys/?q={text}")
    exports = {"the keys' CSV": pm.post("/keys/export/").encode()}

    security = Person(product.base)
    security.sign_in(cast.security)
    security.open("/sign-in/second-factor/app/add/")
    secrets["another app's secret"] = security.text_of("totp-secret")
    security.post(security.url, code=code_of(secrets["another app's secret"]))
    number = request.key.public_id
    security.open(f"/keys/{number}/revoke/")
    security.post("", reason="leaked", note="", confirm=number, typed_number=number)
    assert product.verify(gateway, text, ip="203.0.113.9")["code"] == "REVOKED"
    for kind in ("jsonl", "csv"):
        security.open("/audit/")
        exports[f"the events as {kind}"] = security.post("/audit/export/", format=kind).encode()
    product.settle()
    return secrets, exports


def decide(person: User, product: Product, secrets: dict[str, str]) -> None:
    url = product.mail_to(person.email, "/decide/").link("/decide/", "answer=approve")
    note_token(secrets, url)
    at_browser = Person(product.base)
    at_browser.sign_in(person, next_url=url.removeprefix(product.base))
    at_browser.post("", answer="approve", reason="")
    assert "/decisions/" in at_browser.url


def consent(cast: Cast, product: Product, secrets: dict[str, str]) -> None:
    star = cast.star.contacts.get(purposes__contains=["consent"])
    url = product.mail_to(star.email).link("/consent/", "answer=approve")
    token = note_token(secrets, url)
    at_browser = Person(product.base)
    at_browser.open(url)
    at_browser.post(f"/consent/{token}/code/")
    code = re.search(r"\b\d{4} ?\d{4}\b", product.mail_to(star.email).text)
    assert code
    secrets["the code of a consent"] = code[0].replace(" ", "")
    at_browser.post(f"/consent/{token}/terms/", code=code[0])
    proof = re.search(r'name="proof" value="([^"]+)"', at_browser.page)
    digest = re.search(r'name="digest" value="([^"]+)"', at_browser.page)
    assert proof
    assert digest
    secrets["the proof of a consent"] = proof[1]
    signed = {"signed_name": "星野 光", "signed_capacity": "本人", "proof": proof[1], "digest": digest[1]}
    at_browser.post(f"/consent/{token}/answer/", answer="approve", reason="", **signed)
    assert "/receipt/" in at_browser.url


def note_token(secrets: dict[str, str], url: str) -> str:
    token = url.split("?", maxsplit=1)[0].rstrip("/").rsplit("/", 1)[-1]
    secrets[f"the link {len(secrets)}"] = token
    return token


# --- the tests ------------------------------------------------------------------------------------------


@pytest.fixture
def product(transactional_db: None, tmp_path: Path) -> Iterator[Product]:
    with products.running(tmp_path) as running:
        yield running


def test_the_whole_journey_leaves_no_secret_in_clear(
    cast: Cast, product: Product, valkey: "redis.Redis", caplog: pytest.LogCaptureFixture
) -> None:
    with listening(os.environ["REDIS_URL"]) as commands:
        secrets, exports = walk(cast, product)
    assert len(secrets) >= 10, "each kind of secret was met"
    assert b"celery" in commands, "task messages were heard"
    where = [
        *tables(),
        *valkey_values(valkey),
        *logs(product.logs),
        *exports.items(),
        ("a command to Valkey", bytes(commands)),
        ("the log of this process", caplog.text.encode()),
    ]
    assert len(where) > 40
    assert find(secrets, iter(where)) == []

    # Mails carry links and codes, and nothing else of these.
    never = {
        what: text for what, text in secrets.items() if "key" in what or "app" in what or "gateway" in what
    }
    mails = ((str(mail["Subject"]), str(mail.get_body(("plain",))).encode()) for mail in product.sink.mails)
    assert find(never, mails) == []


def test_the_search_finds_what_was_planted(cast: Cast, valkey: "redis.Redis", tmp_path: Path) -> None:
    needle = {"the marker": MARKER}
    assert find(needle, tables()) == []
    User.objects.filter(pk=cast.pm.pk).update(name=f"x{MARKER}x")
    assert find(needle, tables()) == ["the marker in table accounts_user"]
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE approvals_steplink SET nonce = nonce"
        )  # a table with bytea is there to be read
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session["note"] = MARKER * 20  # long enough that Django compresses it
    session.save()
    assert "the marker in a session" in find(needle, tables())

    packed = base64.b64encode(json.dumps({"args": [MARKER]}).encode())
    valkey.lpush("celery:celery", json.dumps({"body": packed.decode()}))
    valkey.hset("a hash", "field", MARKER)
    valkey.xadd("a stream", {"field": MARKER})
    valkey.zadd("a set", {MARKER: 1})
    found = find(needle, valkey_values(valkey))
    assert len({line.split("Valkey")[1] for line in found}) == 4

    (tmp_path / "portal.log").write_text(f'{{"path": "/collect/{MARKER}"}}')
    assert find(needle, logs(tmp_path)) == ["the marker in log portal.log"]
    assert find(needle, iter([("hex", b"\\\\x" + MARKER.encode().hex().encode())])) == ["the marker in hex"]
    assert find(needle, iter([("sealed", seal(MARKER.encode(), purpose="test").encode())])) == []
    with listening(os.environ["REDIS_URL"]) as commands:
        valkey.set("x", MARKER)
    assert find(needle, iter([("a command", bytes(commands))])) != []
