"""What a gateway asks, read from JSON (`/v1/keys/verify`) or from headers (`/v1/authorize`)."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeGuard
from urllib.parse import parse_qs, quote, unquote

from core.addresses import canonical_address
from core.countries import country_of
from keys.hotstore.call import pack_asked
from keys.hotstore.record import MICROS, address_hex
from keys.secrets import pasted
from keys.secrets.form import contains_secret

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# A gateway that reports ends frees a place by its report; this is for the report that never comes.
REPORTED_LEASE_SECONDS: Final = 60
MAX_LEASE_SECONDS: Final = 3600
MAX_COST_USD: Final = 1_000_000
MAX_TEXT: Final = 2_000
MAX_WORDS: Final = 100
_MAX_CACHED_ADDRESSES: Final = 50_000
_MAX_CACHED_CONTEXTS: Final = 20_000
# What is longer is read anew each time: a caller who may choose the model's name must not fill the memory.
_MAX_CACHED_LENGTH: Final = 1_000
_AMOUNT: Final = re.compile(r"[0-9]{1,7}(\.[0-9]{1,12})?", re.ASCII).fullmatch
_WHOLE: Final = re.compile(r"[1-9][0-9]{0,3}", re.ASCII).fullmatch

FIELDS: Final = frozenset(
    {
        "key", "ip", "scope", "scopes", "workspace", "environment", "model", "feature", "features",
        "cost_usd", "lease_seconds",
    }
)  # fmt: skip


class BadQuestionError(Exception):
    """The question itself is wrong, whatever the key: 400, with a sentence for the gateway's developer."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a secret is asked for. Empty text means "not asked".

    `ip` is 32 hex digits; `scopes` and `features` are joined by spaces: every one of them is needed. `packed`
    is the same as the last argument of the hot store's call: gateways repeat themselves, so it is made once.
    `country` is that of the address, two letters or empty. `names_cost`: the gateway told a cost, be it 0,
    and will tell the real one. `lease_seconds`: for how long the call holds one of the key's places at most;
    0: it holds none.
    """

    ip: bytes = b""
    environment: str = ""
    workspace: str = ""
    scopes: str = ""
    model: str = ""
    features: str = ""
    cost_micros: int = 0
    names_cost: bool = False
    lease_seconds: int = 0
    packed: bytes = field(init=False, repr=False, compare=False)
    country: bytes = field(init=False, repr=False, compare=False)
    _reported: "Context | None" = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        """Pack it as the function reads it."""
        country = country_of(self.ip)
        packed = pack_asked(
            cost=self.cost_micros,
            lease_ms=self.lease_seconds * 1000,
            environment=self.environment,
            address=self.ip,
            country=country,
            texts=(self.workspace, self.scopes, self.model, self.features),
        )
        object.__setattr__(self, "country", country)
        object.__setattr__(self, "packed", b"$%d\r\n%b\r\n" % (len(packed), packed))

    def reported(self) -> "Context":
        """The same from a gateway that reports ends: a place is held for it though no lease was named."""
        if self.lease_seconds:
            return self
        if self._reported is None:
            object.__setattr__(self, "_reported", replace(self, lease_seconds=REPORTED_LEASE_SECONDS))
        assert self._reported is not None
        return self._reported


@dataclass(slots=True)
class Question:
    """May this secret do this, now? Never printed: it holds the secret."""

    secret: bytes
    context: Context

    def __repr__(self) -> str:
        return "Question(…)"


# What /v1/authorize may be asked, by its name in a query or after X-Kagiban-.
_ASKED: Final = {
    "scope": "scopes",
    "workspace": "workspace",
    "environment": "environment",
    "model": "model",
    "feature": "features",
    "cost_usd": "cost_usd",
    "lease_seconds": "lease_seconds",
}
_PLACEHOLDER: Final = b"the key"
# How often a server on the way may have encoded what was encoded already.
_MOST_ENCODINGS: Final = 3
_SLASH: Final = (
    "Below /v1/authorize/ path and query are the caller's, so the gateway says in X-Kagiban-Scope what the "
    "call needs, be it nothing. Is there a slash too many?"
)

_addresses: dict[str, bytes] = {}
_contexts: dict[tuple[bytes, bytes], Context] = {}
_asked: dict[tuple[str, str], Context] = {}


def address(text: str) -> bytes:
    """An address as the hot store compares it. Raises BadQuestionError."""
    known = _addresses.get(text)
    if known is None:
        try:
            known = address_hex(text)
        except ValueError:
            raise BadQuestionError("`ip` is not an IP address.") from None
        if len(_addresses) >= _MAX_CACHED_ADDRESSES:
            _addresses.clear()
        _addresses[text] = known
    return known


def from_json(body: bytes) -> Question:
    """Read the body of `/v1/keys/verify` (V1). Raises BadQuestionError."""
    return Question(*split(body))


def split(body: bytes) -> tuple[bytes, Context]:
    """The secret in the body of `/v1/keys/verify`, and what it is asked for. Raises BadQuestionError.

    A gateway's bodies differ in the key alone, so what stands around the key is parsed once and kept: without
    the key, which no cache may hold.
    """
    before, mark, rest = body.partition(b'"key":"')
    if not mark:
        before, mark, rest = body.partition(b'"key": "')
    secret, end, after = rest.partition(b'"')
    if not end or not pasted.is_plain(secret) or len(body) > _MAX_CACHED_LENGTH:
        return _parse(body)  # written in another way, or at length
    around = (before, after)
    context = _contexts.get(around)
    if context is None:
        asked = _parse(body)
        if _parse(b"".join((before, mark, _PLACEHOLDER, end, after)))[0] != _PLACEHOLDER:
            return asked  # a second member of that name, which is the one that counts
        context = asked[1]
        if len(_contexts) >= _MAX_CACHED_CONTEXTS:
            _contexts.clear()
        _contexts[around] = context
    return secret, context


class _Twice:
    """Stands for a JSON object in which a member stands twice."""


TWICE: Final = _Twice()


def read_json(body: bytes) -> Any:
    """The JSON of a body, with TWICE for each object that has two members of one name.

    Of two the last would count here and the first elsewhere: `{"scope":"a","scope":""}` must not pass for
    less than it says. Raises BadQuestionError.
    """
    try:
        return json.loads(body, object_pairs_hook=_members)
    except (ValueError, RecursionError):
        raise BadQuestionError("The body is not JSON.") from None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Twice:
    members = dict(pairs)
    return members if len(members) == len(pairs) else TWICE


def listed(names: Iterable[str]) -> str:
    """Names of fields for a sentence; one in which a key stands is not quoted."""
    return ", ".join(sorted("…" if contains_secret(name) else name[:40] for name in names))


def _parse(body: bytes) -> tuple[bytes, Context]:
    """A field that is not known is refused: a typo in `scope` must not make a check weaker."""
    data = read_json(body)
    if data is TWICE:
        raise BadQuestionError("A field stands there twice.")
    if type(data) is not dict:
        raise BadQuestionError("The body is not a JSON object.")
    if not data.keys() <= FIELDS:
        raise BadQuestionError(f"Unknown fields: {listed(data.keys() - FIELDS)}.")
    if "key" not in data:
        raise BadQuestionError("`key` is missing.")
    if type(data["key"]) is not str:
        raise BadQuestionError("`key` is not text.")
    context = Context(
        ip=address(ip) if (ip := _text(data, "ip")) else b"",
        environment=_word("environment", _text(data, "environment")),
        workspace=_word("workspace", _text(data, "workspace")),
        scopes=_words(data, "scope", "scopes"),
        model=_joined(_text(data, "model")),
        features=_words(data, "feature", "features"),
        cost_micros=cost_micros(data.get("cost_usd", 0)),
        names_cost="cost_usd" in data,
        lease_seconds=_seconds(data["lease_seconds"]) if "lease_seconds" in data else 0,
    )
    return data["key"].strip().encode(errors="replace"), context


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name, "")
    if not _is_text(value):
        raise BadQuestionError(f"`{name}` is not text.")
    if len(value) > MAX_TEXT:
        raise BadQuestionError(f"`{name}` is too long.")
    return value


def _is_text(value: Any) -> TypeGuard[str]:
    """Whether it is text that can be sent on: JSON may name half of a character (a lone surrogate)."""
    if type(value) is not str:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _joined(*texts: str) -> str:
    """Words with one space between them, as the hot store's function and `checks` take them apart."""
    return " ".join(" ".join(texts).split())


