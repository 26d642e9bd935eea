"""Reads server secrets that come in versions, so that they can be rotated without an outage (K2, S3)."""

from django.core.exceptions import ImproperlyConfigured

MIN_BYTES = 32


def parse_versions(name: str, text: str) -> dict[int, bytes]:
    """`"1:<hex>,2:<hex>"` → `{1: bytes, 2: bytes}`, in order of version; the highest is the current one.

    Raises ImproperlyConfigured, without quoting the value, when a part is malformed, repeated or shorter
    than 32 bytes.
    """
    versions: dict[int, bytes] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        number, separator, value = part.partition(":")
        if not separator or not number.isdigit():
            raise ImproperlyConfigured(f"{name} must look like 1:<hex>,2:<hex>.")
        try:
            secret = bytes.fromhex(value)
        except ValueError:
            raise ImproperlyConfigured(f"{name} version {number} is not hexadecimal.") from None
        if len(secret) < MIN_BYTES:
            raise ImproperlyConfigured(f"{name} version {number} is shorter than {MIN_BYTES} bytes.")
        if int(number) in versions:
            raise ImproperlyConfigured(f"{name} names version {number} twice.")
        versions[int(number)] = secret
    if not versions:
        raise ImproperlyConfigured(f"{name} is empty.")
    return dict(sorted(versions.items()))
