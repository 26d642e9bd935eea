"""Delivery status notifications: which mail of ours came back, and whether for good (RFC 3464)."""

import re
from dataclasses import dataclass
from email.message import Message
from uuid import UUID

from intake import headers
from intake.charsets import decode
from notifications.rendering import uid_in

_STATUS = re.compile(r"\s*([245]\.[0-9]{1,3}\.[0-9]{1,3})(?![0-9.])", re.ASCII).match
# "Delivery time expired": the mail server has given up, though the code begins with a 4.
_GIVEN_UP = "4.4.7"
_ADDRESSED = ("to", "delivered-to", "x-original-to", "envelope-to", "x-envelope-to")
_ANSWERED = ("in-reply-to", "references", "original-message-id")
MOST_PARTS = 100
LONGEST_REPORT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Bounce:
    """What a returned mail says. `uid` is None where it names no mail of ours."""

    uid: UUID | None
    is_final: bool
    status: str
    text: str


def find_bounce(message: "Message[str, str]") -> Bounce | None:
    """The report in this mail; None for a mail that is none.

    The words are those of the report only: the mail inside, with its links, is somebody else's.
    """
    if message.get_content_type() != "multipart/report":
        return None
    parts = [part for _number, part in zip(range(MOST_PARTS), message.walk(), strict=False)]
    report = next((part for part in parts if part.get_content_type() == "message/delivery-status"), None)
    if report is None:
        return None
    failed = list(_failures(report))
    final = [status for status in failed if status.startswith("5") or status == _GIVEN_UP]
    return Bounce(
        uid=_find_uid(message, parts),
        is_final=bool(final),
        status=next(iter(final or failed), ""),
        text=_words(parts),
    )


def _failures(report: "Message[str, str]") -> list[str]:
    """The status of each recipient for whom the report says "failed" (RFC 3464, 2.3.3)."""
    blocks = report.get_payload()
    found = []
    for block in blocks if isinstance(blocks, list) else []:
        if not isinstance(block, Message) or headers.value_of(block, "action").lower().strip() != "failed":
            continue
        status = _STATUS(headers.value_of(block, "status"))
        found.append(status[1] if status else "")
    return found


def _find_uid(message: "Message[str, str]", parts: "list[Message[str, str]]") -> UUID | None:
    """By return address, then by what the report answers, then by the mail that came back with it."""
    places = [headers.source_of(message, name) for name in (*_ADDRESSED, *_ANSWERED)]
    for part in parts[1:]:
        places += [value for name, value in headers.sources(part) if name in {"message-id", *_ANSWERED}]
        if part.get_content_type() == "text/rfc822-headers":
            payload = part.get_payload(decode=True)
            head = decode(payload[:LONGEST_REPORT]) if isinstance(payload, bytes) else ""
            places += [line for line in head.splitlines() if line.lower().startswith("message-id:")]
    return next((uid for place in places if (uid := uid_in(place)) is not None), None)


def _words(parts: "list[Message[str, str]]") -> str:
    for part in parts[1:]:
        if part.get_content_maintype() == "message":
            return ""  # what follows is the mail that came back
        if part.get_content_type() == "text/plain":
            payload = part.get_payload(decode=True)
            return decode(payload[:LONGEST_REPORT], "") if isinstance(payload, bytes) else ""
    return ""
