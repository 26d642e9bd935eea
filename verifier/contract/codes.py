"""Every answer that the verifier can give: one code each, with its HTTP status and a title (V2)."""

from enum import StrEnum
from typing import Self


class Code(StrEnum):
    """A verdict. The order is the order of the checks: the first that fails is the answer."""

    status: int
    meaning: str

    def __new__(cls, value: str, status: int, meaning: str) -> Self:
        """A member with the HTTP status of `/v1/authorize` and an English title for problem+json."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.status = status
        member.meaning = meaning
        return member

    VALID = "VALID", 200, "The key may do this now"
    KEY_IN_URL = "KEY_IN_URL", 403, "A key must never stand in a URL; send it in a header"
    NO_KEY = "NO_KEY", 401, "No key was sent"
    MALFORMED = "MALFORMED", 401, "This is not a key: its form or its checksum is wrong"
    ADDRESS_BLOCKED = "ADDRESS_BLOCKED", 403, "No key is answered from this address at present"
    TOO_MANY_ATTEMPTS = "TOO_MANY_ATTEMPTS", 429, "Too many unknown keys came from here"
    NOT_FOUND = "NOT_FOUND", 401, "There is no such key"
    PENDING = "PENDING", 401, "The key was not delivered yet"
    SUSPENDED = "SUSPENDED", 401, "The key is suspended"
    REVOKED = "REVOKED", 401, "The key was revoked"
    EXPIRED = "EXPIRED", 401, "The key has expired"
    NOT_YET_VALID = "NOT_YET_VALID", 401, "The key is not valid yet"
    WRONG_ENVIRONMENT = "WRONG_ENVIRONMENT", 403, "The key belongs to another environment"
    WRONG_WORKSPACE = "WRONG_WORKSPACE", 403, "The key belongs to another workspace"
    IP_NOT_ALLOWED = "IP_NOT_ALLOWED", 403, "The key may not be used from this address"
    COUNTRY_NOT_ALLOWED = "COUNTRY_NOT_ALLOWED", 403, "The key may not be used from this country"
    INSUFFICIENT_SCOPE = "INSUFFICIENT_SCOPE", 403, "The key lacks a scope that this needs"
    QUARANTINED = "QUARANTINED", 403, "The key is in quarantine: it may only read, from known addresses"
    MODEL_NOT_ALLOWED = "MODEL_NOT_ALLOWED", 403, "The key may not use this model"
    FEATURE_NOT_ALLOWED = "FEATURE_NOT_ALLOWED", 403, "The key may not use this feature"
    RATE_LIMITED_MINUTE = "RATE_LIMITED_MINUTE", 429, "The limit of requests a minute is reached"
    RATE_LIMITED_HOUR = "RATE_LIMITED_HOUR", 429, "The limit of requests an hour is reached"
    BURST_EXCEEDED = "BURST_EXCEEDED", 429, "Too many requests at once"
    CONCURRENCY_EXCEEDED = "CONCURRENCY_EXCEEDED", 429, "Too many requests are under way"
    WORKSPACE_RATE_LIMITED_MINUTE = (
        "WORKSPACE_RATE_LIMITED_MINUTE",
        429,
        "The workspace's limit of requests a minute is reached",
    )
    WORKSPACE_RATE_LIMITED_HOUR = (
        "WORKSPACE_RATE_LIMITED_HOUR",
        429,
        "The workspace's limit of requests an hour is reached",
    )
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED", 429, "The budget of this month does not cover this"
    WORKSPACE_BUDGET_EXCEEDED = (
        "WORKSPACE_BUDGET_EXCEEDED",
        429,
        "The workspace's budget of this month does not cover this",
    )
    UNAVAILABLE = "UNAVAILABLE", 503, "The key can't be checked at the moment"


BY_BYTES: dict[bytes, Code] = {code.value.encode(): code for code in Code}
# RFC 6750 section 3.1; the other refusals of 403 have no code there.
INVALID_TOKEN = frozenset(code for code in Code if code.status == 401 and code is not Code.NO_KEY)
