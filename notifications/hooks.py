"""Checking a webhook's signature as Standard Webhooks has it: HMAC-SHA256 over id, time and body.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import hmac
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable
from datetime import datetime, timedelta

TOLERANCE = timedelta(minutes=5)
LONGEST_ID = 150
PREFIX = "whsec_"


def is_signed(
    *, body: bytes, event_id: str, timestamp: str, signatures: str, secrets: Iterable[str], now: datetime
) -> bool:
    """Whether one of the signatures is of one of the secrets, and the time is near ours.

    Who repeats a true call within the tolerance is known by its id, which is for the caller to remember.
    """
    if not 1 <= len(event_id) <= LONGEST_ID or not event_id.isascii() or not event_id.isprintable():
        return False
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return False
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE.total_seconds():
        return False
    given = [text[3:] for text in signatures.split()[:10] if text.startswith("v1,")]
    wanted = [
        signature_of(body=body, event_id=event_id, timestamp=timestamp, secret=secret) for secret in secrets
    ]
    return any(
        hmac.compare_digest(one.encode(), other.encode("utf-8", "replace"))
        for one in wanted
        for other in given
    )


def signature_of(*, body: bytes, event_id: str, timestamp: str, secret: str) -> str:
    """The Base64 of the HMAC. ValueError for a secret that is no `whsec_<Base64>`."""
    signed = b".".join([event_id.encode(), timestamp.encode(), body])
    return b64encode(hmac.digest(secret_bytes(secret), signed, "sha256")).decode()


def secret_bytes(secret: str) -> bytes:
    """The key behind `whsec_<Base64>`. ValueError for any other text."""
    if not secret.startswith(PREFIX):
        raise ValueError("A webhook's secret looks like whsec_ and Base64.")
    try:
        return b64decode(secret.removeprefix(PREFIX), validate=True)
    except Base64Error as error:
        raise ValueError("A webhook's secret looks like whsec_ and Base64.") from error
