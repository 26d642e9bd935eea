"""The description of what gateways may call, OpenAPI 3.1, served at `/v1/openapi.json` (V9).

Built from the code, so that it can't name a code or a bound that is not there. Its test asks a real server
everything that it describes.
"""

import json
from functools import cache
from typing import Any, Final

from verifier.api import openapi_parts as parts
from verifier.api import openapi_usage
from verifier.api.openapi_parts import Part, fields, problem, problem_of, ref
from verifier.contract.codes import Code

PATH: Final = "/v1/openapi.json"
_METHODS: Final = ("get", "head", "post", "put", "patch", "delete", "options")

_ABOUT: Final = """\
A gateway asks on every call: may this key do this, now? All checks, limits and the count of the use are one
question; a key that was revoked is refused by the next one.

Besides what is described for each operation, the server answers what is no HTTP/1.1 with 400, a head above
64 KiB with 431 and a body above 1 MiB with 413, without a body of its own, and closes the connection.
"""

_VALID_EXAMPLE: Final = {
    "valid": True,
    "code": "VALID",
    "key": "KB-0412",
    "partner": "PT-0007",
    "workspace": "WS-0003",
    "environment": "live",
    "scopes": ["catalog:read"],
    "models": [],
    "features": [],
    "limits": {"minute": 100, "hour": 1000, "burst": 20, "concurrency": 5, "budget_usd": None},
    "time_zone": "Asia/Tokyo",
    "expires_at": "2026-12-31T15:00:00+00:00",
    "retiring_since": None,
    "ends_at": "2026-12-31T15:00:00+00:00",
    "remaining": {"minute": 99, "hour": 999, "budget_usd": None},
    "check": openapi_usage.CHECK_EXAMPLE,
    "lease": openapi_usage.CHECK_EXAMPLE,
}
_REFUSED_EXAMPLE: Final = {
    "valid": False,
    "code": Code.RATE_LIMITED_MINUTE.value,
    "title": Code.RATE_LIMITED_MINUTE.meaning,
    "status": Code.RATE_LIMITED_MINUTE.status,
    "key": "KB-0412",
    "retry_after": 17,
}


@cache
def body() -> bytes:
    """The description as it is served."""
    return json.dumps(document(), ensure_ascii=False, separators=(",", ":")).encode()


