"""How a secret is kept: Argon2id over an HMAC-SHA256 with a pepper from outside the database (K2).

The digest (the HMAC) finds the secret through a unique index; without the pepper it can't be computed from a
stolen database. The Argon2id hash over it is what the registry proves a secret with. Peppers have versions:
new secrets take the highest, a secret under an older one is renewed at its next successful check.
"""

import hashlib
from collections.abc import Callable, Iterator
from functools import cache
from hmac import compare_digest
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from django.conf import settings

DIGEST_LENGTH: Final = 32
_BLOCK: Final = 64

Digester = Callable[[bytes], bytes]


def _digester(pepper: bytes) -> Digester:
    """HMAC-SHA256 under `pepper` (RFC 2104) with its two pads hashed beforehand: 1.0 µs against 2.4 µs."""
    key = hashlib.sha256(pepper).digest() if len(pepper) > _BLOCK else pepper
    key = key.ljust(_BLOCK, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key))
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key))

    def digest(message: bytes) -> bytes:
        first = inner.copy()
        first.update(message)
        second = outer.copy()
        second.update(first.digest())
        return second.digest()

    return digest


@cache
def _digesters(peppers: tuple[tuple[int, bytes], ...]) -> dict[int, Digester]:
    return {version: _digester(pepper) for version, pepper in peppers}


def current_version() -> int:
    """The pepper version under which new digests are made."""
    return max(settings.PEPPERS)


def digester(version: int | None = None) -> Digester:
    """The HMAC function of a pepper version (default: the current one), to be held by whoever calls it often.

    Raises KeyError for a version that the settings don't know.
    """
    version = current_version() if version is None else version
    return _digesters(tuple(settings.PEPPERS.items()))[version]


def digest(text: str, version: int | None = None) -> bytes:
    """HMAC-SHA256 (32 bytes) of a secret's text under a pepper version (default: the current one)."""
    return digester(version)(text.encode())


def digests(text: str) -> Iterator[tuple[int, bytes]]:
    """`(version, digest)` under every live pepper, the current one first."""
    for version in sorted(settings.PEPPERS, reverse=True):
        yield version, digest(text, version)


@cache
def _hasher(memory_kib: int, time_cost: int) -> PasswordHasher:
    return PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1)


def hasher() -> PasswordHasher:
    """Argon2id with the parameters of the settings (OWASP's minimum by default: 19 MiB, t=2, p=1)."""
    return _hasher(settings.ARGON2_MEMORY_KIB, settings.ARGON2_TIME_COST)


def hash_digest(value: bytes) -> str:
    """Argon2id over a digest, salted, in PHC string form. Takes tens of milliseconds on purpose."""
    return hasher().hash(value)


def verify_digest(stored: str, value: bytes) -> bool:
    """Whether `stored` is the Argon2id hash of this digest; False too for a hash that can't be read."""
    try:
        return hasher().verify(stored, value)
    except (VerificationError, InvalidHashError):
        return False


def needs_rehash(stored: str, version: int) -> bool:
    """Whether a secret should be renewed: made under an older pepper, or with other Argon2 parameters."""
    return version != current_version() or hasher().check_needs_rehash(stored)


def same(first: bytes, second: bytes) -> bool:
    """Compare two digests without telling by time where they differ."""
    return compare_digest(first, second)
