"""What a gateway asks, read from JSON (`/v1/keys/verify`) or from headers (`/v1/authorize`)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from keys.hotrecord import MICROS, address_hex
from keys.secret_format import contains_secret

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

DEFAULT_LEASE_SECONDS: Final = 60
MAX_LEASE_SECONDS: Final = 3600
MAX_COST_USD: Final = 1_000_000
MAX_TEXT: Final = 2_000
_MAX_CACHED_ADDRESSES: Final = 50_000

FIELDS: Final = frozenset(
    {
        "key", "ip", "scope", "scopes", "workspace", "environment", "model", "feature", "features",
        "cost_usd", "lease_seconds",
    }
)  # fmt: skip


class BadQuestionError(Exception):
    """The question itself is wrong, whatever the key: 400, with a sentence for the gateway's developer."""


@dataclass(slots=True)
class Question:
    """May this secret do this, now? Empty text means "not asked". Never printed: it holds the secret.

    `ip` is 32 hex digits; `scopes` and `features` are joined by spaces: every one of them is needed.
    """

    secret: str
    ip: bytes = b""
    environment: str = ""
    workspace: str = ""
    scopes: str = ""
    model: str = ""
    features: str = ""
    cost_micros: int = 0
    lease_seconds: int = DEFAULT_LEASE_SECONDS

    def __repr__(self) -> str:
        return "Question(…)"


_addresses: dict[str, bytes] = {}


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
    """Read the body of `/v1/keys/verify` (V1).

    A field that is not known is refused: a typo in `scope` must not make a check weaker. Raises
    BadQuestionError.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise BadQuestionError("The body is not JSON.") from None
    if type(data) is not dict:
        raise BadQuestionError("The body is not a JSON object.")
    if not data.keys() <= FIELDS:
        unknown = ", ".join(sorted(str(name)[:40] for name in data.keys() - FIELDS))
        raise BadQuestionError(f"Unknown fields: {unknown}.")
    get = data.get
    question = Question(_text(data, "key"))
    if get("ip"):
        question.ip = address(_text(data, "ip"))
    if get("environment"):
        question.environment = _text(data, "environment")
    if get("workspace"):
        question.workspace = _text(data, "workspace")
    question.scopes = _words(data, "scope", "scopes")
    if get("model"):
        question.model = _text(data, "model")
    question.features = _words(data, "feature", "features")
    if "cost_usd" in data:
        question.cost_micros = _micros(data["cost_usd"])
    if "lease_seconds" in data:
        question.lease_seconds = _seconds(data["lease_seconds"])
    return question


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name, "")
    if type(value) is not str:
        raise BadQuestionError(f"`{name}` is not text.")
    if len(value) > MAX_TEXT:
        raise BadQuestionError(f"`{name}` is too long.")
    return value


def _words(data: Mapping[str, Any], one: str, many: str) -> str:
    text = _text(data, one) if data.get(one) else ""
    values = data.get(many)
    if not values:
        return text
    if type(values) is not list or not all(type(value) is str for value in values):
        raise BadQuestionError(f"`{many}` is not a list of texts.")
    joined = " ".join([text, *values]).strip()
    if len(joined) > MAX_TEXT:
        raise BadQuestionError(f"`{many}` is too long.")
    return joined


def _micros(value: Any) -> int:
    if type(value) not in {int, float, str}:
        raise BadQuestionError("`cost_usd` is not a number.")
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        raise BadQuestionError("`cost_usd` is not a number.") from None
    if not amount.is_finite() or not 0 <= amount <= MAX_COST_USD:
        raise BadQuestionError(f"`cost_usd` must lie between 0 and {MAX_COST_USD}.")
    # Rounded up: a budget never gives more than it holds.
    return -int(-amount * MICROS // 1)


def _seconds(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= MAX_LEASE_SECONDS:
        raise BadQuestionError(f"`lease_seconds` must be a whole number from 1 to {MAX_LEASE_SECONDS}.")
    return value


def secret_from_headers(environ: "WSGIEnvironment") -> str:
    """The partner's key: `Authorization: Bearer …`, else `X-API-Key`; empty where neither was sent."""
    scheme, _, credentials = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "bearer":
        return str(credentials.strip())
    return str(environ.get("HTTP_X_API_KEY", "").strip())


def from_headers(environ: "WSGIEnvironment", sub_path: str) -> Question:
    """Read a gateway's subrequest to `/v1/authorize` (V1); only to be used once the gateway is known.

    What is needed is told by the gateway's own configuration: in the query of `/v1/authorize?scope=…`, or,
    where the partner's own path and query follow (Envoy), in `X-Kagiban-…` headers. The address is the last
    one in X-Forwarded-For, which the gateway itself has put there. Raises BadQuestionError.
    """
    question = Question(secret_from_headers(environ))
    get = environ.get
    hops = get("HTTP_X_FORWARDED_FOR", "")
    if hops:
        question.ip = address(hops.rpartition(",")[2].strip())
    if sub_path:
        asked = {name: get(f"HTTP_X_KAGIBAN_{name.upper()}", "") for name in _ASKED}
    elif environ.get("QUERY_STRING"):
        query = parse_qs(environ["QUERY_STRING"])
        unknown = query.keys() - _ASKED
        if unknown:
            raise BadQuestionError("The query of /v1/authorize has fields that are not known.")
        asked = {name: " ".join(values) for name, values in query.items()}
    else:
        return question
    question.scopes = asked.get("scope", "")
    question.workspace = asked.get("workspace", "")
    question.environment = asked.get("environment", "")
    question.model = asked.get("model", "")
    question.features = asked.get("feature", "")
    return question


_ASKED: Final = frozenset({"scope", "workspace", "environment", "model", "feature"})


def key_stands_in_url(environ: "WSGIEnvironment") -> bool:
    """Whether the partner's URL, or the one that the gateway called, has a key in it (V1)."""
    get = environ.get
    return any(
        contains_secret(text)
        for text in (
            get("QUERY_STRING", ""),
            get("PATH_INFO", ""),
            get("HTTP_X_FORWARDED_URI", ""),
            get("HTTP_X_ORIGINAL_URI", ""),
            get("HTTP_X_ORIGINAL_URL", ""),
        )
        if text
    )
