"""The text of a secret: `<brand>_<env>_<key_id>_<random><crc>` (K1).

`key_id` is `<family><serial>`. The family, 8 characters, is the same for every secret that one key ever has,
so the verifier finds the key's one hot record, and with it the limits that overlapping secrets share, from
the text alone. The first two characters of a family are those of the key's workspace (`bucket_of`): whatever
a workspace shares lies in one slot of a Valkey Cluster.

The checksum tells a typo from an unknown key without a look-up, and makes a leaked key recognisable to a
scanner without false alarms. It protects nothing: whoever can read this file can compute it.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Final, Literal, get_args
from zlib import crc32

Environment = Literal["live", "test", "dev"]
ENVIRONMENTS: Final[tuple[str, ...]] = get_args(Environment)

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
BUCKET_LENGTH: Final = 2
FAMILY_LENGTH: Final = 8
KEY_ID_LENGTH: Final = 12
CRC_LENGTH: Final = 6
# 43 base62 characters hold log2(62) x 43 = 256.03 bits.
RANDOM_LENGTH: Final = 43
MIN_LENGTH: Final = 64
MAX_LENGTH: Final = 160

_BRAND = re.compile(r"[a-z][a-z0-9]{1,9}", re.ASCII).fullmatch
_FAMILY = re.compile(r"[0-9A-Za-z]{8}", re.ASCII).fullmatch
_SECRET = re.compile(
    r"([a-z][a-z0-9]{1,9})_(live|test|dev)_([0-9A-Za-z]{12})_([0-9A-Za-z]{43,96})([0-9A-Za-z]{6})", re.ASCII
).fullmatch
_FRONT_BYTES = re.compile(rb"[a-z][a-z0-9]{1,9}_(live|test|dev)_").fullmatch
_fronts: set[bytes] = set()
_IN_TEXT = re.compile(
    r"[a-z][a-z0-9]{1,9}_(?:live|test|dev)_([0-9A-Za-z]{12})_[0-9A-Za-z]{16,}", re.ASCII
).search
_BEGINNING = re.compile(r"[a-z][a-z0-9]{1,9}_(?:live|test|dev)_[0-9A-Za-z]{12}_", re.ASCII)
_ALPHANUMERIC = re.compile(r"[0-9A-Za-z]+", re.ASCII).match
_WRAP = re.compile(r"[ \t]*=?\r?\n[>\t ]*(?=[0-9A-Za-z])", re.ASCII).match
# Two base62 digits at a time halve the divisions of a checksum.
_PAIRS: Final = tuple(a + b for a in ALPHABET for b in ALPHABET)
_BYTE_PAIRS: Final = tuple(pair.encode() for pair in _PAIRS)
_PAIR: Final = len(_PAIRS)


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A secret just made: the only moment at which its text exists outside its recipient's hands."""

    text: str
    key_id: str
    family: str

    def __repr__(self) -> str:
        return f"NewSecret(key_id={self.key_id!r})"


@dataclass(frozen=True, slots=True)
class ParsedSecret:
    """The public parts of a well-formed secret; the random part is left out on purpose."""

    brand: str
    environment: str
    key_id: str

    @property
    def family(self) -> str:
        """The part of the key id that all secrets of one key share."""
        return self.key_id[:FAMILY_LENGTH]


def checksum(body: str) -> str:
    """CRC-32 of `body` (ASCII) as 6 base62 digits, left-padded with `0`, as GitHub's tokens carry it."""
    high, low = divmod(crc32(body.encode("ascii")), _PAIR)
    high, middle = divmod(high, _PAIR)
    return _PAIRS[high] + _PAIRS[middle] + _PAIRS[low]


def bucket_of(workspace: str) -> str:
    """The two characters that begin the family of every key of a workspace (its public id)."""
    number = int.from_bytes(hashlib.sha256(workspace.encode()).digest()[:8], "big")
    return _PAIRS[number % _PAIR]


def new_family(workspace: str) -> str:
    """A fresh random family for a key of the workspace with this public id; the database keeps it unique."""
    return bucket_of(workspace) + _random(FAMILY_LENGTH - BUCKET_LENGTH)


