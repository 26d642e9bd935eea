"""Seals small values at rest with AES-256-GCM under a versioned server secret (S3)."""

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

NONCE_BYTES = 12


def seal(plain: bytes, *, purpose: str) -> str:
    """`"<version>.<base64url>"`, bound to its purpose: sealed for one, it cannot be opened for another."""
    version = max(settings.FIELD_SECRETS)
    nonce = os.urandom(NONCE_BYTES)
    box = AESGCM(_key(version, purpose)).encrypt(nonce, plain, purpose.encode())
    return f"{version}.{urlsafe_b64encode(nonce + box).decode()}"


def unseal(sealed: str, *, purpose: str) -> bytes:
    """The plain value. Raises KeyError for an unknown version, InvalidTag for a changed value."""
    version, _, text = sealed.partition(".")
    raw = urlsafe_b64decode(text)
    return AESGCM(_key(int(version), purpose)).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], purpose.encode())


def _key(version: int, purpose: str) -> bytes:
    master = settings.FIELD_SECRETS[version]
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode()).derive(master)
