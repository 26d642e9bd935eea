"""What the middlewares share: reading a request's key, asking, and the answer of a refusal."""

import json
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import unquote

from kagiban_client.client import Client
from kagiban_client.errors import KagibanError, UnavailableError
from kagiban_client.keyform import contains_key, key_of_fields
from kagiban_client.reporter import Reporter
from kagiban_client.usage import Outcome
from kagiban_client.verdict import KEY_IN_URL, MALFORMED, NO_KEY, Needs, Question, Verdict, unavailable

logger = logging.getLogger(__name__)

Field = tuple[str, str]
_NOTHING: Final = Needs()
# As Azure's application gateway, for one, tells addresses: 203.0.113.7:443, [2001:db8::1]:443.
_WITH_PORT: Final = re.compile(r"([0-9.]+):[0-9]{1,5}|\[([0-9A-Fa-f]*:[^\[\]]+)\](?::[0-9]{1,5})?").fullmatch


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP answer: problem+json (RFC 9457) with the fields that belong to it."""

    status: int
    fields: list[Field]
    body: bytes


class Guard:
    """Lets requests through by their keys.

    `needs`: what a call needs, the same for all, or a function of the framework's request (Django's
    HttpRequest, ASGI's scope, WSGI's environ) that returns `Needs`, or None for a request that everybody may
    send. `address`: a function of the same that returns the caller's address; without it that of the
    connection, which behind a proxy is the proxy's. `reporter`: where outcomes are told.
    """

    def __init__(
        self,
        client: Client,
        *,
        needs: Needs | Callable[[Any], Needs | None] = _NOTHING,
        address: Callable[[Any], str | None] | None = None,
        reporter: Reporter | None = None,
        realm: str = "api",
    ) -> None:
        if not realm.isprintable() or not realm.isascii() or '"' in realm or "\\" in realm:
            raise ValueError("a realm is plain ASCII without quotes")
        self.client = client
        self._needs = needs
        self._address = address
        self._reporter = reporter
        self._realm = realm

    def read(
        self, request: Any, *, authorization: str, api_key: str, url: str, peer: str | None
    ) -> Question | Verdict | None:
        """The question that a request makes; a verdict where none is needed; None where all may pass."""
        needs = self._needs(request) if callable(self._needs) else self._needs
        if needs is None:
            return None
        if contains_key(unquote(url)):
            return KEY_IN_URL
        key = key_of_fields(authorization, api_key)
        if not key:
            return MALFORMED if key is None else NO_KEY
        return Question(key, _address(peer if self._address is None else self._address(request)), needs)

    def decide(self, asked: Question | Verdict) -> Verdict:
        """The verdict, whatever happens."""
        if isinstance(asked, Verdict):
            return asked
        try:
            return self.client.ask(asked)
        except KagibanError as error:
            return _failed(error)

    async def adecide(self, asked: Question | Verdict) -> Verdict:
        """`decide`, for an event loop."""
        if isinstance(asked, Verdict):
            return asked
        try:
            return await self.client.aask(asked)
        except KagibanError as error:
            return _failed(error)

    def refusal(self, verdict: Verdict) -> Refusal:
        """The answer to a caller who may not pass."""
        facts = {
            "type": f"urn:kagiban:problem:{verdict.code.lower()}",
            "title": verdict.title,
            "status": verdict.status,
            "code": verdict.code,
        }
        body = json.dumps(facts).encode()
        fields = [
            ("Content-Type", "application/problem+json"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            *verdict.fields.items(),
        ]
        if verdict.status == 401 or verdict.code == "INSUFFICIENT_SCOPE":
            fields.append(("WWW-Authenticate", self._challenge(verdict)))
        # Of a cost that no whole budget covers the verifier names no time: another try does not help.
        after = verdict.retry_after or (1 if verdict.status == 503 else 0)
        if verdict.status in {429, 503} and after:
            fields.append(("Retry-After", str(max(1, after))))
        return Refusal(verdict.status, fields, body)

    def begin(self, verdict: Verdict) -> Callable[[int | None], None]:
        """To be called when the answer was sent, with its status: tells the outcome, once."""
        reporter, began_at, is_over = self._reporter, time.monotonic(), False

        def end(status: int | None) -> None:
            nonlocal is_over
            if is_over or reporter is None or verdict.is_cached or verdict.key is None:
                return
            is_over = True
            took = round((time.monotonic() - began_at) * 1000)
            reporter.add(Outcome.of(verdict, status=status, latency_ms=took))

        return end

    def _challenge(self, verdict: Verdict) -> str:
        """RFC 6750: nothing but the realm where no key was sent."""
        realm = f'Bearer realm="{self._realm}"'
        if verdict.code == NO_KEY.code:
            return realm
        if verdict.status == 403:
            return f'{realm}, error="insufficient_scope"'
        title = "".join(letter for letter in verdict.title if letter.isascii() and letter not in '"\\')
        return f'{realm}, error="invalid_token", error_description="{title}"'


def _address(text: str | None) -> str | None:
    """An address, or None for what is none (a Unix socket, say): a key bound to addresses is refused then."""
    try:
        text = (text or "").strip()
        with_port = _WITH_PORT(text)
        return str(ip_address((with_port[1] or with_port[2] if with_port else text).partition("%")[0]))
    except ValueError:
        return None


def _failed(error: KagibanError) -> Verdict:
    if isinstance(error, UnavailableError):
        logger.warning("no verdict: %s", error)
        return unavailable(error.retry_after)
    # The program or its credential is wrong: nobody passes, and somebody has to look.
    logger.error("no verdict: %s", error)
    return unavailable(None)
