"""Verdicts as HTTP: JSON for gateways that call us, status and fields for proxies that ask by subrequest."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Final

from keys.hotstore.record import MICROS
from verifier.contract import ids as check_ids
from verifier.contract.codes import INVALID_TOKEN, Code
from verifier.decide import zones
from verifier.decide.warm import Verdict

Header = tuple[str, str]
_MAX_FACTS: Final = 20_000
# A member of an enumeration is looked up in 0.2 µs, a name of the module in 0.02 µs.
_VALID: Final = Code.VALID
# The limits in RateLimit, by the refusals that they lead to.
_REFUSING: Final = {
    Code.RATE_LIMITED_MINUTE: b"minute",
    Code.RATE_LIMITED_HOUR: b"hour",
    Code.WORKSPACE_RATE_LIMITED_MINUTE: b"workspace-minute",
    Code.WORKSPACE_RATE_LIMITED_HOUR: b"workspace-hour",
}

PROBLEM: Final[Header] = ("Content-Type", "application/problem+json")
NO_STORE: Final[Header] = ("Cache-Control", "no-store")
REALM: Final = 'Bearer realm="kagiban"'
_NO_BODY: Final = b"Cache-Control: no-store\r\nContent-Length: 0\r\n"
_IS_JSON: Final = b"Content-Type: application/json\r\nCache-Control: no-store\r\n"

REASONS: Final = {
    200: "200 OK",
    400: "400 Bad Request",
    401: "401 Unauthorized",
    403: "403 Forbidden",
    404: "404 Not Found",
    405: "405 Method Not Allowed",
    413: "413 Content Too Large",
    429: "429 Too Many Requests",
    500: "500 Internal Server Error",
    503: "503 Service Unavailable",
}


@dataclass(slots=True)
class Response:
    """A finished answer. `fields` are its header fields as they go over the wire, each ends its line."""

    status: int
    fields: bytes
    body: bytes = b""

    @property
    def headers(self) -> list[Header]:
        """The fields as WSGI wants them."""
        lines = self.fields.decode("latin-1").split("\r\n")[:-1]
        return [(name, value) for name, _, value in (line.partition(": ") for line in lines)]


def wire(headers: Iterable[Header]) -> bytes:
    """Header fields as they go over the wire. Raises ValueError where a value would end its line."""
    pairs = list(headers)
    text = "".join(f"{name}: {value}\r\n" for name, value in pairs)
    if text.count("\n") != len(pairs) or text.count("\r") != len(pairs):
        raise ValueError("a field has more than one line")
    return text.encode("latin-1")


@dataclass(frozen=True, slots=True)
class Facts:
    """What stays the same for every answer about a key of one revision, prepared once.

    `opening` is the beginning of the body of `/v1/keys/verify` where the key is valid.
    `identity` are the fields that tell a proxy who calls, `policy` is RateLimit-Policy with the limits of the
    key and those of its workspace, `dates` are Deprecation (RFC 9745) and Sunset (RFC 8594); each as it goes
    over the wire, empty where there is none.
    """

    key: str
    opening: bytes
    policy: bytes
    identity: bytes
    dates: bytes
    workspace: str
    # Other workspaces in which the key may act: their numbers, by number and by code.
    granted: dict[str, str]
    time_zone: str
    holds_leases: bool


_facts: dict[bytes, Facts] = {}


def facts_of(identity: bytes) -> Facts:
    """The prepared parts of a key's identity, as the hot store gave it."""
    facts = _facts.get(identity)
    if facts is None:
        facts = _prepare(identity)
        if len(_facts) >= _MAX_FACTS:
            _facts.clear()
        _facts[identity] = facts
    return facts


def _prepare(identity: bytes) -> Facts:
    data = json.loads(identity)
    limits, shared = data["limits"], data.get("workspace_limits") or {}
    windows = [
        ("minute", limits["minute"], 60),
        ("hour", limits["hour"], 3600),
        ("workspace-minute", shared.get("minute"), 60),
        ("workspace-hour", shared.get("hour"), 3600),
    ]
    dates: list[Header] = []
    if data["retiring_since"]:
        since, end = (datetime.fromisoformat(data[name]) for name in ("retiring_since", "ends_at"))
        dates = [
            ("Deprecation", f"@{int(since.timestamp())}"),
            ("Sunset", format_datetime(max(since, end).astimezone(UTC), usegmt=True)),
        ]
    policy = ", ".join(f'"{name}";q={quota};w={length}' for name, quota, length in windows if quota)
    who = [
        ("X-Key-Id", data["key"]),
        ("X-Partner", data["partner"]),
        ("X-Workspace", data["workspace"]),
        ("X-Scopes", " ".join(data["scopes"]).encode("ascii", "replace").decode()),
    ]
    return Facts(
        key=data["key"],
        opening=b'{"valid":true,"code":"VALID",%b' % identity[1:-1],
        policy=wire([("RateLimit-Policy", policy)]) if policy else b"",
        identity=wire(who),
        dates=wire(dates),
        workspace=data["workspace"],
        granted=_granted(data.get("granted_workspaces", ())),
        time_zone=data["time_zone"],
        holds_leases=bool(limits["concurrency"]),
    )


