"""The client: asks the verifier, for threads and for event loops."""

import asyncio
import os
import ssl
from threading import Lock
from types import TracebackType
from typing import Any, Final, Literal, Self, Unpack
from weakref import WeakKeyDictionary

import httpx2 as httpx

from kagiban_client import usage, verdict
from kagiban_client.cache import Cache
from kagiban_client.errors import BadQuestionError, NotAllowedError, UnavailableError
from kagiban_client.keyform import is_key
from kagiban_client.usage import Outcome, Receipt
from kagiban_client.verdict import LET_THROUGH, MALFORMED, Needed, Needs, Question, Verdict

VERIFY: Final = "/v1/keys/verify"
USAGE: Final = "/v1/usage"
_KEEP_SECONDS: Final = 30.0  # shorter than the verifier keeps an idle connection

# What was answered, or the kind of the failure: httpx's errors themselves hold the request, and so the key.
_Answer = httpx.Response | str
_FAILURES: Final = (httpx.HTTPError, httpx.InvalidURL)


class Client:
    """Asks one verifier, as one gateway. Make one for the whole process: it keeps connections.

    `timeout`: seconds for each of connecting, sending and waiting for the answer. Only a connection that
    could not be made is tried again, once: a question that was sent may have been counted.

    `when_unavailable`: "refuse" raises UnavailableError when the verifier can't say; "allow" lets every
    well-formed key through meanwhile (`Verdict.code` is UNAVAILABLE): for an API that must answer rather
    than be safe. A credential that the verifier does not know lets nobody through either way.

    Proxies of the environment are not used: they would see keys.
    """

    def __init__(
        self,
        base_url: str,
        credential: str,
        *,
        timeout: float = 3.0,
        when_unavailable: Literal["refuse", "allow"] = "refuse",
        cache: Cache | None = None,
        max_connections: int = 100,
        tls: ssl.SSLContext | bool = True,
    ) -> None:
        if when_unavailable not in {"refuse", "allow"}:
            raise ValueError('when_unavailable is "refuse" or "allow"')
        credential = credential.strip()  # a file that holds it may end with a line's end
        if not credential.isascii() or not credential.isprintable() or not credential:
            raise ValueError("the credential is no text of a gateway's credential")
        self._base_url = base_url.rstrip("/")
        self._when_unavailable = when_unavailable
        self._cache = cache
        self._options: dict[str, Any] = {
            "base_url": self._base_url,
            "headers": {"Authorization": f"Bearer {credential}", "Content-Type": "application/json"},
            "timeout": httpx.Timeout(timeout),
            "trust_env": False,
        }
        limits = httpx.Limits(max_connections=max_connections, keepalive_expiry=_KEEP_SECONDS)
        self._transport: dict[str, Any] = {
            "retries": 1, "limits": limits, "verify": tls, "trust_env": False,
        }  # fmt: skip
        self._http: httpx.Client | None = None
        self._process = os.getpid()
        self._making = Lock()
        self._ahttp: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"Client({self._base_url!r})"

    # --- asking ---

    def verify(self, key: str, *, ip: str | None = None, **needs: Unpack[Needed]) -> Verdict:
        """May this key do this, now? What the call needs is named as in Needs.

        Every call is counted against the key's limits. Raises UnavailableError (unless it is to be let
        through), NotAllowedError, BadQuestionError.
        """
        return self.ask(Question(key, ip, Needs(**needs)))

    async def averify(self, key: str, *, ip: str | None = None, **needs: Unpack[Needed]) -> Verdict:
        """`verify`, for an event loop."""
        return await self.aask(Question(key, ip, Needs(**needs)))

    def ask(self, question: Question) -> Verdict:
        """`verify` of a question that was made before."""
        known = self._known(question)
        if known is None:
            known = self._verdict(question, self._now(), self._post(VERIFY, question.body()))
        return known

    async def aask(self, question: Question) -> Verdict:
        """`ask`, for an event loop."""
        known = self._known(question)
        if known is None:
            known = self._verdict(question, self._now(), await self._apost(VERIFY, question.body()))
        return known

    def _known(self, question: Question) -> Verdict | None:
        """What can be said without asking: a text that is no key never leaves this process."""
        if not is_key(question.key):
            return MALFORMED
        return self._cache.get(question) if self._cache else None

    def _now(self) -> float:
        return self._cache.now() if self._cache else 0.0

    def _verdict(self, question: Question, asked_at: float, answer: _Answer) -> Verdict:
        try:
            response = _told(answer)
            found = verdict.read(response.content, response.headers)
        except UnavailableError:
            if self._when_unavailable == "refuse":
                raise
            return LET_THROUGH
        if self._cache:
            self._cache.put(question, found, asked_at)
        return found

    # --- reporting ---

    def report(self, *outcomes: Outcome) -> Receipt:
        """Tell how calls ended, up to 500 at once. Whatever was raised, the same may be sent again."""
        return usage.read(_told(self._post(USAGE, usage.body(outcomes))).content)

    async def areport(self, *outcomes: Outcome) -> Receipt:
        """`report`, for an event loop."""
        return usage.read(_told(await self._apost(USAGE, usage.body(outcomes))).content)

    # --- HTTP ---

    def _connections(self) -> httpx.Client:
        if self._process != os.getpid():
            # After a fork the parent's connections are the parent's: on a shared one answers go astray.
            self._process, self._http, self._making = os.getpid(), None, Lock()
        with self._making:
            if self._http is None:
                transport = httpx.HTTPTransport(**self._transport)
                self._http = httpx.Client(transport=transport, **self._options)
            return self._http

    def _post(self, path: str, body: bytes) -> _Answer:
        try:
            return self._connections().post(path, content=body)
        except _FAILURES as error:
            return type(error).__name__

    async def _apost(self, path: str, body: bytes) -> _Answer:
        loop = asyncio.get_running_loop()
        http = self._ahttp.get(loop)
        if http is None:
            transport = httpx.AsyncHTTPTransport(**self._transport)
            http = self._ahttp[loop] = httpx.AsyncClient(transport=transport, **self._options)
        try:
            return await http.post(path, content=body)
        except _FAILURES as error:
            return type(error).__name__

    def close(self) -> None:
        """Close the connections of threads."""
        if self._http is not None and self._process == os.getpid():
            self._http.close()
        self._http = None

    async def aclose(self) -> None:
        """Close the connections of this event loop, and those of threads."""
        http = self._ahttp.pop(asyncio.get_running_loop(), None)
        if http is not None:
            await http.aclose()
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _told(response: _Answer) -> httpx.Response:
    """The response, where it is an answer. Raises what else it may be."""
    if isinstance(response, str):
        raise UnavailableError(f"The verifier does not answer ({response}).")
    if response.status_code == 200:
        return response
    if response.status_code in {401, 403}:
        raise NotAllowedError("The verifier does not know this gateway's credential, or not from here.")
    if response.status_code in {400, 413}:
        raise BadQuestionError(_detail(response))
    after = response.headers.get("Retry-After", "")
    raise UnavailableError(
        f"The verifier answered {response.status_code}.", int(after) if after.isdecimal() else None
    )


def _detail(response: httpx.Response) -> str:
    try:
        data = response.json()
        return str(data.get("detail") or data["title"])
    except (ValueError, KeyError, AttributeError):
        return "The verifier did not understand."