def _word(name: str, text: str) -> str:
    """A text that is compared whole. Raises BadQuestionError where it is more than one word."""
    if text and text.split() != [text]:
        raise BadQuestionError(f"`{name}` is not one word.")
    return text


def _words(data: Mapping[str, Any], one: str, many: str) -> str:
    text = _text(data, one)
    values = data.get(many, [])
    if type(values) is not list or not all(map(_is_text, values)):
        raise BadQuestionError(f"`{many}` is not a list of texts.")
    if len(values) > MAX_WORDS or any(len(value) > MAX_TEXT for value in values):
        raise BadQuestionError(f"`{many}` is too long.")
    return _joined(text, *values)


def cost_micros(value: Any) -> int:
    """A cost in USD as millionths, rounded up. Raises BadQuestionError."""
    # Decimal would take "1_0", " 1" and "１", too.
    if type(value) not in {int, float} and not (type(value) is str and _AMOUNT(value)):
        raise BadQuestionError("`cost_usd` is not a number.")
    amount = Decimal(str(value))
    if not amount.is_finite() or not 0 <= amount <= MAX_COST_USD:
        raise BadQuestionError(f"`cost_usd` must lie between 0 and {MAX_COST_USD}.")
    # Rounded up: a budget never gives more than it holds.
    return -int(-amount * MICROS // 1)


def _seconds(value: Any) -> int:
    # JSON does not tell 2.0 from 2.
    if type(value) not in {int, float} or value != value // 1 or not 1 <= value <= MAX_LEASE_SECONDS:
        raise BadQuestionError(f"`lease_seconds` must be a whole number from 1 to {MAX_LEASE_SECONDS}.")
    return int(value)


def secret_from_headers(environ: "WSGIEnvironment") -> bytes:
    """The partner's key, from Authorization or X-API-Key; empty where neither was sent.

    Raises KeyFieldError where one stands in a way that is not taken.
    """
    authorization, api_key = environ.get("HTTP_AUTHORIZATION", ""), environ.get("HTTP_X_API_KEY", "")
    scheme, _, token = authorization.partition(" ")
    found: bytes = token.encode("latin-1", "replace")
    if api_key or scheme != "Bearer" or not pasted.is_plain(found):
        return pasted.secret_of_fields(authorization, api_key).encode(errors="replace")
    return found


def from_headers(environ: "WSGIEnvironment", sub_path: str) -> Question:
    """Read a gateway's subrequest to `/v1/authorize` (V1); only to be used once the gateway is known.

    What is needed is told by the gateway's own configuration: in the query of `/v1/authorize?scope=…`, or,
    where the partner's own path and query follow (Envoy), in `X-Kagiban-…` headers. The address is the last
    one in X-Forwarded-For, which the gateway itself has put there; Envoy puts its own behind that, and tells
    the caller's in `X-Kagiban-Address`. Raises BadQuestionError and KeyFieldError.
    """
    get = environ.get
    hops = get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip()
    if sub_path:
        # A query with a slash too many before it would ask for nothing (docs/decisions/0013).
        if "HTTP_X_KAGIBAN_SCOPE" not in environ:
            raise BadQuestionError(_SLASH)
        hops = get("HTTP_X_KAGIBAN_ADDRESS", "").strip() or hops
        told = ((name, get(f"HTTP_X_KAGIBAN_{name.upper()}", "")) for name in _ASKED)
        asked = "&".join(f"{name}={quote(value)}" for name, value in told)
    else:
        asked = get("QUERY_STRING", "")
    if ":" in hops:
        hops = _without_port(hops)  # a port differs with every connection: what is asked is still the same
    context = _asked.get((hops, asked))
    if context is None:
        context = _context_of(hops, asked)
        if len(asked) > _MAX_CACHED_LENGTH:
            return Question(secret_from_headers(environ), context)
        if len(_asked) >= _MAX_CACHED_CONTEXTS:
            _asked.clear()
        _asked[hops, asked] = context
    return Question(secret_from_headers(environ), context)


def _without_port(text: str) -> str:
    try:
        return canonical_address(text)
    except ValueError:
        return text  # it is refused with what else is wrong


def _context_of(address_text: str, asked: str) -> Context:
    # Names without a value, too: where `scope=` was forgotten before the scope, it must not pass for nothing.
    query = parse_qs(asked, keep_blank_values=True)
    if query.keys() - _ASKED.keys():
        raise BadQuestionError("The query of /v1/authorize has fields that are not known.")
    texts = {_ASKED[name]: " ".join(filter(None, values)) for name, values in query.items()}
    cost, lease = texts.get("cost_usd", ""), texts.get("lease_seconds", "")
    return Context(
        ip=address(address_text) if address_text else b"",
        environment=_word("environment", texts.get("environment", "")),
        workspace=_word("workspace", texts.get("workspace", "")),
        scopes=_joined(texts.get("scopes", "")),
        model=_joined(texts.get("model", "")),
        features=_joined(texts.get("features", "")),
        cost_micros=cost_micros(cost or 0),
        names_cost=bool(cost),
        lease_seconds=_seconds(int(lease) if _WHOLE(lease) else lease) if lease else 0,
    )


def key_stands_in(text: str) -> bool:
    """Whether a key stands in a piece of a URL, be it written with percent signs, also over again."""
    for _ in range(_MOST_ENCODINGS):
        if contains_secret(text) or "%" not in text:
            break
        text = unquote(text)
    return contains_secret(text)


def key_stands_in_url(environ: "WSGIEnvironment") -> bool:
    """Whether the partner's URL, or the one that the gateway called, has a key in it (V1)."""
    get = environ.get
    return any(
        key_stands_in(text)
        for text in (
            get("QUERY_STRING", ""),
            get("PATH_INFO", ""),
            get("HTTP_X_FORWARDED_URI", ""),
            get("HTTP_X_ORIGINAL_URI", ""),
            get("HTTP_X_ORIGINAL_URL", ""),
        )
        if text
    )
