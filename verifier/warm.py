"""The warm check: one function call, one round trip, whichever process serves it (V3)."""

from dataclasses import dataclass
from functools import cache
from itertools import count
from os import getpid, urandom
from typing import Any, Final

from keys import hashing, hotwire
from keys.hotrecord import environment_word, tag_of
from keys.hotwire import Connection, encode
from verifier.codes import BY_BYTES, Code
from verifier.question import Question

_FUNCTION = f"kagiban_verify_{hotwire.VERSION}".encode()
_N_ARGUMENTS = 3 + 4 + 13
# Everything whose length never changes, in one piece: keys, run, secret, key id, mode.
_FIXED: Final = (
    b"*%d\r\n$5\r\nFCALL\r\n$%d\r\n%b\r\n$1\r\n4\r\n" % (_N_ARGUMENTS, len(_FUNCTION), _FUNCTION)
    + b"$18\r\nkb:{%b}:k:%b\r\n$9\r\nkb:{%b}:u\r\n$9\r\nkb:{%b}:e\r\n$18\r\nkb:{%b}:l:%b\r\n"
    + b"$8\r\n%b\r\n$17\r\ns%b\r\n$12\r\n%b\r\n$1\r\n%b\r\n%b"
)
_MAX_CONTEXTS: Final = 20_000

FRESH: Final = b"n"
PAST_ITS_TIME: Final = b"s"


@dataclass(slots=True)
class Verdict:
    """The answer to one question. What is left: -1 where there is no such limit; budget in millionths.

    `identity` is JSON about the key, empty where the caller did not prove to have it. `now` is the store's
    clock, `retry` the seconds after which asking again makes sense. `lease` names a held place, if any.
    """

    code: Code
    identity: bytes = b""
    minute: int = -1
    hour: int = -1
    budget: int = -1
    now: int = 0
    retry: int = 0
    lease: bytes = b""
    degraded: bool = False


_contexts: dict[tuple[bytes, str, str, str, str, str], bytes] = {}
_leases = count()
_LEASE_PREFIX = b"%x-%b-" % (getpid(), urandom(5).hex().encode())


@cache
def digester() -> hashing.Digester:
    """The HMAC under the current pepper; a process keeps the pepper that it was started with."""
    return hashing.digester()


def new_lease() -> bytes:
    """A name that no other check of any process has."""
    return b"%b%x" % (_LEASE_PREFIX, next(_leases))


def command(
    question: Question, key_id: bytes, digest: bytes, run: bytes, lease: bytes, mode: bytes = FRESH
) -> bytes:
    """The call in RESP. Gateways repeat themselves, so the encoded context of a question is kept."""
    context = (
        question.ip,
        question.environment,
        question.workspace,
        question.scopes,
        question.model,
        question.features,
    )
    packed = _contexts.get(context)
    if packed is None:
        packed = _pack(*context)
    tag = tag_of(key_id[:2].decode())
    family = key_id[:8]
    tail = b"$%d\r\n%d\r\n$%d\r\n%b\r\n" % (
        len(str(question.cost_micros)),
        question.cost_micros,
        len(lease),
        lease,
    )
    millis = question.lease_seconds * 1000
    return b"%b%b$%d\r\n%d\r\n" % (
        _FIXED % (tag, family, tag, tag, tag, family, run, digest[:16], key_id, mode, packed),
        tail,
        len(str(millis)),
        millis,
    )


def _pack(ip: bytes, environment: str, workspace: str, scopes: str, model: str, features: str) -> bytes:
    word = environment_word(environment) if environment else b""
    packed = encode(ip, word, workspace, scopes, model, features).partition(b"\r\n")[2]
    if len(_contexts) >= _MAX_CONTEXTS:
        _contexts.clear()
    _contexts[ip, environment, workspace, scopes, model, features] = packed
    return packed


@dataclass(slots=True)
class Reply:
    """What the function said, the lease that it may have taken, and the server process that said it."""

    parts: list[Any]
    lease: bytes
    run: bytes

    @property
    def is_miss(self) -> bool:
        """Whether the database has to be asked."""
        return bool(self.parts[0] == b"MISS")

    @property
    def why(self) -> bytes:
        """Of a miss: EMPTY, STALE, UNKNOWN or UNPROVEN."""
        reason: bytes = self.parts[1]
        return reason

    @property
    def epoch(self) -> bytes:
        """Of a miss: the store's epoch, which must come back unchanged with the record."""
        epoch: bytes = self.parts[2]
        return epoch


def ask(question: Question, key_id: bytes, digest: bytes, mode: bytes = FRESH) -> Reply:
    """Ask the hot store once. Raises StoreUnavailableError."""
    wire: Connection = hotwire.connection()
    run, lease = wire.run, new_lease()
    return Reply(hotwire.ask(command(question, key_id, digest, run, lease, mode)), lease, run)


def verdict(reply: Reply) -> Verdict:
    """A reply that is not MISS, as a verdict."""
    code, identity, minute, hour, budget, now, retry = reply.parts
    return Verdict(BY_BYTES[code], identity, minute, hour, budget, now, retry, reply.lease)
