"""A key as people paste it: with white space around it, in quotation marks, after the word Bearer (V1).

White space around a key counts nowhere. Whatever else was added makes it no key, but whoever sent it is told
what was found: by its kind, never by a piece of the text.
"""

import base64
import re
import unicodedata
from typing import Final
from urllib.parse import unquote

from keys.secrets import form
from keys.secrets.form import MAX_LENGTH, contains_secret, parse

# A key whose every character is written with a percent sign is three times as long.
_LONGEST: Final = 4 * MAX_LENGTH
_MOST_KINDS: Final = 4
_INVISIBLE: Final = frozenset({"Cc", "Cf"})
_QUOTES: Final = frozenset("\"'`´“”„‟‘’‚‛«»‹›「」『』〝〞〟＂＇")
_OF_KEYS: Final = re.compile(r"[0-9A-Za-z_]", re.ASCII).match
_BEGINNING: Final = re.compile(r"[a-z][a-z0-9]{1,9}_(live|test|dev)_[0-9A-Za-z]", re.ASCII).search
_SHORTENED: Final = re.compile(r"…|\.\.\.|\*\*|••|●●").search
_NAMES: Final = re.compile(r"(?<!\w)(authorization|(?:x-)?api-?key|bearer|basic|token)(?!\w)", re.IGNORECASE)

TWO_KEYS: Final = "Two different keys were sent, in Authorization and in X-API-Key. Send one."
IN_BASIC: Final = "The key stands in Authorization: Basic. Send it as Authorization: Bearer, or in X-API-Key."
NO_BEARER: Final = "The key stands in Authorization without the word Bearer before it."


class KeyFieldError(Exception):
    """A key stands in a header field in a way that is not taken: MALFORMED, with this sentence."""


def is_plain(text: bytes) -> bool:
    """Whether a text has only characters that keys are made of, so that there is nothing to trim."""
    return text.replace(b"_", b"0").isalnum()


def secret_of_fields(authorization: str, api_key: str) -> str:
    """The key in Authorization or X-API-Key, their values as WSGI gives them; empty where there is none.

    A well-formed key counts, whatever stands in the other field: that may be for the API behind. Where there
    is none, X-API-Key is judged before a Bearer. Raises KeyFieldError.
    """
    bearer, own = bearer_of(authorization), _trimmed(api_key)
    keys = {text for text in (bearer, own) if parse(text)}
    if len(keys) > 1:
        raise KeyFieldError(TWO_KEYS)
    found = keys.pop() if keys else own or bearer
    if not found and contains_secret(authorization):
        raise KeyFieldError(NO_BEARER)
    if not found and _stands_in_basic(authorization):
        raise KeyFieldError(IN_BASIC)
    return found


def bearer_of(authorization: str) -> str:
    """The token of `Bearer …`, without white space around it; empty where something else was sent."""
    words = _trimmed(authorization).split(None, 1)
    return words[1] if len(words) > 1 and words[0].lower() == "bearer" else ""


def _trimmed(value: str) -> str:
    """A field's value, whose bytes WSGI gives as Latin-1, read as UTF-8 where it is that."""
    try:
        return value.encode("latin-1", "replace").decode().strip()
    except UnicodeDecodeError:
        return value.strip()


def _stands_in_basic(authorization: str) -> bool:
    scheme, _, credentials = authorization.strip().partition(" ")
    try:
        return scheme.lower() == "basic" and contains_secret(base64.b64decode(credentials).decode("latin-1"))
    except ValueError:
        return False


def key_id_in(text: str) -> str:
    """The public part of a key that stands in a text, however it was pasted there; empty where none does."""
    text = unicodedata.normalize("NFKC", unquote(text) if "%" in text else text)
    shown = "".join(letter for letter in text if unicodedata.category(letter) not in _INVISIBLE)
    return form.key_id_in(shown)


def flaw_of(text: str) -> str:
    """What is wrong with a text that is no key: ASCII without quotes. Empty where nobody can tell."""
    text = text.strip()
    if not text:
        return "It is empty."
    if len(text) > _LONGEST:
        return "It is far longer than a key."
    found = ["percent-encoding"] if "%" in text and contains_secret(unquote(text)) else []
    text = unquote(text) if found else text
    if not _BEGINNING("".join(filter(_OF_KEYS, unicodedata.normalize("NFKC", text)))):
        return ""
    if _SHORTENED(text):
        return "It is a shortened form of a key."
    found += [f"the word {name[1]}" for name in _NAMES.finditer(text)]
    found += [_kind_of(letter) for letter in _NAMES.sub("", text).strip() if not _OF_KEYS(letter)]
    if found:
        return f"Found in it: {', '.join(list(dict.fromkeys(found))[:_MOST_KINDS])}. Send the key alone."
    return "Its checksum is wrong: characters are missing or were changed."


def _kind_of(letter: str) -> str:
    """What a character is that no key has."""
    if letter in _QUOTES:
        return "quotation marks"
    if letter.isspace():
        return "white space"
    if unicodedata.category(letter) in _INVISIBLE:
        return f"an invisible character (U+{ord(letter):04X})"
    if "\uff01" <= letter <= "\uff5e":
        return "full-width letters"
    return f"a character that no key has (U+{ord(letter):04X})"
