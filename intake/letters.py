"""Reading one mail: bytes in, a Letter out, whatever the bytes are (R4, "bad input").

Nothing here raises or follows a reference, and only what `known` does touches the database. What would take
memory or time without end is refused before it is parsed; the mail is kept all the same, and shown as one
that could not be read.
"""

import hashlib
import logging
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import getaddresses

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from core.mail_addresses import ascii_domain
from intake import headers
from intake.bounces import Bounce, find_bounce
from intake.charsets import decode
from intake.html_text import text_of
from intake.masking import Masks, as_read, candidates

logger = logging.getLogger(__name__)

LONGEST_TEXT = 20_000
LONGEST_HEADERS = 256 * 1024
LONGEST_SENDER = 1_000
LONGEST_PART = 1_000_000
MOST_LINES = 400_000
MOST_PARTS = 300
MOST_NESTED = 60
MOST_ATTACHMENTS = 50
_JAPANESE = re.compile("[\u3040-\u30ff\u4e00-\u9fff\uff66-\uff9f]")
_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")
_FOLD = re.compile(rb"\r?\n[ \t]+")
_MESSAGE_ID = re.compile(rb"^message-id:[ \t]*([^\r\n]+)", re.IGNORECASE | re.MULTILINE)
_QUOTED_USER = re.compile(r'^"([^"\\\s]+)"(?=@)')
_SAFE_ID = re.compile(r"<[!-;=?-~]{1,240}@[!-;=?-~]{1,240}>", re.ASCII).fullmatch


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that is no text of the mail: what it calls itself, and how large it is, decoded."""

    name: str
    type: str
    size: int


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail as it can be read. Texts are masked and without control characters.

    `trouble` is a code of intake.wording.TROUBLES, or empty. `raw` is what may be kept of the original, None
    where it holds a secret in a form that can't be masked.
    """

    message_id: str = ""
    subject: str = ""
    from_name: str = ""
    from_address: str = ""
    text: str = ""
    is_text_cut: bool = False
    attachments: tuple[Attachment, ...] = ()
    language: str = "ja"
    is_automatic: bool = False
    may_answer: bool = False
    bounce: Bounce | None = None
    trouble: str = ""
    held_secret: bool = False
    raw: bytes | None = field(default=None, repr=False)


def identity_of(raw: bytes) -> str:
    """What a mail is known by, so that it is kept once: its Message-ID, or its bytes where it has none."""
    head = _FOLD.sub(b" ", _headers_of(raw))
    found = _MESSAGE_ID.search(head)
    told = found[1].strip() if found else b""
    what = b"id:" + told if told else b"raw:" + raw
    return hashlib.sha256(what).hexdigest()


Known = Callable[[Collection[str]], frozenset[str]]


def no_tokens(_candidates: Collection[str]) -> frozenset[str]:
    """For whoever reads mails that no link of ours can stand in."""
    return frozenset()


def read_letter(raw: bytes, known: Known = no_tokens) -> Letter:
    """The letter in these bytes; `known` says which candidates are tokens of ours. Raises what that does."""
    trouble = _why_not_parsed(raw)
    masks = Masks(known(_candidates(raw, is_sound=not trouble)))
    if not trouble:
        try:
            return _read(raw, message_from_bytes(raw), masks)
        except Exception as error:  # noqa: BLE001  # whatever a parser stumbles over, the mail is kept
            logger.warning("mail not read", extra={"data": {"error": type(error).__name__}})
            trouble = "broken"
    try:
        head = BytesHeaderParser().parsebytes(_headers_of(raw))
        return _unreadable(raw, head, trouble, masks)
    except Exception as error:  # noqa: BLE001  # the same
        logger.warning("headers not read", extra={"data": {"error": type(error).__name__}})
    masked = _masked(raw, masks)
    return Letter(trouble=trouble, raw=masked, held_secret=masked != raw)


