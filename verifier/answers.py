"""Verdicts as HTTP: JSON for gateways that call us, status and fields for proxies that ask by subrequest."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from keys.hotrecord import MICROS, hour_shift
from verifier.codes import INVALID_TOKEN, Code
from verifier.warm import Verdict

Header = tuple[str, str]
_MAX_FACTS: Final = 20_000

JSON: Final[Header] = ("Content-Type", "application/json")
PROBLEM: Final[Header] = ("Content-Type", "application/problem+json")
NO_STORE: Final[Header] = ("Cache-Control", "no-store")
REALM: Final = 'Bearer realm="kagiban"'

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
    """A finished answer."""

    status: int
    headers: list[Header]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Facts:
    """What stays the same for every answer about a key of one revision, prepared once.

    `fields` are for a proxy, `dates` are Deprecation (RFC 9745) and Sunset (RFC 8594).
    """

    key: str
    members: bytes
    policy: str
    fields: list[Header]
    dates: list[Header]
    shift: int
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
    limits = data["limits"]
    windows = [("minute", limits["minute"], 60), ("hour", limits["hour"], 3600)]
    dates: list[Header] = []
    if data["retiring_since"]:
        since, end = (datetime.fromisoformat(data[name]) for name in ("retiring_since", "expires_at"))
        dates = [
            ("Deprecation", f"@{int(since.timestamp())}"),
            ("Sunset", format_datetime(max(since, end).astimezone(UTC), usegmt=True)),
        ]
    return Facts(
        key=data["key"],
        members=identity[1:-1],
        policy=", ".join(f'"{name}";q={quota};w={length}' for name, quota, length in windows if quota),
        fields=[
            ("X-Key-Id", data["key"]),
            ("X-Partner", data["partner"]),
            ("X-Workspace", data["workspace"]),
            ("X-Scopes", " ".join(data["scopes"]).encode("ascii", "replace").decode()),
        ],
        dates=dates,
        shift=hour_shift(datetime.now(UTC), data["time_zone"]),
        holds_leases=bool(limits["concurrency"]),
    )


def limit_fields(verdict: Verdict, facts: Facts) -> list[Header]:
    """RateLimit-Policy and RateLimit (IETF draft 10), and Retry-After, which is never before `t`."""
    if not facts.policy:
        return []
    now = verdict.now
    if verdict.minute < 0:
        left = f'"hour";r={verdict.hour};t={3600 - (now + facts.shift) % 3600}'
    elif verdict.hour < 0:
        left = f'"minute";r={verdict.minute};t={60 - now % 60}'
    else:
        left = (
            f'"minute";r={verdict.minute};t={60 - now % 60}, '
            f'"hour";r={verdict.hour};t={3600 - (now + facts.shift) % 3600}'
        )
    return [("RateLimit-Policy", facts.policy), ("RateLimit", left)]


def verified(verdict: Verdict) -> Response:
    """The answer of `/v1/keys/verify`: always 200 to a gateway, with the verdict inside (V1)."""
    code = verdict.code
    if code is Code.MALFORMED:
        return Response(200, _MALFORMED.headers, _MALFORMED.body)
    headers = [JSON, NO_STORE]
    if code is Code.VALID:
        facts = facts_of(verdict.identity)
        body = b'{"valid":true,"code":"VALID",%b,"remaining":{"minute":%b,"hour":%b,"budget_usd":%b}%b%b}' % (
            facts.members,
            _number(verdict.minute),
            _number(verdict.hour),
            _usd(verdict.budget),
            b',"lease":"%b"' % verdict.lease if facts.holds_leases else b"",
            b',"degraded":true' if verdict.degraded else b"",
        )
        headers += limit_fields(verdict, facts)
        headers += facts.dates
    else:
        body = _refused(verdict)
        if code.status == 429:
            headers += _limited(verdict)
    headers.append(("Content-Length", str(len(body))))
    return Response(200, headers, body)


def _refused(verdict: Verdict) -> bytes:
    key = facts_of(verdict.identity).key if verdict.identity else None
    answer: dict[str, object] = {
        "valid": False,
        "code": verdict.code.value,
        "title": verdict.code.meaning,
        "key": key,
        "retry_after": verdict.retry or None,
    }
    if verdict.degraded:
        answer["degraded"] = True
    return json.dumps(answer, separators=(",", ":")).encode()


def _limited(verdict: Verdict) -> list[Header]:
    fields = limit_fields(verdict, facts_of(verdict.identity)) if verdict.identity else []
    return [*fields, ("Retry-After", str(max(1, verdict.retry)))]


def _plain(code: Code) -> Response:
    body = _refused(Verdict(code))
    return Response(200, [JSON, NO_STORE, ("Content-Length", str(len(body)))], body)


# What costs us nothing must not cost an attacker's victim anything either: made once.
_MALFORMED: Final = _plain(Code.MALFORMED)


def authorized(verdict: Verdict, *, nginx: bool) -> Response:
    """The answer of `/v1/authorize`: 200 with fields about the key, or 401, 403, 429 as problem+json."""
    code = verdict.code
    degraded = [("X-Kagiban-Degraded", "true")] if verdict.degraded else []
    if code is Code.VALID:
        facts = facts_of(verdict.identity)
        lease = [("X-Kagiban-Lease", verdict.lease.decode())] if facts.holds_leases else []
        fields = [*facts.fields, *limit_fields(verdict, facts), *facts.dates, *lease, *degraded]
        return Response(200, [NO_STORE, ("Content-Length", "0"), *fields])
    extra = degraded
    if code.status == 429:
        extra = [*_limited(verdict), *degraded]
    elif code is Code.NO_KEY:
        extra = [("WWW-Authenticate", REALM)]
    elif code in INVALID_TOKEN:
        token = f'error="invalid_token", error_description="{code.meaning}"'
        extra = [("WWW-Authenticate", f"{REALM}, {token}")]
    elif code is Code.INSUFFICIENT_SCOPE:
        extra = [("WWW-Authenticate", f'{REALM}, error="insufficient_scope"')]
    return for_proxy(refused(code, extra), nginx=nginx)


def for_proxy(response: Response, *, nginx: bool) -> Response:
    """nginx's auth_request makes 500 of everything but 2xx, 401 and 403: such a status travels in a field."""
    if nginx and response.status not in {200, 401, 403}:
        response.headers.append(("X-Authz-Status", str(response.status)))
        response.status = 403
    return response


def refused(code: Code, headers: list[Header] | None = None) -> Response:
    """A verdict's code as problem+json."""
    return problem(code.status, code.value, code.meaning, headers)


def problem(
    status: int, code: str, title: str, headers: list[Header] | None = None, detail: str = ""
) -> Response:
    """problem+json (RFC 9457) with our code as an extension member and in its type."""
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
    fields = [PROBLEM, NO_STORE, ("Content-Length", str(len(body))), ("X-Authz-Code", code)]
    return Response(status, [*fields, *(headers or [])], body)


def _number(value: int) -> bytes:
    return b"%d" % value if value >= 0 else b"null"


def _usd(micros: int) -> bytes:
    return b'"%d.%06d"' % divmod(micros, MICROS) if micros >= 0 else b"null"