def document() -> Part:
    """The description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Kagiban verifier",
            "version": "1",
            "summary": "Says of a key whether it may do this, now.",
            "description": _ABOUT,
        },
        "tags": [
            {"name": "keys", "description": "Asking about a key."},
            {"name": "health", "description": "For whoever runs the verifier."},
        ],
        "paths": {
            "/v1/keys/verify": {"post": _verify()},
            "/v1/usage": {"post": openapi_usage.operation()},
            "/v1/authorize": {method: _authorize(method) for method in _METHODS},
            "/v1/authorize/{path}": {
                "parameters": [_caller_path(), *map(_told, ("address", *_TOLD))],
                **{method: _authorize(method, below=True) for method in _METHODS},
            },
            PATH: {"get": _description()},
            "/healthz": {"get": _healthz()},
            "/readyz": {"get": _readyz()},
        },
        "components": {
            "schemas": parts.SCHEMAS | openapi_usage.SCHEMAS,
            "headers": parts.FIELDS,
            "securitySchemes": _SCHEMES,
        },
    }


_SCHEMES: Final = {
    "gateway": {
        "type": "http",
        "scheme": "bearer",
        "description": "The gateway's credential (`kbg_live_…`), shown once when the gateway is added.",
    },
    "gatewayField": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Gateway-Credential",
        "description": "The same, where Authorization holds the partner's key.",
    },
    "partnerBearer": {"type": "http", "scheme": "bearer", "description": "The partner's key."},
    "partnerField": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The partner's key. It counts beside a Bearer that is no key of ours; two different "
        "keys are `MALFORMED`.",
    },
}

# --- /v1/keys/verify ---


def _verify() -> Part:
    return {
        "operationId": "verifyKey",
        "tags": ["keys"],
        "summary": "May this key do this, now?",
        "description": "A known gateway gets 200 with the verdict inside, whatever it is. A refused check "
        "takes nothing from any limit. Asking again counts again: a question is not idempotent.",
        "security": [{"gateway": []}],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": ref("schemas", "Question"),
                    "example": {"key": parts.KEY_EXAMPLE, "ip": "203.0.113.9", "scope": "catalog:read"},
                }
            },
        },
        "responses": {
            "200": _verdict(),
            "400": problem(
                "The question is wrong (`BAD_REQUEST`), or a key stands in the URL (`KEY_IN_URL`).",
                problem_of("BAD_REQUEST", 400, "The question is wrong", "`key` is missing."),
            ),
            "401": problem(
                "No gateway has this credential, or not from this address.",
                problem_of("UNKNOWN_GATEWAY", 401, "No gateway has this credential here"),
                "WWW-Authenticate",
            ),
            "413": problem(
                "The body is larger than 16 KiB.",
                problem_of("TOO_LARGE", 413, "The body is larger than 16 KiB"),
            ),
            **_failures(),
        },
    }


def _verdict() -> Part:
    names = ("Cache-Control", "RateLimit-Policy", "RateLimit", "Retry-After", "Deprecation", "Sunset")
    return {
        "description": "The verdict. The fields of limits are there where the key has limits.",
        "headers": fields(*names),
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [ref("schemas", "Allowed"), ref("schemas", "Refused")],
                },
                "examples": {
                    "allowed": {"summary": "Allowed", "value": _VALID_EXAMPLE},
                    "limited": {"summary": "Refused by a limit", "value": _REFUSED_EXAMPLE},
                },
            }
        },
    }


def _failures(*names: str) -> Part:
    gone = Code.UNAVAILABLE
    return {
        "500": problem(
            "A mistake of ours. Nothing was let through.",
            problem_of("INTERNAL_ERROR", 500, "The verifier failed"),
        ),
        "503": problem(
            "Neither store nor registry can tell, or the gateway wants no answer without the store.",
            problem_of(gone.value, gone.status, gone.meaning),
            "Retry-After",
            *names,
        ),
    }


# --- /v1/authorize ---

_TOLD: Final = {
    "scope": "A scope that the call needs; several are separated by spaces.",
    "workspace": "Number or code of the workspace that the call is for.",
    "environment": "`live`, `test` or `dev`.",
    "model": "The model that the call uses.",
    "feature": "A feature that the call uses; several are separated by spaces.",
    "cost_usd": "What the call will cost at most; reserved of the month's budget.",
    "lease_seconds": "How long the call holds one of the key's concurrent places, at most.",
}


def _authorize(method: str, *, below: bool = False) -> Part:
    how = "By" + method.capitalize() + ("Below" if below else "")
    operation: Part = {
        "operationId": f"authorize{how}",
        "tags": ["keys"],
        "summary": "The same for proxies that ask by subrequest",
        "description": "Any method. The caller's address stands last in X-Forwarded-For. What the call "
        "needs is the gateway's to say: "
        + (
            "here, where the caller's own path and query follow (Envoy), in X-Kagiban-… fields."
            if below
            else "here in the query."
        )
        + " A body is not read.",
        "security": [
            {"gatewayField": [], "partnerBearer": []},
            {"gatewayField": [], "partnerField": []},
        ],
        "responses": _authorize_responses(),
    }
    if not below:
        operation["parameters"] = [_asked(name) for name in _TOLD]
    return operation


def _asked(name: str) -> Part:
    return {"name": name, "in": "query", "description": _TOLD[name], "schema": _schema(name)}


def _schema(name: str) -> Part:
    if name == "cost_usd":
        return {"type": "string", "pattern": parts.USD_TEXT.replace("$", "?$")}
    if name == "lease_seconds":
        return {"type": "string", "pattern": parts.LEASE_TEXT}
    return {"type": "string", **(parts.ONE_WORD if name in {"environment", "workspace"} else {})}


def _told(name: str) -> Part:
    schema = parts.ADDRESS if name == "address" else _schema(name)
    meaning = _TOLD.get(name, "The caller's address, where X-Forwarded-For ends with another (Envoy).")
    field = f"X-Kagiban-{name.replace('_', '-').title()}"
    # Without it a query with a slash too many before it would ask for nothing.
    required = {"required": True} if name == "scope" else {}
    return {"name": field, "in": "header", "description": meaning, "schema": schema} | required


def _caller_path() -> Part:
    return {
        "name": "path",
        "in": "path",
        "required": True,
        "description": "The caller's own path, of any length; with the query it is looked through for a key.",
        "schema": {"type": "string"},
    }


def _authorize_responses() -> Part:
    limits, dates = ("RateLimit-Policy", "RateLimit"), ("Deprecation", "Sunset")
    marks = ("X-Authz-Status", "X-Kagiban-Degraded")
    readable = ("Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Vary")
    lacking, revoked, limited = Code.INSUFFICIENT_SCOPE, Code.REVOKED, Code.RATE_LIMITED_MINUTE
    return {
        "200": {
            "description": "Allowed; no body.",
            "headers": fields(
                "Cache-Control", "X-Key-Id", "X-Partner", "X-Workspace", "X-Acting-Workspace", "X-Scopes",
                *limits, *dates, "X-Kagiban-Lease", "X-Kagiban-Degraded",
            ),
        },
        "400": problem(
            "The query has fields that are not known, or X-Forwarded-For no address. To a gateway in nginx "
            "mode: 403.",
            problem_of("BAD_REQUEST", 400, "The question is wrong", "`ip` is not an IP address."),
            *readable,
        ),
        "401": problem(
            f"{parts.by_status(401)}.",
            problem_of(revoked.value, revoked.status, revoked.meaning),
            "WWW-Authenticate", *dates, "X-Kagiban-Degraded", *readable,
        ),
        "403": problem(
            f"{parts.by_status(403)}; `UNKNOWN_GATEWAY`. To a gateway in nginx mode everything that is "
            "neither 200 nor 401, with the true status in X-Authz-Status.",
            problem_of(lacking.value, lacking.status, lacking.meaning),
            "WWW-Authenticate", *limits, "Retry-After", *dates, *marks, *readable,
        ),
        "429": problem(
            f"{parts.by_status(429)}. To a gateway in nginx mode: 403.",
            problem_of(limited.value, limited.status, limited.meaning),
            *limits, "Retry-After", *dates, "X-Kagiban-Degraded", *readable,
        ),
        **_failures(*readable),
    }  # fmt: skip


# --- the others ---


def _description() -> Part:
    return {
        "operationId": "describe",
        "tags": ["health"],
        "summary": "This description",
        "security": [],
        "responses": {
            "200": {
                "description": "OpenAPI 3.1. It is no secret: no credential is asked for.",
                "content": {"application/json": {"schema": {"type": "object", "required": ["openapi"]}}},
            }
        },
    }


def _healthz() -> Part:
    return {
        "operationId": "isAlive",
        "tags": ["health"],
        "summary": "Does the process answer?",
        "security": [],
        "responses": {
            "200": _json("It does. Says nothing of the servers behind it.", {"status": {"const": "ok"}}),
        },
    }


def _readyz() -> Part:
    answer: dict[str, Any] = {
        "status": {"enum": ["ok", "unavailable"]},
        "postgresql": {"type": "boolean"},
        "valkey": {"type": "boolean"},
        "hot_store": {"type": "boolean"},
    }
    return {
        "operationId": "isReady",
        "tags": ["health"],
        "summary": "Do the servers behind it answer, too?",
        "security": [],
        "responses": {"200": _json("All do.", answer), "503": _json("One is missing.", answer)},
    }


def _json(description: str, properties: Part) -> Part:
    schema = {"type": "object", "required": [*properties], "properties": properties}
    return {"description": description, "content": {"application/json": {"schema": schema}}}
