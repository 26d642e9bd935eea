"""What a gateway reports of one call that has ended, read from JSON (V7)."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from django.conf import settings

from keys.secrets.form import contains_secret
from keys.use.visits import LATENCY_CLASSES
from verifier.callers.gateways import Caller
from verifier.contract import ids as check_ids
from verifier.contract.ids import CheckId
from verifier.contract.question import TWICE, BadQuestionError, cost_micros, listed
from verifier.usage.local_use import is_local

FIELDS: Final = frozenset({"id", "check", "lease", "key", "status", "latency_ms", "cost_usd"})
MAX_ID: Final = 128
MAX_LATENCY_MS: Final = 86_400_000


class WrongRowError(Exception):
    """One report that can't be taken, whatever the others are: a code and a sentence."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Report:
    """One report. `name` makes it the same report again; `check`, or else `key`, says of which key it is."""

    name: bytes
    check: CheckId | None
    key: str
    status: int | None
    latency_ms: int | None
    cost_micros: int | None

    def arguments(self, family: str, now: int) -> list[str | bytes | int]:
        """What the hot store's function takes for it."""
        check, latency = self.check, self.latency_ms
        minute = (now if check is None else check.at) // 60
        return [
            f"{minute}|{family}|",
            "" if self.status is None else self.status,
            "" if latency is None else latency,
            "" if latency is None else LATENCY_CLASSES[bisect_left(LATENCY_CLASSES[:-1], latency)],
            "" if check is None else check.held_until,
            0 if check is None else check.month,
            # What only a process has counted is not reserved where the real cost goes; it stands in the use.
            0 if check is None or is_local(check.lease) else check.reserved,
            0 if check is None else check.reserved,
            "" if self.cost_micros is None else self.cost_micros,
        ]


def read_report(row: Any, caller: Caller, *, now: float) -> Report:
    """Read one row of a gateway's report. Raises WrongRowError."""
    if row is TWICE:
        raise WrongRowError("BAD_REPORT", "A field stands there twice.")
    if type(row) is not dict:
        raise WrongRowError("BAD_REPORT", "This is not a JSON object.")
    if not row.keys() <= FIELDS:
        raise WrongRowError("BAD_REPORT", f"Unknown fields: {listed(row.keys() - FIELDS)}.")
    check, name = _check(row, caller, now), _text(row, "id")
    key = _text(row, "key")
    if check is None and not key:
        raise WrongRowError("BAD_REPORT", "Either `check` or `key` is needed.")
    if not name and check is None:
        raise WrongRowError("BAD_REPORT", "A report without `check` needs an `id`.")
    status, latency = _status(row), _number(row, "latency_ms")
    cost = _cost(row)
    if check is None and cost is not None:
        raise WrongRowError("NOT_RESERVED", "`cost_usd` needs the `check` that it was reserved by.")
    if check is None and status is None and latency is None:
        raise WrongRowError("BAD_REPORT", "Nothing is reported.")
    is_named = name and name not in {row.get("check"), row.get("lease")}
    told = name.encode() if is_named or check is None else b"\0" + check.lease
    mark = sha256(caller.public_id.encode() + b"\0" + told).hexdigest()[:24].encode()
    return Report(mark, check, key, status, latency, cost)


def _check(row: Mapping[str, Any], caller: Caller, now: float) -> CheckId | None:
    told = {text for text in (_text(row, "check"), _text(row, "lease")) if text}
    if not told:
        return None
    check = check_ids.read(told.pop(), caller.public_id)
    if check is None or told:
        raise WrongRowError("UNKNOWN_CHECK", "No check of this gateway has this id.")
    if check.at + settings.USAGE_REPORT_SECONDS < now:
        raise WrongRowError("CHECK_TOO_OLD", "This check is too old; what it reserved stands.")
    return check


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name, "")
    if type(value) is not str or len(value) > MAX_ID:
        raise WrongRowError("BAD_REPORT", f"`{name}` is not a text of at most {MAX_ID} characters.")
    if contains_secret(value):
        raise WrongRowError("BAD_REPORT", f"A key's text stands in `{name}`; send its number.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise WrongRowError("BAD_REPORT", f"`{name}` is not a text.") from None
    return value


def _status(row: Mapping[str, Any]) -> int | None:
    value = row.get("status")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value not in range(100, 600):
        raise WrongRowError("BAD_REPORT", "`status` is not an HTTP status: a whole number from 100 to 599.")
    return int(value)


def _number(row: Mapping[str, Any], name: str) -> int | None:
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_LATENCY_MS:
        raise WrongRowError("BAD_REPORT", f"`{name}` is not a number from 0 to {MAX_LATENCY_MS}.")
    return round(value)


def _cost(row: Mapping[str, Any]) -> int | None:
    if row.get("cost_usd") is None:
        return None
    try:
        return cost_micros(row["cost_usd"])
    except BadQuestionError as error:
        raise WrongRowError("BAD_REPORT", str(error)) from None