def generate(brand: str, environment: str, family: str | None = None) -> NewSecret:
    """Make a secret with 256 random bits from the system's CSPRNG (K1).

    `family` is the key's own; without one a random family is made. That the `key_id` was never used before
    is for the database to say, by its unique index. Raises ValueError for a brand, environment or family
    that no secret can carry.
    """
    if not _BRAND(brand):
        raise ValueError("A brand is 2 to 10 lower-case letters and digits, and begins with a letter.")
    if environment not in ENVIRONMENTS:
        raise ValueError(f"An environment is one of {', '.join(ENVIRONMENTS)}.")
    if family is None:
        family = _random(FAMILY_LENGTH)
    elif not _FAMILY(family):
        raise ValueError("A family is 8 base62 characters.")
    key_id = family + _random(KEY_ID_LENGTH - FAMILY_LENGTH)
    body = f"{brand}_{environment}_{key_id}_{_random(RANDOM_LENGTH)}"
    return NewSecret(text=body + checksum(body), key_id=key_id, family=family)


def parse(text: str) -> ParsedSecret | None:
    """The public parts of a secret, or None where form or checksum are wrong. Looks nothing up."""
    match = _SECRET(text)
    if match is None or not MIN_LENGTH <= len(text) <= MAX_LENGTH:
        return None
    if checksum(text[:-CRC_LENGTH]) != text[-CRC_LENGTH:]:
        return None
    return ParsedSecret(match[1], match[2], match[3])


def key_id_of(text: bytes) -> bytes | None:
    """`parse(text).key_id` in bytes, for the verifier, which asks for nothing else on every call."""
    head, _, tail = text.rpartition(b"_")
    front, key_id = head[:-KEY_ID_LENGTH], head[-KEY_ID_LENGTH:]
    if (
        len(text) > MAX_LENGTH
        or len(tail) < RANDOM_LENGTH + CRC_LENGTH
        or not (key_id.isalnum() and tail.isalnum() and (front in _fronts or _is_front(front)))
    ):
        return None
    crc = crc32(text[:-CRC_LENGTH])
    high, middle, low = crc // _PAIR // _PAIR, crc // _PAIR % _PAIR, crc % _PAIR
    return key_id if tail.endswith(_BYTE_PAIRS[high] + _BYTE_PAIRS[middle] + _BYTE_PAIRS[low]) else None


def _is_front(front: bytes) -> bool:
    # A pattern for every call costs more than the rest; there are few beginnings, and few to remember.
    if not _FRONT_BYTES(front):
        return False
    if len(_fronts) < 100:
        _fronts.add(front)
    return True


def contains_secret(text: str) -> bool:
    """Whether something that looks like a secret stands anywhere in `text`; its checksum doesn't matter."""
    return _IN_TEXT(text) is not None


def key_id_in(text: str) -> str:
    """The public part of the first thing in `text` that looks like a secret; empty where nothing does."""
    found = _IN_TEXT(text)
    return found[1] if found else ""


def mask_all(text: str) -> str:
    """The text with the random part of everything that looks like a secret gone: for what others wrote.

    A secret that was broken over lines (mail programs wrap and quote) is masked to its end.
    """
    pieces, start = [], 0
    for found in _BEGINNING.finditer(text):
        end = _end_of_random(text, found.end())
        if found.start() >= start and end:
            pieces += [text[start : found.end()], "…"]
            start = end
    return "".join([*pieces, text[start:]])


def _end_of_random(text: str, start: int) -> int:
    """Where the random part that begins at `start` ends; 0 where it is too short to be one."""
    n_found, end = 0, start
    while True:
        run = _ALPHANUMERIC(text, end)
        n_found, end = n_found + (run.end() - end if run else 0), run.end() if run else end
        wrap = _WRAP(text, end)
        if n_found >= RANDOM_LENGTH + CRC_LENGTH or wrap is None:
            return end if n_found >= 16 else 0
        end = wrap.end()


def mask(text: str) -> str:
    """A form that may be shown and logged: the public parts and the last two characters.

    Text that is no secret is masked whole, since nobody can say which part of it is public.
    """
    parsed = parse(text)
    if parsed is None:
        return "…"
    return f"{parsed.brand}_{parsed.environment}_{parsed.key_id}_…{text[-2:]}"


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
