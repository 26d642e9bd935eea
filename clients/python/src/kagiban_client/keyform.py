"""The form of a key, `<brand>_<environment>_<key id>_<random><checksum>`: what can be said without asking."""

import re
from typing import Final
from zlib import crc32

MAX_LENGTH: Final = 160
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KEY = re.compile(
    r"([a-z][a-z0-9]{1,9}_(?:live|test|dev)_[0-9A-Za-z]{12}_)[0-9A-Za-z]{49,}", re.ASCII
).fullmatch
_IN_TEXT = re.compile(
    r"[a-z][a-z0-9]{1,9}_(?:live|test|dev)_[0-9A-Za-z]{12}_[0-9A-Za-z]{16,}", re.ASCII
).search


def is_key(text: str) -> bool:
    """Whether form and checksum are those of a key. Says nothing of whether there is such a key."""
    if len(text) > MAX_LENGTH or _KEY(text) is None:
        return False
    return _checksum(text[:-6]) == text[-6:]


def key_of_fields(authorization: str, api_key: str) -> str | None:
    """The key in Authorization or X-API-Key as the verifier reads them; "" without one, None with two.

    A well-formed key counts, whatever stands in the other field: that may be for the API itself.
    """
    scheme, _, token = authorization.strip().partition(" ")
    bearer, own = token.strip() if scheme.lower() == "bearer" else "", api_key.strip()
    keys = {text for text in (bearer, own) if is_key(text)}
    if len(keys) > 1:
        return None
    return keys.pop() if keys else own or bearer


def contains_key(text: str) -> bool:
    """Whether something that looks like a key stands anywhere in `text`."""
    return _IN_TEXT(text) is not None


def mask(text: str) -> str:
    """A form that may be logged: the public part of a key; of anything else nothing."""
    found = _KEY(text)
    return f"{found[1]}…" if found and is_key(text) else "…"


def _checksum(body: str) -> str:
    """CRC-32 as six base62 digits."""
    number, digits = crc32(body.encode("ascii")), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = _DIGITS[digit] + digits
    return digits
