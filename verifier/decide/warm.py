"""The warm check: one function call, one round trip, whichever process serves it (V3)."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from keys.hotstore import client as hotwire
from keys.hotstore.call import read_verdict
from keys.hotstore.client import encode
from keys.hotstore.record import record_key, tag_of, use_key
from keys.secrets import hashing
from keys.secrets.form import BUCKET_LENGTH, FAMILY_LENGTH
from verifier.contract.codes import BY_BYTES, Code
from verifier.contract.leases import new_lease
from verifier.contract.question import Context, Question

_FUNCTION: Final = f"kagiban_verify_{hotwire.VERSION}"
# Key id, run, mode, a secret's field and a lease's name in one.
_N_WHO: Final = 12 + 8 + 1 + 17 + 10
_N_PARTS: Final = 3 + 2 + 2
_MAX_PREFIXES: Final = 50_000

# Why a check misses whose secret the store does not have.
STRANGE: Final = frozenset({b"EMPTY", b"UNKNOWN"})

FRESH: Final = b"n"
PAST_ITS_TIME: Final = b"s"


# A gateway's number, the key id of the secret that it sent, and what it is asked for.
Order = tuple[str, bytes, Context]


@dataclass(slots=True)
class Verdict:
    """The answer to one question. What is left: -1 where there is no such limit; budget in millionths.

    `identity` is JSON about the key, empty where the caller did not prove to have it. `now` is the store's
    clock, `retry` the seconds after which asking again makes sense. `lease` names the check, `held` is for
    how many ms after `now` it holds a place: 0 where it holds none.
    `shared` is what is left in minute, hour and budget of the workspace's limits; None where it has none.
    `order` is who asked for what. `detail` says what is wrong with a text that is no key.
    """

    code: Code
    identity: bytes = b""
    minute: int = -1
    hour: int = -1
    budget: int = -1
    now: int = 0
    retry: int = 0
    lease: bytes = b""
    held: int = 0
    order: Order | None = None
    degraded: bool = False
    shared: tuple[int, int, int] | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Miss:
    """The database has to be asked. Why: EMPTY, STALE, UNKNOWN or UNPROVEN; and what the store was then.

    `now`: its clock, in seconds.
    """

    why: bytes
    epoch: bytes
    run: bytes
    now: int

    @property
    def is_of_stranger(self) -> bool:
        """Whether the store has no such secret: anybody can think of such a key."""
        return self.why in STRANGE


_prefixes: dict[bytes, bytes] = {}


@cache
def digester() -> hashing.Digester:
    """The HMAC under the current pepper; a process keeps the pepper that it was started with."""
    return hashing.digester()


def _prefix(key_id: bytes) -> bytes:
    """The call up to the key id: it is the same at every check of a secret, and holds nothing secret."""
    family = key_id[:FAMILY_LENGTH].decode()
    tag = tag_of(family[:BUCKET_LENGTH])
    keys = [record_key(family), use_key(tag)]
    begin = encode("FCALL", _FUNCTION, len(keys), *keys).partition(b"\r\n")[2]
    prefix = b"*%d\r\n%b$%d\r\n%b" % (_N_PARTS, begin, _N_WHO, key_id)
    if len(_prefixes) >= _MAX_PREFIXES:
        _prefixes.clear()
    _prefixes[key_id] = prefix
    return prefix


def command(
    context: Context, key_id: bytes, digest: bytes, *, run: bytes, lease: bytes, mode: bytes = FRESH
) -> bytes:
    """The one call of a check, for the server process marked `run`."""
    return b"%b%b%bs%b%b\r\n%b" % (
        _prefixes.get(key_id) or _prefix(key_id),
        run,
        mode,
        digest[:16],
        lease,
        context.packed,
    )


def verdict_of(reply: bytes | list[Any], lease: bytes, order: Order | None = None) -> Verdict | None:
    """What the store said; None where it does not know (MISS)."""
    if type(reply) is not bytes:
        return None
    code, identity, minute, hour, budget, now, retry, held, shared = read_verdict(reply)
    verdict = Verdict(BY_BYTES[code], identity, minute, hour, budget, now, retry, lease, held, order)
    verdict.shared = shared
    return verdict


def ask(question: Question, key_id: bytes, digest: bytes, mode: bytes = FRESH) -> Verdict | Miss:
    """Ask the hot store once. Raises StoreUnavailableError."""
    lease = new_lease()
    asked = b""

    def for_run(run: bytes) -> bytes:
        nonlocal asked
        asked = run
        return command(question.context, key_id, digest, run=run, lease=lease, mode=mode)

    reply = hotwire.ask_run(for_run, record_key(key_id[:FAMILY_LENGTH].decode()))
    return verdict_of(reply, lease) or Miss(reply[1], reply[2], asked, reply[3])
