"""Countries: their codes, and in which one an address lies (V2)."""

import logging
from functools import cache
from importlib.resources import files
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any, Final

import maxminddb
from django.conf import settings

logger = logging.getLogger(__name__)

CODE_LENGTH: Final = 2
_IPV4_IN_THE_FILE: Final = IPv6Network("::/96")


@cache
def codes() -> frozenset[str]:
    """The codes of ISO 3166, as the time zones' database lists them."""
    table = (files("tzdata") / "zoneinfo" / "iso3166.tab").read_text(encoding="utf-8")
    return frozenset(line[:CODE_LENGTH] for line in table.splitlines() if line and not line.startswith("#"))


def can_be_told() -> bool:
    """Whether this installation can tell countries at all."""
    return bool(settings.GEOIP_FILE)


def country_of(address: bytes) -> bytes:
    """The country of an address (32 hex digits), as two letters; empty where the file does not say.

    Empty, too, where the file can't be read: a key that is bound to countries is refused then.
    """
    reader = _reader(settings.GEOIP_FILE) if settings.GEOIP_FILE and address else None
    if reader is None:
        return b""
    number = IPv6Address(int(address, 16))
    # In such a file IPv4 lies at ::/96, where no address of IPv6 may be looked up.
    if number in _IPV4_IN_THE_FILE:
        return b""
    try:
        found: Any = reader.get(str(number.ipv4_mapped or number))
    except (ValueError, maxminddb.InvalidDatabaseError):
        return b""
    place = (found.get("country") or found.get("registered_country")) if isinstance(found, dict) else None
    code = place.get("iso_code", "") if isinstance(place, dict) else ""
    return code.encode() if code in codes() else b""


@cache
def _reader(path: str) -> maxminddb.Reader | None:
    try:
        return maxminddb.open_database(path)
    except (OSError, maxminddb.InvalidDatabaseError) as error:
        data = {"file": Path(path).name, "why": type(error).__name__}
        logger.warning("no countries", extra={"data": data})
        return None
