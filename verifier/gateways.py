"""Who may ask (V8): gateways, by a credential each, read again from the database every two seconds."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from django.db import Error as DatabaseFailure

from keys import hashing, secret_format
from verifier.models import Gateway, GatewayCredential
from verifier.registry import UnavailableError, for_gateways

# A credential that was revoked, or a gateway that was disabled, is refused at most this much later.
FRESH_SECONDS: Final = 2.0
_MAX_KNOWN: Final = 10_000


@dataclass(frozen=True, slots=True)
class Caller:
    """A gateway as the data plane sees it. `ends_at` in seconds since 1970."""

    public_id: str
    nginx: bool
    fail_open: bool
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    ends_at: float | None = None


@dataclass(slots=True)
class _Known:
    caller: Caller | None
    fresh_until: float


class UnknownGatewayError(Exception):
    """No gateway has this credential, or not from this address."""


_known: dict[str, _Known] = {}


def caller_of(credential: str, address: str) -> Caller:
    """The gateway behind a credential sent from an address.

    Raises UnknownGatewayError, and UnavailableError when the database is away. Then a credential that this
    process knows goes on working (V5).
    """
    known = _known.get(credential)
    if known is None or known.fresh_until < time.monotonic():
        known = _refresh(credential, known)
    return _admitted(known.caller, address)


def caller_at_hand(credential: str, address: str) -> Caller | None:
    """As `caller_of`, without ever waiting: None where the database has to be read."""
    known = _known.get(credential)
    if known is None or known.fresh_until < time.monotonic():
        return None
    return _admitted(known.caller, address)


def _admitted(caller: Caller | None, address: str) -> Caller:
    if caller is None or (caller.ends_at is not None and time.time() >= caller.ends_at):
        raise UnknownGatewayError
    if caller.networks and not _stands_in(caller, address):
        raise UnknownGatewayError
    return caller


def forget_all() -> None:
    """Read every credential again at its next use."""
    _known.clear()


def _refresh(credential: str, known: _Known | None) -> _Known:
    if secret_format.parse(credential) is None:
        return _Known(None, 0.0)
    if known is not None:
        # One thread reads; the others use what is known for as long as that takes.
        known.fresh_until = time.monotonic() + FRESH_SECONDS / 2
    try:
        with for_gateways.reading():
            caller = _read(credential)
    except (DatabaseFailure, UnavailableError):
        if known is None or known.caller is None:
            raise UnavailableError from None
        return known
    if len(_known) >= _MAX_KNOWN:
        forget_all()
    fresh = _known[credential] = _Known(caller, time.monotonic() + FRESH_SECONDS)
    return fresh


def _read(credential: str) -> Caller | None:
    digests = [digest for _, digest in hashing.digests(credential)]
    found = (
        GatewayCredential.objects.filter(digest__in=digests, revoked_at__isnull=True, gateway__is_active=True)
        .select_related("gateway")
        .first()
    )
    if found is None or (found.expires_at is not None and found.expires_at <= datetime.now(UTC)):
        return None
    gateway = found.gateway
    return Caller(
        public_id=gateway.public_id,
        nginx=gateway.mode == Gateway.Mode.NGINX,
        fail_open=gateway.fail_policy == Gateway.FailPolicy.OPEN,
        networks=tuple(ip_network(text, strict=False) for text in gateway.ip_ranges),
        ends_at=None if found.expires_at is None else found.expires_at.timestamp(),
    )


def _stands_in(caller: Caller, address: str) -> bool:
    try:
        place = ip_address(address)
    except ValueError:
        return False
    if place.version == 6 and place.ipv4_mapped is not None:
        place = place.ipv4_mapped
    return any(place in network for network in caller.networks)
