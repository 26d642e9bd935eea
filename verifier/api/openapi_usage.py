"""The description of `/v1/usage`, a part of `verifier.api.openapi`."""

from typing import Final

from verifier.api.openapi_parts import USD_TEXT, Part, fields, problem, problem_of, ref
from verifier.contract.question import MAX_COST_USD
from verifier.usage.reporting import MAX_ROWS
from verifier.usage.reports import MAX_ID, MAX_LATENCY_MS

CHECK_EXAMPLE: Final = "QWJDZEVmR2gwMDAxASNFZ4mrze8BI2khuqBpLPfoAAAAAAAGGoA5c2lnbmF0dXJl"

_REPORT: Final[Part] = {
    "type": "object",
    "description": "How one call ended. A check's id says of which key it was; else the key's number does, "
    "and then an id is needed. A member that is not in this table makes the report a wrong one.",
    "additionalProperties": False,
    "properties": {
        "id": {
            "type": "string",
            "maxLength": MAX_ID,
            "description": "Chosen by the gateway, one for each report about a key; what comes again under "
            "it is a repeat. Where it is left out, the check's id is it.",
        },
        "check": {
            "type": "string",
            "maxLength": MAX_ID,
            "description": "The check's id, as its answer gave it. Frees the place that the check held.",
        },
        "lease": {"type": "string", "maxLength": MAX_ID, "description": "Another name for `check`."},
        "key": {"type": "string", "maxLength": MAX_ID, "description": "The key's number."},
        "status": {
            "type": ["integer", "null"],
            "minimum": 100,
            "maximum": 599,
            "description": "The HTTP status that the call ended with; from 500 on it counts as an error.",
        },
        "latency_ms": {"type": ["number", "null"], "minimum": 0, "maximum": MAX_LATENCY_MS},
        "cost_usd": {
            "description": "What the call really cost: takes the place of what its check reserved, once.",
            "oneOf": [
                {"type": ["number", "null"], "minimum": 0, "maximum": MAX_COST_USD},
                {"type": "string", "pattern": USD_TEXT},
            ],
            "examples": ["0.0731"],
        },
    },
    "anyOf": [{"required": ["check"]}, {"required": ["lease"]}, {"required": ["id", "key"]}],
}

_COUNT: Final = {"type": "integer", "minimum": 0}
_TAKEN: Final[Part] = {
    "type": "object",
    "required": ["taken", "repeated", "wrong", "reports"],
    "properties": {
        "taken": _COUNT,
        "repeated": _COUNT,
        "wrong": _COUNT,
        "reports": {
            "type": "array",
            "description": "What became of each report, in their order.",
            "items": {
                "type": "object",
                "required": ["index", "outcome"],
                "properties": {
                    "index": _COUNT,
                    "outcome": {"enum": ["taken", "repeated", "wrong"]},
                    "lease": {"enum": ["released", "not_held"]},
                    "cost": {"enum": ["settled", "settled_before"]},
                    "code": {
                        "enum": [
                            "BAD_REPORT", "UNKNOWN_KEY", "UNKNOWN_CHECK", "CHECK_TOO_OLD", "NOT_RESERVED",
                        ]
                    },
                    "detail": {"type": "string", "description": "What is wrong."},
                },
            },
        },
    },
}  # fmt: skip

SCHEMAS: Final[dict[str, Part]] = {"Report": _REPORT, "Taken": _TAKEN}


def operation() -> Part:
    """`POST /v1/usage`."""
    unavailable = "Reports can't be taken now; send them again"
    return {
        "operationId": "reportUsage",
        "tags": ["keys"],
        "summary": "How calls ended: budgets settle, places are freed",
        "description": "One report or a list of them. A wrong one never spoils the others. Whatever is sent "
        "again is a repeat, so after an error or no answer the same is simply sent again.",
        "security": [{"gateway": []}],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _body(), "example": _EXAMPLE}},
        },
        "responses": {
            "200": _response(),
            "400": problem(
                "The body can't be read (`BAD_REQUEST`), or a key stands in the URL (`KEY_IN_URL`).",
                problem_of("BAD_REQUEST", 400, "The report is wrong", "The body is not JSON."),
            ),
            "401": problem(
                "No gateway has this credential, or not from this address.",
                problem_of("UNKNOWN_GATEWAY", 401, "No gateway has this credential here"),
                "WWW-Authenticate",
            ),
            "413": problem(
                f"More than {MAX_ROWS} reports, or a body above 256 KiB.",
                problem_of("TOO_LARGE", 413, "The body is larger than 256 KiB"),
            ),
            "500": problem("A mistake of ours.", problem_of("INTERNAL_ERROR", 500, "The verifier failed")),
            "503": problem(
                "The store or the registry is away. What was taken already will be a repeat.",
                problem_of("UNAVAILABLE", 503, unavailable),
                "Retry-After",
            ),
        },
    }


_EXAMPLE: Final = [{"check": CHECK_EXAMPLE, "status": 200, "latency_ms": 842, "cost_usd": "0.0731"}]


def _body() -> Part:
    many = {"type": "array", "items": ref("schemas", "Report"), "minItems": 1, "maxItems": MAX_ROWS}
    return {"oneOf": [ref("schemas", "Report"), many]}


def _response() -> Part:
    row = {"index": 0, "outcome": "taken", "lease": "not_held", "cost": "settled"}
    example = {"taken": 1, "repeated": 0, "wrong": 0, "reports": [row]}
    return {
        "description": "What became of each report.",
        "headers": fields("Cache-Control"),
        "content": {"application/json": {"schema": ref("schemas", "Taken"), "example": example}},
    }
