"""What the operations of `verifier.api.openapi` share: fields, schemas, problems."""

from typing import Any, Final

from verifier.api import cors
from verifier.api.answers import REASONS
from verifier.contract.codes import Code
from verifier.contract.question import (
    MAX_COST_USD,
    MAX_LEASE_SECONDS,
    MAX_TEXT,
    MAX_WORDS,
    REPORTED_LEASE_SECONDS,
)

Part = dict[str, Any]

# Besides the verdicts: what can be wrong with a call itself.
CALL_CODES: Final = {
    "BAD_REQUEST": 400,
    "UNKNOWN_GATEWAY": 401,
    "NO_SUCH_ENDPOINT": 404,
    "METHOD_NOT_ALLOWED": 405,
    "TOO_LARGE": 413,
    "INTERNAL_ERROR": 500,
}
REFUSALS: Final = [code for code in Code if code is not Code.VALID]

# Shortened: what looks like a whole key in a file sets off every scanner of leaks.
KEY_EXAMPLE: Final = "kb_live_…"
_DATE: Final = {"type": ["string", "null"], "format": "date-time"}
_COUNT: Final = {"type": ["integer", "null"], "minimum": 0}
_USD: Final = {"type": ["string", "null"], "pattern": r"^\d+(\.\d+)?$"}
ADDRESS: Final[Part] = {
    "anyOf": [{"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}, {"const": ""}],
}
_LEFT: Final[Part] = {
    "type": "object",
    "required": ["minute", "hour", "budget_usd"],
    "properties": {"minute": _COUNT, "hour": _COUNT, "budget_usd": _USD},
}
_WORDS: Final = {"type": "array", "items": {"type": "string"}}
# A number of seconds as text, up to MAX_LEASE_SECONDS; empty: as if it were not said.
LEASE_TEXT: Final = r"^([1-9][0-9]{0,2}|[12][0-9]{3}|3[0-5][0-9]{2}|3600)?$"
# An amount as text, up to MAX_COST_USD.
USD_TEXT: Final = r"^([0-9]{1,6}(\.[0-9]{1,12})?|1000000(\.0{1,12})?)$"
# What is compared whole has no white space in it.
ONE_WORD: Final[Part] = {"pattern": r"^\S*$"}


def ref(kind: str, name: str) -> Part:
    """A reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def text(description: str, **more: Any) -> Part:
    """A text of a question, as long as one may be."""
    return {"type": "string", "maxLength": MAX_TEXT, "description": description, **more}


def _field(description: str, pattern: str, example: str) -> Part:
    return {
        "description": description,
        "schema": {"type": "string", "pattern": pattern},
        "example": example,
    }


FIELDS: Final[dict[str, Part]] = {
    "Cache-Control": _field("No answer may be kept by a cache on the way.", "^no-store$", "no-store"),
    "RateLimit-Policy": _field(
        "The key's limits: quota and window in seconds (IETF httpapi-ratelimit-headers, draft 10).",
        r'^"[a-z-]+";q=\d+;w=\d+(, "[a-z-]+";q=\d+;w=\d+)*$',
        '"minute";q=100;w=60, "hour";q=1000;w=3600',
    ),
    "RateLimit": _field(
        "What is left of each, and the seconds until it is whole again.",
        r'^"[a-z-]+";r=\d+;t=\d+(, "[a-z-]+";r=\d+;t=\d+)*$',
        '"minute";r=99;t=41, "hour";r=999;t=2141',
    ),
    "Retry-After": _field("Seconds after which asking again makes sense.", r"^\d+$", "17"),
    "Deprecation": _field("The key is retiring since then (RFC 9745).", r"^@-?\d+$", "@1767225600"),
    "Sunset": _field(
        "A retiring key stops working then (RFC 8594).", r" GMT$", "Thu, 01 Jan 2026 00:00:00 GMT"
    ),
    "WWW-Authenticate": _field(
        "How to authenticate (RFC 6750): without `error` where no key was sent.",
        "^Bearer ",
        'Bearer realm="kagiban", error="invalid_token", error_description="The key was revoked"',
    ),
    "X-Key-Id": _field("The key's number, which stays the same over rotations.", "^KB-", "KB-0412"),
    "X-Partner": _field("The partner's number.", "^PT-", "PT-0007"),
    "X-Workspace": _field("The number of the key's workspace.", "^WS-", "WS-0003"),
    "X-Acting-Workspace": _field(
        "The workspace that was asked for, where it is not the key's own.", "^WS-", "WS-0004"
    ),
    "X-Scopes": _field("The key's scopes, separated by spaces.", "", "catalog:read catalog:write"),
    "X-Kagiban-Lease": _field(
        "The held place, for a key with a limit of concurrent requests; freed by `/v1/usage`.",
        "^[0-9A-Za-z_-]{64,84}$",
        "QWJDZEVmR2gwMDAxASNFZ4mrze8BI2khuqBpLPfoAAAAAAAGGoA5c2lnbmF0dXJl",
    ),
    "X-Kagiban-Degraded": _field("The answer came without the hot store.", "^true$", "true"),
    "X-Authz-Code": _field(
        "The problem's code, for proxies that drop the body.", "^[A-Z_]+$", "RATE_LIMITED_MINUTE"
    ),
    "X-Authz-Status": _field(
        "To gateways in nginx mode: the true status, where it is neither 401 nor 403.", r"^[45]\d\d$", "429"
    ),
    "Access-Control-Allow-Origin": _field(
        "The page's origin, where it is one of ALLOWED_ORIGINS and the proxy passed `Origin` on.",
        r"^https?://[^/]+$",
        "https://app.example.jp",
    ),
    "Access-Control-Expose-Headers": _field(
        "With it: what the page may read besides.", "Retry-After", cors.EXPOSED
    ),
    "Vary": _field("With it.", "^Origin$", "Origin"),
    "Allow": _field("The methods that there are.", "^[A-Z, ]+$", "POST"),
}


def fields(*names: str) -> Part:
    """The headers of a response, by their names."""
    return {name: ref("headers", name) for name in names}


def _codes() -> str:
    rows = "\n".join(f"| `{code.value}` | {code.status} | {code.meaning} |" for code in Code)
    return (
        "The first check that fails is the answer; they are made in about this order. The status is that of "
        f"`/v1/authorize`.\n\n| code | status | meaning |\n| --- | --- | --- |\n{rows}"
    )


QUESTION: Final[Part] = {
    "type": "object",
    "description": "A member that is not in this table is an error: a typo must not make a check weaker.",
    "additionalProperties": False,
    "required": ["key"],
    "properties": {
        "key": {
            "type": "string",
            "description": "The partner's key. What is none, of whatever length, is told so: `MALFORMED`.",
            "examples": [KEY_EXAMPLE],
        },
        "ip": {
            "description": "The caller's address. A key with IP ranges is refused without it.",
            **ADDRESS,
            "examples": ["203.0.113.9"],
        },
        "scope": text("A scope that the call needs.", examples=["catalog:read"]),
        "scopes": {
            "type": "array",
            "items": text("A scope."),
            "maxItems": MAX_WORDS,
            "description": "Several, every one of which is needed.",
        },
        "workspace": text(
            "Number or code of the workspace that the call is for.", examples=["WS-0003"], **ONE_WORD
        ),
        "environment": text(
            "`live`, `test` or `dev`. No key belongs to any other.", examples=["live"], **ONE_WORD
        ),
        "model": text("The model that the call uses. Refused unless the key lists it."),
        "feature": text("A feature that the call uses. Refused unless the key lists it."),
        "features": {
            "type": "array",
            "items": text("A feature."),
            "maxItems": MAX_WORDS,
            "description": "Several, every one of which is needed.",
        },
        "cost_usd": {
            "description": "What the call will cost; taken from the month's budget.",
            "oneOf": [
                {"type": "number", "minimum": 0, "maximum": MAX_COST_USD},
                {"type": "string", "pattern": USD_TEXT},
            ],
            "examples": ["0.25"],
        },
        "lease_seconds": {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_LEASE_SECONDS,
            "description": "How long the call holds one of the key's concurrent places, unless its end is "
            "reported before. Not named: it holds none, or, for a gateway that reports ends, one for "
            f"{REPORTED_LEASE_SECONDS} seconds at most.",
        },
    },
}

ALLOWED: Final[Part] = {
    "type": "object",
    "description": "The key may do this now. Members that you do not know are to be ignored.",
    "required": [
        "valid", "code", "key", "partner", "workspace", "environment", "scopes", "models", "features",
        "limits", "time_zone", "expires_at", "retiring_since", "ends_at", "remaining",
    ],
    "properties": {
        "valid": {"const": True},
        "code": {"const": Code.VALID.value},
        "key": {"type": "string", "description": "The key's number: the same over rotations."},
        "partner": {"type": "string"},
        "workspace": {"type": "string"},
        "granted_workspaces": {
            "type": "array",
            "description": "Other workspaces of the partner in which the key may act, where there are any.",
            "items": {
                "type": "object",
                "required": ["workspace", "code", "until"],
                "properties": {
                    "workspace": {"type": "string"},
                    "code": {"type": "string"},
                    "until": {"type": "string", "format": "date-time"},
                },
            },
        },
        "acting_in": {
            "type": "string",
            "description": "The other workspace that was asked for, where the key acts by such a grant.",
        },
        "environment": {"enum": ["live", "test", "dev"]},
        "scopes": _WORDS,
        "models": _WORDS,
        "features": _WORDS,
        "limits": {
            "type": "object",
            "description": "The key's limits in force: a retiring key's fall before its end. null: none.",
            "required": ["minute", "hour", "burst", "concurrency", "budget_usd"],
            "properties": {
                "minute": _COUNT, "hour": _COUNT, "burst": _COUNT, "concurrency": _COUNT, "budget_usd": _USD,
            },
        },
        "time_zone": {"type": "string", "description": "In which hour and month begin."},
        "expires_at": _DATE,
        "retiring_since": _DATE,
        "ends_at": _DATE | {"description": "The planned end of a retiring key, else its expiry."},
        "remaining": _LEFT,
        "workspace_limits": _LEFT | {"description": "Those for all keys of the workspace, where it has any."},
        "workspace_remaining": _LEFT,
        "check": {
            "type": "string",
            "description": "The check's id for `/v1/usage`, where a cost was named or a place is held.",
        },
        "lease": {"type": "string", "description": "The same, where a place is held."},
        "degraded": {"const": True, "description": "Present where the answer came without the hot store."},
    },
}  # fmt: skip

REFUSED: Final[Part] = {
    "type": "object",
    "required": ["valid", "code", "title", "status", "key", "retry_after"],
    "properties": {
        "valid": {"const": False},
        "code": {"enum": [code.value for code in REFUSALS]},
        "title": {"type": "string"},
        "status": {
            "enum": sorted({code.status for code in REFUSALS}),
            "description": "The HTTP status that `/v1/authorize` would have; yours, if you like.",
        },
        "key": {
            "type": ["string", "null"],
            "description": "The key's number, where the caller proved to have it.",
        },
        "retry_after": {"type": ["integer", "null"], "minimum": 0},
        "detail": {
            "type": "string",
            "description": "What was found in a text that is no key, where that can be told.",
        },
        "degraded": {"const": True},
    },
}

PROBLEM: Final[Part] = {
    "type": "object",
    "description": "RFC 9457, with our code as an extension member.",
    "required": ["type", "title", "status", "code"],
    "properties": {
        "type": {"type": "string", "pattern": "^urn:kagiban:problem:[a-z_]+$"},
        "title": {"type": "string"},
        "status": {"type": "integer", "description": "Also to a gateway in nginx mode the true one."},
        "code": {"enum": [*(code.value for code in REFUSALS), *CALL_CODES]},
        "detail": {"type": "string", "description": "What is wrong, for a developer to read."},
    },
}

SCHEMAS: Final[dict[str, Part]] = {
    "Code": {"type": "string", "enum": [code.value for code in Code], "description": _codes()},
    "Question": QUESTION,
    "Allowed": ALLOWED,
    "Refused": REFUSED,
    "Problem": PROBLEM,
}


def problem_of(code: str, status: int, title: str, detail: str = "") -> Part:
    """An example of a problem, as `answers.problem` writes it."""
    facts: Part = {
        "type": f"urn:kagiban:problem:{code.lower()}",
        "title": title,
        "status": status,
        "code": code,
    }
    return facts | ({"detail": detail} if detail else {})


def problem(description: str, example: Part, *names: str) -> Part:
    """A response that is a problem, with these fields besides the usual ones."""
    return {
        "description": description,
        "headers": fields("Cache-Control", "X-Authz-Code", *names),
        "content": {"application/problem+json": {"schema": ref("schemas", "Problem"), "example": example}},
    }


def by_status(status: int) -> str:
    """The codes that `/v1/authorize` answers with this status, for a description."""
    return ", ".join(f"`{code.value}`" for code in REFUSALS if code.status == status)


def reason(status: int) -> str:
    """The reason phrase."""
    return REASONS[status].partition(" ")[2]