def _granted(rows: Iterable[dict[str, str]]) -> dict[str, str]:
    return {name: row["workspace"] for row in rows for name in (row["workspace"], row["code"])}


def _acting_in(verdict: Verdict, facts: Facts) -> str:
    """The other workspace that the key was asked to act in and may; empty where it is its own."""
    if not facts.granted or verdict.order is None:
        return ""
    return facts.granted.get(verdict.order[2].workspace, "")


def limit_fields(verdict: Verdict, facts: Facts) -> bytes:
    """RateLimit-Policy and RateLimit (IETF draft 10), and Retry-After, which is never before `t`."""
    if not facts.policy:
        return b""
    now = verdict.now
    to_hour = 3600 - (now + zones.shift(now, facts.time_zone)) % 3600
    if verdict.shared is not None:
        left = _tightest(verdict, verdict.shared, to_hour)
    elif verdict.minute < 0:
        left = b'"hour";r=%d;t=%d' % (verdict.hour, to_hour)
    elif verdict.hour < 0:
        left = b'"minute";r=%d;t=%d' % (verdict.minute, 60 - now % 60)
    else:
        left = b'"minute";r=%d;t=%d, "hour";r=%d;t=%d' % (
            verdict.minute,
            60 - now % 60,
            verdict.hour,
            to_hour,
        )
    return b"%bRateLimit: %b\r\n" % (facts.policy, left)


def _tightest(verdict: Verdict, shared: tuple[int, int, int], to_hour: int) -> bytes:
    """RateLimit where the workspace has limits, too: for each window the limit of which less is left."""
    windows = (
        (b"minute", verdict.minute, shared[0], 60 - verdict.now % 60),
        (b"hour", verdict.hour, shared[1], to_hour),
    )
    items = []
    for name, own, common, seconds in windows:
        lefts = [(left, whose) for left, whose in ((own, b""), (common, b"workspace-")) if left >= 0]
        if lefts:
            left, whose = min(lefts)
            items.append(b'"%b%b";r=%d;t=%d' % (whose, name, left, seconds))
    return b", ".join(items)


def verified(verdict: Verdict) -> Response:
    """The answer of `/v1/keys/verify`: always 200 to a gateway, with the verdict inside (V1)."""
    code = verdict.code
    if code is _VALID:
        facts = facts_of(verdict.identity)
        acting = facts.granted and _acting_in(verdict, facts)
        body = b'%b%b,"remaining":%b%b%b%b}' % (
            facts.opening,
            b',"acting_in":"%b"' % acting.encode() if acting else b"",
            _left(verdict.minute, verdict.hour, verdict.budget),
            b"" if verdict.shared is None else b',"workspace_remaining":' + _left(*verdict.shared),
            _held(verdict, facts),
            b',"degraded":true' if verdict.degraded else b"",
        )
        extra = limit_fields(verdict, facts) + facts.dates
    else:
        if not (verdict.identity or verdict.retry or verdict.degraded):
            return _plain(code, verdict.detail)
        body = _refused(verdict)
        extra = (_limited(verdict) if code.status == 429 else b"") + _dates(verdict)
    return Response(200, b"%b%bContent-Length: %d\r\n" % (_IS_JSON, extra, len(body)), body)


def _held(verdict: Verdict, facts: Facts) -> bytes:
    """The members that name what the check holds; empty for most checks, which hold nothing (V7)."""
    if _holds_place(verdict, facts):
        return b',"check":"%b","lease":"%b"' % ((_check_id(verdict, facts),) * 2)
    return b',"check":"%b"' % _check_id(verdict, facts) if _names_cost(verdict) else b""


def _holds_place(verdict: Verdict, facts: Facts) -> bool:
    return facts.holds_leases and verdict.order is not None and verdict.order[2].lease_seconds > 0


def _names_cost(verdict: Verdict) -> bool:
    return verdict.order is not None and verdict.order[2].names_cost


def _check_id(verdict: Verdict, facts: Facts) -> bytes:
    if verdict.order is None:
        return b""
    gateway, key_id, context = verdict.order
    return check_ids.text(
        gateway,
        key_id,
        verdict.lease,
        verdict.now,
        zones.month_end(verdict.now, facts.time_zone),
        verdict.held,
        context.cost_micros,
        "" if verdict.shared is None else facts.workspace,
    )


def _refused(verdict: Verdict) -> bytes:
    key = facts_of(verdict.identity).key if verdict.identity else None
    answer: dict[str, object] = {
        "valid": False,
        "code": verdict.code.value,
        "title": verdict.code.meaning,
        "status": verdict.code.status,
        "key": key,
        "retry_after": verdict.retry or None,
    }
    if verdict.detail:
        answer["detail"] = verdict.detail
    if verdict.degraded:
        answer["degraded"] = True
    return json.dumps(answer, separators=(",", ":")).encode()


