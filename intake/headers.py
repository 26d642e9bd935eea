"""The header of a mail: words in whatever charset, and whether a machine wrote it (RFC 2047, RFC 3834)."""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator
from email.message import Message
from quopri import decodestring

from intake.charsets import decode

LONGEST = 8_000
_WORD = re.compile(r"=\?([^?\s]{1,40})\?([bBqQ])\?([^?]{0,4000})\?=")
_BETWEEN = re.compile(r"(\?=)\s+(=\?)")
_FOLD = re.compile(r"\r?\n[ \t]*|[\r\n]+")
_NOBODY = re.compile(
    r"(mailer-daemon|postmaster|no-?_?reply|do-?not-?reply|bounces?|owner-.*|.*-request|.*-bounces?|nobody|root)"
    r"([+.-].*)?",
    re.IGNORECASE,
).fullmatch
_BULK = {"bulk", "list", "junk", "auto_reply"}
_LIST_HEADERS = (
    "list-id",
    "list-post",
    "list-unsubscribe",
    "list-help",
    "mailing-list",
    "x-loop",
    "feedback-id",
)


def sources(message: "Message[str, str]") -> Iterator[tuple[str, str]]:
    """Each header as it was sent, unfolded, name in small letters; bytes above 0x7F as surrogates."""
    for name, value in message.raw_items():
        yield name.lower(), _FOLD.sub(" ", str(value)[:LONGEST])


def source_of(message: "Message[str, str]", name: str) -> str:
    """The first header of this name as it was sent; `""` without one."""
    return next((value for found, value in sources(message) if found == name), "")


def value_of(message: "Message[str, str]", name: str) -> str:
    """The first header of this name in readable words."""
    return decode_words(source_of(message, name))


def decode_words(text: str) -> str:
    """`=?ISO-2022-JP?B?…?=` and raw bytes made readable. Never raises.

    Neighbours of one charset are put together before they are decoded: some mailers cut within a character.
    """
    text = _from_bytes(text[:LONGEST])
    pieces: list[tuple[str, bytes]] = []
    at = 0
    for match in _WORD.finditer(text := _BETWEEN.sub(r"\1\2", text)):
        if match.start() > at:
            pieces.append(("", text[at : match.start()].encode()))
        pieces.append((match[1].partition("*")[0].lower(), _unpack(match[2], match[3])))
        at = match.end()
    pieces.append(("", text[at:].encode()))
    joined: list[tuple[str, bytes]] = []
    for charset, data in pieces:
        if joined and joined[-1][0] == charset:
            joined[-1] = (charset, joined[-1][1] + data)
        else:
            joined.append((charset, data))
    return "".join(decode(data, charset or "utf-8") for charset, data in joined).strip()


def _from_bytes(text: str) -> str:
    if text.isascii():
        return text if "\x1b" not in text else decode(text.encode())
    return decode(text.encode("utf-8", "surrogateescape"))


def _unpack(how: str, text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    if how in "qQ":
        return decodestring(data, header=True)
    try:
        return b64decode(data + b"=" * (-len(data) % 4))
    except Base64Error:
        return b""


def is_automatic(message: "Message[str, str]") -> bool:
    """Whether a machine wrote it: an absence note, a report, a returned mail (RFC 3834)."""
    told = value_of(message, "auto-submitted").lower()
    return bool(told and not told.startswith("no")) or has_null_sender(message)


def may_answer(message: "Message[str, str]", address: str) -> bool:
    """Whether an automatic answer may go to this sender: a person, by all signs, and no list (RFC 3834)."""
    if not address or is_automatic(message) or _NOBODY(address.rpartition("@")[0]):
        return False
    if any(source_of(message, name) for name in _LIST_HEADERS):
        return False
    if value_of(message, "precedence").lower() in _BULK:
        return False
    if value_of(message, "x-spam-flag").lower() == "yes":
        return False
    wishes = value_of(message, "x-auto-response-suppress").lower().replace(" ", "").split(",")
    return not {"all", "autoreply", "oof"} & set(wishes) and not value_of(message, "x-autoreply")


def has_null_sender(message: "Message[str, str]") -> bool:
    """Whether nothing can come back to its sender: as of reports and absence notes (RFC 5321, 4.5.5)."""
    return any(name == "return-path" and value.strip() == "<>" for name, value in sources(message))
