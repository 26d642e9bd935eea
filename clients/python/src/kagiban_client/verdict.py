"""Questions and verdicts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_UP, Decimal
from typing import Any, Final, TypedDict

from kagiban_client.errors import UnavailableError
from kagiban_client.keyform import mask

# What an API passes on to its own caller.
PASSED_ON: Final = ("RateLimit-Policy", "RateLimit", "Deprecation", "Sunset")


class Needed(TypedDict, total=False):
    """The fields of Needs, as keywords."""

    scopes: Sequence[str]
    workspace: str | None
    environment: str | None
    model: str | None
    features: Sequence[str]
    cost_usd: Decimal | None
    lease_seconds: int | None


@dataclass(frozen=True, slots=True)
class Needs:
    """What a call needs of its key. `cost_usd` is taken from the month's budget, up to a millionth.

    `lease_seconds`: for how long the call holds one of the key's concurrent places, unless it is reported
    before as ended.
    """

    scopes: Sequence[str] = ()
    workspace: str | None = None
    environment: str | None = None
    model: str | None = None
    features: Sequence[str] = ()
    cost_usd: Decimal | None = None
    lease_seconds: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.scopes, str) or isinstance(self.features, str):
            # Its letters would be asked for, one by one.
            raise TypeError("scopes and features are lists of texts")

    @property
    def takes(self) -> bool:
        """Whether the check takes something that is given back or settled later."""
        return self.cost_usd is not None or self.lease_seconds is not None


@dataclass(frozen=True, slots=True)
class Question:
    """May this key, sent from this address, do what is needed?"""

    key: str
    ip: str | None = None
    needs: Needs = field(default_factory=Needs)

    def __post_init__(self) -> None:
        """White space around a key counts nowhere."""
        object.__setattr__(self, "key", self.key.strip())

    def __repr__(self) -> str:
        return f"Question({mask(self.key)!r}, ip={self.ip!r}, needs={self.needs!r})"

    def body(self) -> bytes:
        """The question as the verifier reads it."""
        needs = self.needs
        said: dict[str, object] = {
            "ip": self.ip,
            "scopes": list(needs.scopes) or None,
            "workspace": needs.workspace,
            "environment": needs.environment,
            "model": needs.model,
            "features": list(needs.features) or None,
            "cost_usd": None if needs.cost_usd is None else amount(needs.cost_usd),
            "lease_seconds": needs.lease_seconds,
        }
        members = {"key": self.key} | {name: value for name, value in said.items() if value is not None}
        return json.dumps(members).encode()


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a key, or those that its workspace has for all of its keys; None where there is none."""

    minute: int | None = None
    hour: int | None = None
    burst: int | None = None
    concurrency: int | None = None
    budget_usd: Decimal | None = None

    @property
    def are_none(self) -> bool:
        """Whether nothing is limited."""
        return self == Limits()


@dataclass(frozen=True, slots=True)
class Remaining:
    """What is left of each limit after this call."""

    minute: int | None = None
    hour: int | None = None
    budget_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the verifier said; true in a condition where the key may go on.

    `status` is the HTTP status to refuse with, `fields` are header fields for the answer to the caller.
    `check` is to be reported when the call has ended (`Client.report`). `is_degraded`: said without the hot
    store, or, with the code UNAVAILABLE, without the verifier.
    """

    valid: bool
    code: str
    title: str = ""
    status: int = 200
    key: str | None = None
    partner: str | None = None
    workspace: str | None = None
    environment: str | None = None
    scopes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    workspace_limits: Limits = field(default_factory=Limits)
    remaining: Remaining = field(default_factory=Remaining)
    time_zone: str | None = None
    expires_at: datetime | None = None
    retiring_since: datetime | None = None
    retry_after: int | None = None
    check: str | None = None
    is_degraded: bool = False
    is_cached: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.valid


MALFORMED: Final = Verdict(
    valid=False,
    code="MALFORMED",
    title="This is not a key: its form or its checksum is wrong",
    status=401,
)
NO_KEY: Final = Verdict(valid=False, code="NO_KEY", title="No key was sent", status=401)
KEY_IN_URL: Final = Verdict(
    valid=False,
    code="KEY_IN_URL",
    title="A key must never stand in a URL; send it in a header",
    status=403,
)
_AWAY: Final = "The key can't be checked at the moment"
LET_THROUGH: Final = Verdict(valid=True, code="UNAVAILABLE", title=_AWAY, is_degraded=True)


def amount(usd: Decimal) -> str:
    """An amount as the verifier counts it: in millionths, rounded up. Raises TypeError for a float."""
    if not isinstance(usd, Decimal):
        raise TypeError("a cost is a Decimal")
    return format(usd.quantize(Decimal("0.000001"), rounding=ROUND_UP), "f")


def unavailable(retry_after: int | None) -> Verdict:
    """The refusal of a call that nobody could judge."""
    return Verdict(valid=False, code="UNAVAILABLE", title=_AWAY, status=503, retry_after=retry_after or 1)


def read(body: bytes, headers: Mapping[str, str]) -> Verdict:
    """A verdict from the verifier's answer. Raises UnavailableError for whatever is none."""
    try:
        data = json.loads(body)
        return _verdict(data, headers)
    except (ValueError, TypeError, KeyError, ArithmeticError, AttributeError):
        pass
    raise UnavailableError("The answer is none of a verifier.")


def _verdict(data: dict[str, Any], headers: Mapping[str, str]) -> Verdict:
    fields = {name: headers[name] for name in PASSED_ON if name in headers}
    if data["valid"] is not True:
        return Verdict(
            valid=False,
            code=_text(data["code"]),
            title=_text(data["title"]),
            status=_refusal(data),
            key=data["key"],
            retry_after=data["retry_after"],
            is_degraded=bool(data.get("degraded")),
            fields=fields,
        )
    if data["code"] != "VALID":
        raise ValueError("valid, and yet not")
    left = data["remaining"]
    return Verdict(
        valid=True,
        code="VALID",
        key=_text(data["key"]),
        partner=_text(data["partner"]),
        workspace=_text(data["workspace"]),
        environment=_text(data["environment"]),
        scopes=tuple(data["scopes"]),
        models=tuple(data["models"]),
        features=tuple(data["features"]),
        limits=_limits(data["limits"]),
        workspace_limits=_limits(data.get("workspace_limits") or {}),
        remaining=Remaining(left["minute"], left["hour"], _usd(left["budget_usd"])),
        time_zone=_text(data["time_zone"]),
        expires_at=_time(data["expires_at"]),
        retiring_since=_time(data["retiring_since"]),
        check=data.get("check") or data.get("lease"),
        is_degraded=bool(data.get("degraded")),
        fields=fields,
    )


def _refusal(data: dict[str, Any]) -> int:
    """The status to refuse with, also where a verifier is too old to say it."""
    status = data.get("status") or (429 if data["retry_after"] else 403)
    if status not in {401, 403, 429, 503}:
        raise ValueError("no status of a refusal")
    return int(status)


def _limits(data: dict[str, Any]) -> Limits:
    counts = {name: data.get(name) for name in ("minute", "hour", "burst", "concurrency")}
    return Limits(**counts, budget_usd=_usd(data.get("budget_usd")))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _usd(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)


def _time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)
