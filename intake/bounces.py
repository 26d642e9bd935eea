"""Returned mails: which mail of ours came back, and whether for good.

Most servers say it in a form that machines read (RFC 3464). qmail, Exim, mobile carriers and old gateways say
it in words; those are known by who sends them and by our own Message-ID in what they return.
"""

import re
from dataclasses import dataclass
from email.message import Message
from uuid import UUID

from intake import headers
from intake.charsets import decode
from intake.html_text import text_of
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
    """What a returned mail says. `uid` is None where it names no mail of ours.

    `is_clear`: it says whether the mail came back for good; else a person has to look.
    """

    uid: UUID | None
    is_final: bool
    status: str
    text: str
    is_clear: bool = True


def find_bounce(message: "Message[str, str]") -> Bounce | None:
    """The report in this mail; None for a mail that is none.

    The words are those of the report only: the mail inside, with its links, is somebody else's.
    """
    parts = [part for _number, part in zip(range(MOST_PARTS), message.walk(), strict=False)]
    report = next((part for part in parts if part.get_content_type() == "message/delivery-status"), None)
    if message.get_content_type() != "multipart/report" or report is None:
        return _in_words(message, parts)
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


# --- in words -------------------------------------------------------------------------------------------


def _any_of(*words: str) -> re.Pattern[str]:
    return re.compile("|".join(words), re.IGNORECASE)


_DAEMON = re.compile(r"(mail(er)?[-_]?daemon|mdaemon|postmaster|mail[-_.]?delivery.*)@", re.IGNORECASE).match
# From here on it is the mail that came back.
_RETURNED = re.compile(
    r"^(?:[-=*_ ]{3,}.*(?:original|copy|returned|below this line|元のメール).*|"
    r"return-path:.*|received: .*|message-id:.*|.*this is a copy of (?:your|the) message.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_CODE = re.compile(
    r"(?<![0-9.])(5\.[0-9]{1,3}\.[0-9]{1,3})(?![0-9.])|(?<![0-9.])5[0-9]{2}[ -](?=\S)", re.ASCII
)
_FOR_GOOD = _any_of(
    r"permanent", r"giv(?:en|ing) up", r"not going to try again", r"retry time(?:out)? (?:exceeded|expired)",
    r"too long in (?:the )?queue", r"in the queue too long",
)  # fmt: skip
_LATER = _any_of(
    r"delay", r"will (?:be retried|keep trying|retry|continue)", r"still (?:being )?(?:retr|try)",
    r"not yet (?:been )?deliver", r"temporar", r"try again later", "遅延", "再送", "再試行",
)  # fmt: skip
_PLACE = "(?:user|recipient|address|account|mailbox)"
_FAILED = _any_of(
    r"(?:could|can) ?n[o'’]t be delivered", r"(?:could|can)not be delivered", r"was not delivered",
    r"undeliver(?:able|ed)", r"deliver(?:y|ing)[^.\n]{0,40} fail", r"(?:failed|unable) to deliver",
    r"returned (?:mail|to sender)", r"does ?n[o'’]t exist",
    rf"(?:unknown|no such) {_PLACE}",
    rf"{_PLACE}[^.\n]{{0,30}} (?:unknown|not found|unavailable|rejected|disabled)",
    "配信でき", "配信不能", "届けることができ", "届きません", "宛先不明", "送信でき", "存在しません",
    "見つかりません",
)  # fmt: skip


def _in_words(message: "Message[str, str]", parts: "list[Message[str, str]]") -> Bounce | None:
    """A report that only people were meant to read; None for a mail that came from nobody's mail server."""
    sender = headers.value_of(message, "from").rpartition("<")[2].strip(' <>"')
    is_told = bool(_DAEMON(sender) or headers.source_of(message, "x-failed-recipients"))
    if not is_told and not headers.has_null_sender(message):
        return None
    whole = _text_of_all(parts)
    returned = _RETURNED.search(whole)
    text = whole[: returned.start()] if returned else whole
    verdict, status = _judged(text)
    # An absence note has the empty sender, too, and answers a mail of ours.
    if not is_told and verdict is None:
        return None
    uid = _find_uid(message, parts) or next(filter(None, map(uid_in, whole.splitlines())), None)
    return Bounce(uid, is_final=verdict is True, status=status, text=text, is_clear=verdict is not None)


def _judged(text: str) -> tuple[bool | None, str]:
    """Whether it came back for good (None: the words do not say), and the status where one is told."""
    code = _CODE.search(text)
    if code or _FOR_GOOD.search(text):
        return True, (code[1] or "") if code else ""
    if _LATER.search(text):
        return False, ""
    return (True, "") if _FAILED.search(text) else (None, "")


def _text_of_all(parts: "list[Message[str, str]]") -> str:
    texts = []
    for part in parts:
        payload = part.get_payload(decode=True) if part.get_content_maintype() == "text" else None
        if isinstance(payload, bytes):
            text = decode(payload[:LONGEST_REPORT], str(part.get_param("charset", "")))
            texts.append(text_of(text) if part.get_content_subtype() == "html" else text)
    return "\n".join(texts)