def _candidates(raw: bytes, *, is_sound: bool) -> set[str]:
    """Whatever could be a token, in the original and in what its parts say once they are decoded."""
    found = candidates(raw.decode("latin-1"))
    if not is_sound:
        return found
    try:
        message = message_from_bytes(raw)
        for part in _leaves(message):
            found |= candidates(_payload(part)[:LONGEST_PART].decode("latin-1"))
            if part.get_content_maintype() == "text":
                text = as_read(_text_in(part))
                found |= candidates(text) | candidates(text_of(text))
        for _name, value in headers.sources(message):
            found |= candidates(headers.decode_words(value))
    except Exception as error:  # noqa: BLE001  # what can't be parsed is looked through as it stands
        logger.warning("mail not searched", extra={"data": {"error": type(error).__name__}})
    return found


def _headers_of(raw: bytes) -> bytes:
    end = _END_OF_HEADERS.search(raw, 0, LONGEST_HEADERS)
    return raw[: end.start()] if end else raw[:LONGEST_HEADERS]


def _why_not_parsed(raw: bytes) -> str:
    if not raw.strip():
        return "empty"
    if len(_headers_of(raw)) >= LONGEST_HEADERS:
        return "headers_too_long"
    low = raw.lower()
    # Each level makes the parser look at each line once more; each part is an object.
    if low.count(b"multipart/") + low.count(b"message/rfc822") > MOST_NESTED:
        return "too_nested"
    if raw.count(b"\n--") > 4 * MOST_PARTS:
        return "too_many_parts"
    return "too_many_lines" if raw.count(b"\n") + raw.count(b"\r") > 2 * MOST_LINES else ""


def _unreadable(raw: bytes, head: "Message[str, str]", trouble: str, masks: Masks) -> Letter:
    name, address = _sender(head, masks)
    masked = _masked(raw, masks)
    return Letter(
        message_id=_message_id(head, masks),
        subject=_subject(head, masks),
        from_name=name,
        from_address=address,
        language="ja",
        is_automatic=headers.is_automatic(head),
        may_answer=headers.may_answer(head, address),
        trouble=trouble,
        held_secret=masked != raw,
        raw=masked,
    )


def _read(raw: bytes, message: "Message[str, str]", masks: Masks) -> Letter:
    name, address = _sender(message, masks)
    subject = _subject(message, masks)
    bounce = find_bounce(message)
    parts = list(_leaves(message))
    text = bounce.text if bounce else _words(parts)
    kept, held_secret = _what_is_kept(raw, message, masks)
    tidied = masks.tidy(text, length=LONGEST_TEXT, lines=True)
    return Letter(
        message_id=_message_id(message, masks),
        subject=subject,
        from_name=name,
        from_address=address,
        text=tidied,
        is_text_cut=len(text) > LONGEST_TEXT,
        attachments=tuple(_attachments(parts, masks)),
        language="ja" if _JAPANESE.search(subject + tidied) else "en",
        is_automatic=headers.is_automatic(message),
        may_answer=bounce is None and headers.may_answer(message, address),
        bounce=bounce,
        trouble="" if tidied else "no_text",
        held_secret=held_secret,
        # What came back has a mail of ours inside, with somebody's links.
        raw=None if bounce else kept,
    )


# --- headers --------------------------------------------------------------------------------------------


def _subject(message: "Message[str, str]", masks: Masks) -> str:
    return masks.tidy(headers.value_of(message, "subject"), length=300)


def _message_id(message: "Message[str, str]", masks: Masks) -> str:
    told = headers.value_of(message, "message-id").strip()
    return told if _SAFE_ID(told) and masks.is_clean(told) else ""


def _sender(message: "Message[str, str]", masks: Masks) -> tuple[str, str]:
    """Name and address of the sender; no address where there is none, or not one, or not a valid one."""
    source = headers.source_of(message, "from")[:LONGEST_SENDER]
    try:
        found = [pair for pair in getaddresses([source]) if any(pair)]
    except RecursionError:  # brackets in brackets
        found = []
    if not found:
        return masks.tidy(headers.decode_words(source), length=160), ""
    name, address = found[0][0], _in_ascii(_QUOTED_USER.sub(r"\1", found[0][1].strip()))
    if not (is_by_the_rules(address) or _is_of_a_phone(address)):
        address = ""
    if len(found) > 1 or len(address) > 254 or not masks.is_clean(address):
        address = ""
    return masks.tidy(headers.decode_words(name), length=160), address


