"""Heads of requests that were read before: a gateway sends the same one with every check.

A head that is the same byte for byte means the same, so what the parser made of it the first time holds. Kept
are only heads of plain checks that a known gateway sent, and none in which a partner's key may stand.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keys.secret_format import contains_secret
from verifier import gateways
from verifier.app import BODY, MAX_BODY, address_of, bearer_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

END: Final = b"\r\n\r\n"
_START: Final = b"POST /v1/keys/verify HTTP/1.1\r\n"
_MAX_HEADS: Final = 1_000
_MAX_LENGTH: Final = 4_096
# What makes a request differ from a plain one, or its meaning depend on more than its head.
_NOT_PLAIN: Final = frozenset({"HTTP_TRANSFER_ENCODING", "HTTP_EXPECT", "HTTP_X_FORWARDED_FOR"})


@dataclass(frozen=True, slots=True)
class Head:
    """What a head says: the body's length in bytes, the gateway's credential, an environ without a body."""

    length: int
    credential: str
    environ: "WSGIEnvironment"

    def __repr__(self) -> str:
        return "Head(…)"


_heads: dict[bytes, Head] = {}

known: Final = _heads.get


def learn(data: bytes, environ: "WSGIEnvironment", body: bytes) -> None:
    """Keep the head of a request that was read whole from `data`, if it is one that may be kept."""
    head, _, rest = data.partition(END)
    if not (head.startswith(_START) and rest == body and len(head) <= _MAX_LENGTH and len(body) <= MAX_BODY):
        return
    if environ.get("CONTENT_LENGTH") != str(len(body)) or not _NOT_PLAIN.isdisjoint(environ):
        return
    credential = bearer_of(environ)
    if contains_secret(head.decode("latin-1").replace(credential, "")):
        return
    try:
        if gateways.caller_at_hand(credential, address_of(environ)) is None:
            return
    except gateways.UnknownGatewayError:
        return
    if len(_heads) >= _MAX_HEADS:
        _heads.clear()
    kept = {name: value for name, value in environ.items() if name != BODY}
    _heads[head + END] = Head(len(body), credential, kept)