def _limited(verdict: Verdict) -> bytes:
    """RateLimit names the limit that refused and no other: there is one truth about when to come back."""
    seconds, name = verdict.retry, _REFUSING.get(verdict.code)
    policy = facts_of(verdict.identity).policy if verdict.identity else b""
    limit = b'RateLimit: "%b";r=0;t=%d\r\n' % (name, seconds) if policy and name else b""
    return b"%b%b%b" % (policy, limit, b"Retry-After: %d\r\n" % seconds if seconds else b"")


def _dates(verdict: Verdict) -> bytes:
    """Deprecation and Sunset stand on refusals, too: who is refused most should hear first that it ends."""
    return facts_of(verdict.identity).dates if verdict.identity else b""


@lru_cache(maxsize=256)
def _plain(code: Code, detail: str) -> Response:
    """A refusal that tells nothing of a key: made once, so that a flood of them costs its victims less."""
    body = _refused(Verdict(code, detail=detail))
    return Response(200, b"%bContent-Length: %d\r\n" % (_IS_JSON, len(body)), body)


def authorized(verdict: Verdict, *, nginx: bool, cors: bytes = b"") -> Response:
    """The answer of `/v1/authorize`: 200 with fields about the key, or 401, 403, 429 as problem+json.

    `cors` are the fields that let a page read a refusal (`verifier.api.cors`).
    """
    code = verdict.code
    degraded = b"X-Kagiban-Degraded: true\r\n" if verdict.degraded else b""
    if code is _VALID:
        facts = facts_of(verdict.identity)
        holds = _holds_place(verdict, facts) or _names_cost(verdict)
        lease = b"X-Kagiban-Lease: %b\r\n" % _check_id(verdict, facts) if holds else b""
        limits = limit_fields(verdict, facts)
        acting = _acting_in(verdict, facts)
        place = b"X-Acting-Workspace: %b\r\n" % acting.encode() if acting else b""
        parts = (_NO_BODY, facts.identity, place, limits, facts.dates, lease, degraded)
        return Response(200, b"".join(parts))
    extra = b""
    if code.status == 429:
        extra = _limited(verdict)
    elif code is Code.NO_KEY:
        extra = wire([("WWW-Authenticate", REALM)])
    elif code in INVALID_TOKEN:
        token = f'error="invalid_token", error_description="{verdict.detail or code.meaning}"'
        extra = wire([("WWW-Authenticate", f"{REALM}, {token}")])
    elif code is Code.INSUFFICIENT_SCOPE:
        extra = wire([("WWW-Authenticate", f'{REALM}, error="insufficient_scope"')])
    response = refused(code, extra + _dates(verdict) + degraded, verdict.detail)
    return for_proxy(response, nginx=nginx, cors=cors)


def reported(rows: list[dict[str, object]]) -> Response:
    """The answer of `/v1/usage`: how many reports were taken, repeats or wrong, and what became of each."""
    outcomes = Counter(row["outcome"] for row in rows)
    counts = {name: outcomes[name] for name in ("taken", "repeated", "wrong")}
    body = json.dumps(
        counts | {"reports": [{"index": index} | row for index, row in enumerate(rows)]},
        separators=(",", ":"),
    ).encode()
    return Response(200, b"%bContent-Length: %d\r\n" % (_IS_JSON, len(body)), body)


def for_proxy(response: Response, *, nginx: bool = False, cors: bytes = b"") -> Response:
    """A refusal as its proxy can pass it on, with the fields `cors` for the page that is to read it.

    nginx's auth_request makes 500 of everything but 2xx, 401 and 403: such a status travels in a field.
    """
    response.fields += cors
    if nginx and response.status not in {200, 401, 403}:
        response.fields += b"X-Authz-Status: %d\r\n" % response.status
        response.status = 403
    return response


def refused(code: Code, extra: bytes = b"", detail: str = "") -> Response:
    """A verdict's code as problem+json."""
    return problem(code.status, code.value, code.meaning, extra, detail)


def problem(status: int, code: str, title: str, extra: bytes = b"", detail: str = "") -> Response:
    """problem+json (RFC 9457) with our code as an extension member and in its type, and `extra` fields."""
    facts: dict[str, object] = {
        "type": f"urn:kagiban:problem:{code.lower()}",
        "title": title,
        "status": status,
        "code": code,
    }
    if detail:
        facts["detail"] = detail
    body = json.dumps(facts, separators=(",", ":")).encode()
    # A proxy that drops our body (nginx) can still tell the partner why.
    fields = wire([PROBLEM, NO_STORE, ("Content-Length", str(len(body))), ("X-Authz-Code", code)])
    return Response(status, fields + extra, body)


def _left(minute: int, hour: int, budget: int) -> bytes:
    if minute >= 0 and hour >= 0 and budget >= 0:
        return b'{"minute":%d,"hour":%d,"budget_usd":"%d.%06d"}' % (minute, hour, *divmod(budget, MICROS))
    return b'{"minute":%b,"hour":%b,"budget_usd":%b}' % (_number(minute), _number(hour), _usd(budget))


def _number(value: int) -> bytes:
    return b"%d" % value if value >= 0 else b"null"


def _usd(micros: int) -> bytes:
    return b'"%d.%06d"' % divmod(micros, MICROS) if micros >= 0 else b"null"
