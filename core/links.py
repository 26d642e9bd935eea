"""Tokens of mail links: derived when the mail is written, stored only as a hash (A3, K3).

A row keeps a random `nonce`; its token is an HMAC of nonce and purpose under the server's LINK_SECRET. So
neither the database alone nor the secret alone gives a working link, and no link stands in the
outbox, in a task's arguments or in a backup. 256 bits each; the nonce's first byte is the secret's version.
"""

import hmac
import secrets
from base64 import urlsafe_b64encode

from django.conf import settings

NONCE_BYTES = 32
TOKEN_LENGTH = 43
CODE_DIGITS = 8


def new_nonce() -> bytes:
    """33 bytes: the version of the current LINK_SECRET and 256 random bits."""
    return bytes([max(settings.LINK_SECRETS)]) + secrets.token_bytes(NONCE_BYTES)


def token_of(nonce: bytes, *, purpose: str) -> str:
    """The token that goes into the mail's URL: 43 URL-safe characters. KeyError for a retired secret."""
    return urlsafe_b64encode(_mac(nonce, b"token:" + purpose.encode())).decode().rstrip("=")


def hash_of(nonce: bytes, *, purpose: str) -> bytes:
    """What is stored of a token (unique), to find its row by."""
    return _hash(nonce[0], token_of(nonce, purpose=purpose))


def hashes_of_token(token: str) -> list[bytes]:
    """All hashes that this token from a URL could be stored under, one for each live LINK_SECRET."""
    if len(token) != TOKEN_LENGTH:
        return []
    return [_hash(version, token) for version in settings.LINK_SECRETS]


def code_of(nonce: bytes) -> str:
    """The eight-digit code that goes into a mail for someone without an account."""
    number = int.from_bytes(_mac(nonce, b"code")[:16], "big") % 10**CODE_DIGITS
    return f"{number:0{CODE_DIGITS}d}"


def code_matches(nonce: bytes, given: str) -> bool:
    """Compare in constant time; the caller counts attempts."""
    return hmac.compare_digest(code_of(nonce).encode(), given.encode())


def _mac(nonce: bytes, purpose: bytes) -> bytes:
    nonce = bytes(nonce)
    return hmac.digest(settings.LINK_SECRETS[nonce[0]], purpose + b"\0" + nonce, "sha256")


def _hash(version: int, token: str) -> bytes:
    return hmac.digest(settings.LINK_SECRETS[version], b"hash\0" + token.encode(), "sha256")