def _in_ascii(address: str) -> str:
    """With the domain as contacts and colleagues are kept; as it is where that is none."""
    user, at, domain = address.rpartition("@")
    try:
        return f"{user}{at}{ascii_domain(domain)}" if not domain.isascii() else address
    except ValueError:
        return address


def is_by_the_rules(address: str) -> bool:
    """Whether an address is one by the letter of RFC 5322."""
    try:
        validate_email(address)
    except ValidationError:
        return False
    return True


def _is_of_a_phone(address: str) -> bool:
    """Japanese carriers let people choose `hoshi..sora.@…`; mails reach them all the same."""
    user, at, domain = address.rpartition("@")
    plain = re.sub(r"\.+", ".", user).strip(".")
    return bool(at and ".." in f"{user}." and is_by_the_rules(f"{plain}@{domain}"))


# --- body -----------------------------------------------------------------------------------------------


def _leaves(message: "Message[str, str]") -> "Iterator[Message[str, str]]":
    for number, part in enumerate(message.walk()):
        if number > MOST_PARTS:
            return
        if not part.is_multipart():
            yield part


def _words(parts: "list[Message[str, str]]") -> str:
    """The first plain text that says something; else the first HTML as text."""
    for kind in ("text/plain", "text/html"):
        for part in parts:
            if part.get_content_type() == kind and not _is_attached(part):
                text = _text_in(part)
                words = text if kind == "text/plain" else text_of(text)
                if words.strip():
                    return words
    return ""


def _is_attached(part: "Message[str, str]") -> bool:
    return headers.value_of(part, "content-disposition").lower().startswith("attachment")


def _text_in(part: "Message[str, str]") -> str:
    return decode(_payload(part)[:LONGEST_PART], _parameter(part, "charset"))


def _payload(part: "Message[str, str]") -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _parameter(part: "Message[str, str]", name: str) -> str:
    value = part.get_param(name, "")
    return value if isinstance(value, str) else str(value[2])


def _attachments(parts: "list[Message[str, str]]", masks: Masks) -> Iterator[Attachment]:
    for part in [part for part in parts if _is_attachment(part)][:MOST_ATTACHMENTS]:
        name = masks.tidy(headers.decode_words(_file_name(part)), length=200)
        yield Attachment(name, masks.tidy(part.get_content_type(), length=100), len(_payload(part)))


def _is_attachment(part: "Message[str, str]") -> bool:
    return _is_attached(part) or bool(_file_name(part)) or part.get_content_maintype() != "text"


def _file_name(part: "Message[str, str]") -> str:
    try:
        return part.get_filename("") or ""
    except (LookupError, ValueError, TypeError):
        return ""


# --- secrets --------------------------------------------------------------------------------------------


def _masked(raw: bytes, masks: Masks) -> bytes:
    return masks.text(raw.decode("latin-1")).encode("latin-1", "replace")


def _what_is_kept(raw: bytes, message: "Message[str, str]", masks: Masks) -> tuple[bytes | None, bool]:
    """The original with its secrets masked, and whether there were any.

    None where one stands in it encoded (Base64, another charset): who opens the original could read it, and
    to take it out would be to write another mail.
    """
    masked = _masked(raw, masks)
    if masked != raw:
        message = message_from_bytes(masked)
    words = (as_read(headers.decode_words(value)) for _name, value in headers.sources(message))
    is_hidden = not all(map(masks.is_clean, words)) or not all(
        _is_clean_part(part, masks) for part in _leaves(message)
    )
    return None if is_hidden else masked, is_hidden or masked != raw


def _is_clean_part(part: "Message[str, str]", masks: Masks) -> bool:
    data = _payload(part)
    if not masks.is_clean(data.decode("latin-1")):
        return False
    if part.get_content_maintype() != "text":
        return True
    text = _text_in(part)
    return masks.is_clean(as_read(text)) and masks.is_clean(as_read(text_of(text)))
