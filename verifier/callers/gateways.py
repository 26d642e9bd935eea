"""Who may ask (V8): gateways, by a credential each, all of them read again every two seconds.

They are few, so a process holds them all: a credential that is not among them costs its sender a refusal and
nobody a query, however many are sent.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import Final

from django.db import Error as DatabaseFailure
from django.db.models import Q

from core.addresses import Network, holds, parse_address, parse_network
from keys.hotstore.record import ADDRESS_LENGTH, ranges
from keys.secrets import form as secret_format
from keys.secrets import hashing
from verifier.callers.blocks import blocks
from verifier.models import Gateway, GatewayCredential
from verifier.registry.reading import WAIT_SECONDS, UnavailableError, for_gateways

# A credential that was revoked, or a gateway that was disabled, is refused at most this much later.
FRESH_SECONDS: Final = 2.0
# A credential that is not known may have been issued since: so often in a second it is worth a look.
NEWS_PER_SECOND: Final = 10
_AFTER_FAILURE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Caller:
    """A gateway as the data plane sees it. `ends_at` in seconds since 1970."""

    public_id: str
    nginx: bool
    fail_open: bool
    reports_ends: bool = False
    networks: tuple[Network, ...] = ()
    ends_at: float | None = None


class UnknownGatewayError(Exception):
    """No gateway has this credential, or not from this address."""


@dataclass(slots=True)
class _Register:
    """What was read last. `texts` holds only what was found; `blocked` are first and last of addresses.

    `began_at`: when that reading began, `fresh_until`: when to read again; both in monotonic seconds.
    """

    callers: dict[bytes, Caller]
    blocked: tuple[tuple[bytes, bytes], ...]
    texts: dict[str, Caller]
    began_at: float
    fresh_until: float
    was_read: bool


_register = _Register({}, (), {}, -1.0, 0.0, was_read=False)
_reading = Lock()


class _News:
    """How many looks for unknown credentials this second has seen."""

    second = 0
    n_looks = 0


def caller_of(credential: str, address: str) -> Caller:
    """The gateway behind a credential sent from an address.

    Raises UnknownGatewayError, and UnavailableError when the database is away. Then a credential that this
    process knows goes on working (V5).
    """
    if _register.fresh_until < time.monotonic():
        # One thread reads; the others go on with what is known, and wait only where nothing is yet.
        _read_again(_register.began_at, wait=0 if _register.callers else WAIT_SECONDS)
    caller = _find(credential)
    if caller is None and secret_format.parse(credential) is not None:
        if _register.was_read and _may_look():
            # A reading that is under way may have begun before the credential was issued.
            asked_at = time.monotonic()
            _read_again(asked_at, wait=WAIT_SECONDS)
            caller = _find(credential)
            # The database may know it: it did not answer within the wait.
            if caller is None and _register.began_at < asked_at:
                raise UnavailableError
        if caller is None and not _register.was_read:
            raise UnavailableError
    return _admitted(caller, address)


def caller_at_hand(credential: str, address: str) -> Caller | None:
    """As `caller_of`, without ever waiting: None where the database may have to be read."""
    register = _register
    if register.fresh_until < time.monotonic() and not _reading.locked():
        return None
    caller = register.texts.get(credential)
    return None if caller is None else _admitted(caller, address)


def is_blocked(address: bytes) -> bool:
    """Whether no key is answered from this address (32 hex digits; empty where none was told)."""
    blocked = _register.blocked
    return bool(blocked and address and any(first <= address <= last for first, last in blocked))


def _admitted(caller: Caller | None, address: str) -> Caller:
    if caller is None or (caller.ends_at is not None and time.time() >= caller.ends_at):
        raise UnknownGatewayError
    if caller.networks and not _stands_in(caller, address):
        raise UnknownGatewayError
    return caller


def keep_fresh() -> None:
    """Read again what will soon be out of date; to be called every second, where somebody can."""
    if _register.fresh_until < time.monotonic() + 1.0:
        _read_again(_register.began_at, wait=0)


def forget_all() -> None:
    """Read every credential again at the next use."""
    global _register  # noqa: PLW0603 - replaced whole, so that nobody ever sees half of it
    _register = _Register({}, (), {}, -1.0, 0.0, was_read=False)
    _News.n_looks = 0


def _find(credential: str) -> Caller | None:
    register = _register
    caller = register.texts.get(credential)
    if caller is None and secret_format.parse(credential) is not None:
        found = (register.callers.get(digest) for _, digest in hashing.digests(credential))
        caller = next(filter(None, found), None)
        if caller is not None:
            register.texts[credential] = caller
    return caller


def _may_look() -> bool:
    second = int(time.monotonic())
    if _News.second != second:
        _News.second, _News.n_looks = second, 0
    _News.n_looks += 1
    return _News.n_looks <= NEWS_PER_SECOND


def _read_again(after: float, *, wait: float) -> None:
    """Replace the register, unless it holds a reading that began later than `after`.

    Somebody else's reading is waited for `wait` seconds.
    """
    global _register  # noqa: PLW0603 - replaced whole
    if not _reading.acquire(timeout=wait):
        return
    try:
        if _register.began_at > after:
            return
        began_at = time.monotonic()
        try:
            with for_gateways.reading():
                callers, blocked = _read(), _read_blocked()
        except (DatabaseFailure, UnavailableError):
            _register.fresh_until = time.monotonic() + _AFTER_FAILURE_SECONDS
            _register.was_read = False
            return
        _register = _Register(callers, blocked, {}, began_at, time.monotonic() + FRESH_SECONDS, was_read=True)
    finally:
        _reading.release()


def _read() -> dict[bytes, Caller]:
    now = datetime.now(UTC)
    found = GatewayCredential.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None, gateway__is_active=True
    ).select_related("gateway")
    return {bytes(one.digest): _caller(one) for one in found}


def _read_blocked() -> tuple[tuple[bytes, bytes], ...]:
    packed = ranges(blocks(datetime.now(UTC)).values_list("network", flat=True))
    pairs = (packed[i : i + 2 * ADDRESS_LENGTH] for i in range(0, len(packed), 2 * ADDRESS_LENGTH))
    return tuple((pair[:ADDRESS_LENGTH], pair[ADDRESS_LENGTH:]) for pair in pairs)


def _caller(credential: GatewayCredential) -> Caller:
    gateway, ends_at = credential.gateway, credential.expires_at
    return Caller(
        public_id=gateway.public_id,
        nginx=gateway.mode == Gateway.Mode.NGINX,
        fail_open=gateway.fail_policy == Gateway.FailPolicy.OPEN,
        reports_ends=gateway.reports_ends,
        networks=tuple(map(parse_network, gateway.ip_ranges)),
        ends_at=None if ends_at is None else ends_at.timestamp(),
    )


def _stands_in(caller: Caller, address: str) -> bool:
    try:
        return holds(caller.networks, parse_address(address))
    except ValueError:
        return False
