"""Heads of requests that were read before: a gateway sends the same one with every check.

A head that is the same byte for byte means the same, so what the parser made of it the first time holds. Kept
are only heads of plain checks that a known gateway sent, and none in which a partner's key stands: of a
subrequest to `/v1/authorize`, which brings the key along in a field, what stands around that key.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from keys.secrets.form import contains_secret
from keys.secrets.pasted import KeyFieldError, is_plain
from verifier.api.app import AUTHORIZE, BODY, MAX_BODY, address_of, credential_of, is_authorize
from verifier.callers import gateways
from verifier.contract import question
from verifier.contract.question import Context

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

END: Final = b"\r\n\r\n"
VERIFY: Final = b"POST /v1/keys/verify HTTP/1.1\r\n"
_MAX_HEADS: Final = 1_000
_MAX_LENGTH: Final = 4_096
# The field that a partner's key commonly stands in.
_KEY: Final = b"\r\nAuthorization: Bearer "
_LINE: Final = b"\r\n"
# What makes a request differ from a plain one, or its meaning depend on more than its head. An Origin is the
# caller's to choose, and its answer may have fields of its own (verifier.api.cors).
_NOT_PLAIN: Final = frozenset({"HTTP_TRANSFER_ENCODING", "HTTP_EXPECT", "HTTP_ORIGIN"})


@dataclass(frozen=True, slots=True)
class Head:
    """What a head says: the body's length in bytes, the gateway's credential, an environ without a body.

    Of `/v1/authorize` also what is asked; its environ lacks the key.
    """

    length: int
    credential: str
    environ: "WSGIEnvironment"
    context: Context | None = None

    def __repr__(self) -> str:
        return "Head(…)"

    def environ_with(self, piece: bytes, peer: str) -> "WSGIEnvironment":
        """The whole environ again: with the body, or the key, and the address that it came from."""
        if self.context is None:
            return {**self.environ, "REMOTE_ADDR": peer, BODY: piece}
        key = f"Bearer {piece.decode('ascii')}"
        return {**self.environ, "REMOTE_ADDR": peer, BODY: b"", "HTTP_AUTHORIZATION": key}


_heads: dict[bytes, Head] = {}
_around: dict[tuple[bytes, bytes], Head] = {}


def known(data: bytes) -> tuple[Head, bytes] | None:
    """The head of a whole request, if it was read before, and what it does not hold: the body, or the key."""
    if data.startswith(VERIFY):
        end = data.find(END) + len(END)
        head = _heads.get(data[:end])
        return None if head is None or len(data) - end != head.length else (head, data[end:])
    before, _, rest = data.partition(_KEY)
    secret, _, after = rest.partition(_LINE)
    head = _around.get((before, after))
    # Of other characters the parser might make more than one field's value.
    return None if head is None or not is_plain(secret) else (head, secret)


def learn(data: bytes, environ: "WSGIEnvironment", body: bytes) -> None:
    """Keep the head of a request that was read whole from `data`, if it is one that may be kept."""
    head, _, rest = data.partition(END)
    if len(head) > _MAX_LENGTH or rest != body or not _NOT_PLAIN.isdisjoint(environ):
        return
    if data.startswith(VERIFY):
        _learn_verify(head + END, environ, body)
    elif environ["REQUEST_METHOD"] == "GET" and is_authorize(environ["PATH_INFO"]) and not body:
        _learn_authorize(data, environ)


def _learn_verify(head: bytes, environ: "WSGIEnvironment", body: bytes) -> None:
    if environ.get("CONTENT_LENGTH") != str(len(body)) or len(body) > MAX_BODY:
        return
    credential = credential_of(environ)
    # Whose call it is would depend on more than the credential.
    if "HTTP_X_FORWARDED_FOR" in environ or not _may_be_kept(head, credential, environ):
        return
    kept = {name: value for name, value in environ.items() if name != BODY}
    _put(_heads, head, Head(len(body), credential, kept))


def _learn_authorize(data: bytes, environ: "WSGIEnvironment") -> None:
    before, _, rest = data.partition(_KEY)
    secret, _, after = rest.partition(_LINE)
    # A second field of that name would be joined to the first.
    is_single = environ.get("HTTP_AUTHORIZATION") == f"Bearer {secret.decode('latin-1')}"
    sub_path = environ["PATH_INFO"][len(AUTHORIZE) :]
    if "CONTENT_LENGTH" in environ or not is_single or question.key_stands_in_url(environ):
        return
    credential = environ.get("HTTP_X_GATEWAY_CREDENTIAL", "")
    if not _may_be_kept(before + _LINE + after, credential, environ):
        return
    try:
        context = question.from_headers(environ, sub_path).context
    except (question.BadQuestionError, KeyFieldError):
        return
    kept = {name: value for name, value in environ.items() if name not in {BODY, "HTTP_AUTHORIZATION"}}
    _put(_around, (before, after), Head(0, credential, kept, context))


def _may_be_kept(text: bytes, credential: str, environ: "WSGIEnvironment") -> bool:
    if not credential or contains_secret(text.decode("latin-1").replace(credential, "")):
        return False
    try:
        return gateways.caller_at_hand(credential, address_of(environ)) is not None
    except gateways.UnknownGatewayError:
        return False


def _put(heads: dict[Any, Head], name: Any, head: Head) -> None:
    if len(heads) >= _MAX_HEADS:
        heads.clear()
    heads[name] = head
