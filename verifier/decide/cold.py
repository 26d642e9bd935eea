"""The cold path: the hot store does not know, so the registry is read once and Argon2 paid once (V3).

A flood of false keys can't make it pay. A record that is complete answers NOT_FOUND by itself; an unknown
family is remembered for half a minute; an address that sends many false keys is put off; Argon2 runs only for
a digest that the registry has, a few at a time, and once for all who wait for the same secret.
"""

import logging
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import BoundedSemaphore, Event, Lock
from typing import Final

from django.conf import settings
from django.db import Error as DatabaseFailure
from django.utils import timezone

from core import patience
from keys.hotstore import client as hotwire
from keys.hotstore import publish as hotstore
from keys.hotstore.record import readable_address
from keys.models import Secret
from keys.secrets import hashing
from keys.secrets.form import FAMILY_LENGTH
from keys.secrets.renewal import renew_secret
from verifier.callers.blocking import block_by_itself
from verifier.contract.codes import Code
from verifier.contract.question import Question
from verifier.decide import warm
from verifier.decide.warm import Miss, Verdict
from verifier.registry.reading import WAIT_SECONDS, UnavailableError, for_keys, for_known

logger = logging.getLogger(__name__)

N_CORES: Final = os.cpu_count() or 1
STRIKES: Final = 60
STRIKE_SECONDS: Final = 60
_ROUNDS: Final = 6
_COMPLAINT_SECONDS: Final = 10.0
_IPV4: Final = b"0" * 20 + b"ffff"

_provers = BoundedSemaphore(N_CORES)


class Flights:
    """Lets one thread do a piece of work while the others that want the same wait for it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._under_way: dict[bytes, Event] = {}

    @contextmanager
    def lead(self, name: bytes) -> Iterator[bool]:
        """True for the one who has to do it; False, after a wait, for those who found it being done."""
        with self._lock:
            landed = self._under_way.get(name)
            leads = landed is None
            if landed is None:
                landed = self._under_way[name] = Event()
        if not leads:
            landed.wait(min(WAIT_SECONDS, patience.left()))
            yield False
            return
        try:
            yield True
        finally:
            with self._lock:
                del self._under_way[name]
            landed.set()


_flights = Flights()


class Complaints:
    """Tells the log of checks that found no database: at once, then how many more, but not of each."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._n = 0
        self._not_before = 0.0

    def add(self) -> None:
        """One more check."""
        with self._lock:
            self._n += 1
            if time.monotonic() < self._not_before:
                return
            n, self._n, self._not_before = self._n, 0, time.monotonic() + _COMPLAINT_SECONDS
        logger.warning("database unavailable for cold checks", extra={"data": {"checks": n}})


_complaints = Complaints()


def decide(question: Question, key_id: bytes, digest: bytes, first: Miss, *, fail_open: bool) -> Verdict:
    """The verdict on a secret that the hot store could not judge; `first` is its MISS.

    Whatever is read goes into the hot store, and the store's function decides: limits are counted in one
    place only. Raises UnavailableError, StoreUnavailableError.
    """
    reply: Verdict | Miss = first
    for _ in range(_ROUNDS):
        if isinstance(reply, Verdict):
            return reply
        if reply.why != b"STALE" and (seconds := _put_off(question, key_id)):
            return Verdict(Code.TOO_MANY_ATTEMPTS, retry=seconds)
        try:
            if not _load_once(question, key_id.decode(), digest, reply):
                return Verdict(Code.NOT_FOUND)
        except (DatabaseFailure, UnavailableError) as error:
            if isinstance(error, DatabaseFailure):
                _complaints.add()
            return _without_database(question, key_id, digest, reply, fail_open=fail_open)
        reply = warm.ask(question, key_id, digest)
    raise UnavailableError


def _load_once(question: Question, key_id: str, digest: bytes, reply: Miss) -> bool:
    """`_load`, or a wait until somebody else has done it."""
    with _flights.lead(digest) as leads:
        if not leads:
            if patience.left() <= 0:
                raise UnavailableError
            return True
        places = for_keys if reply.is_of_stranger else for_known
        with places.reading():
            return _load(question, key_id, digest, reply)


def _load(question: Question, key_id: str, digest: bytes, reply: Miss) -> bool:
    """Read the key's family and put what is found into the hot store, the asked secret proven.

    False where the registry contradicts itself: such a secret is none.
    """
    family = key_id[:FAMILY_LENGTH]
    token = hotstore.Token(reply.run, reply.epoch)
    # A record that the store holds for over is not written again as it was, by a clock that is behind.
    now = max(timezone.now(), datetime.fromtimestamp(reply.now, UTC))
    found = hotstore.read(family, now=now)
    if found is None:
        hotstore.forget(family)
        _strike(question, key_id)
        return True
    policy = found.policy
    secret = match(question.secret, found.secrets)
    if secret is None:
        _strike(question, key_id)
    elif reply.why != b"STALE" and secret.status in {Secret.Status.LIVE, Secret.Status.OVERLAP}:
        if not prove(question.secret, secret):
            return False
        if bytes(secret.digest) != digest:
            # It was renewed under the current pepper: read what the registry says now.
            found = hotstore.read(family, now=now)
            policy = found.policy if found else policy
        policy = hotstore.proven(policy, digest)
    hotstore.write(family, policy, token, now=now)
    return True


def match(text: bytes, secrets: tuple[Secret, ...]) -> Secret | None:
    """The secret with this text, be its digest under the current pepper or under an older one."""
    others: dict[int, bytes] = {}
    for secret in secrets:
        if secret.pepper_version not in others:
            try:
                others[secret.pepper_version] = hashing.digester(secret.pepper_version)(text)
            except KeyError:
                continue
        if hashing.same(bytes(secret.digest), others[secret.pepper_version]):
            return secret
    return None


def prove(text: bytes, secret: Secret) -> bool:
    """Argon2 over the secret's digest; renews what is out of date (K2). False: the row was tampered with.

    Raises UnavailableError where no core gets free in time.
    """
    left = patience.left()
    if not _provers.acquire(timeout=None if math.isinf(left) else left):
        raise UnavailableError
    try:
        stored = bytes(secret.digest)
        if not hashing.verify_digest(secret.argon2_hash, stored):
            logger.error("argon2 hash contradicts digest", extra={"data": {"key_id": secret.public_id}})
            return False
        if hashing.needs_rehash(secret.argon2_hash, secret.pepper_version):
            renew_secret(secret=secret, text=text.decode())
    finally:
        _provers.release()
    return True


def _without_database(
    question: Question, key_id: bytes, digest: bytes, reply: Miss, *, fail_open: bool
) -> Verdict:
    """A record past its time still answers while the database is away, where the gateway wants that (V5)."""
    if reply.why == b"STALE" and fail_open:
        late = warm.ask(question, key_id, digest, warm.PAST_ITS_TIME)
        if isinstance(late, Verdict):
            late.degraded = True
            return late
    raise UnavailableError


def _strike_keys(question: Question, key_id: str) -> list[bytes]:
    keys = [b"kb:strikes:" + key_id.encode()]
    if question.context.ip:
        keys.append(b"kb:strikes:" + _place(question.context.ip))
    return keys


def _place(address: bytes) -> bytes:
    """An address of IPv4, or the /64 of one of IPv6, as `block_by_itself` blocks them."""
    return address if address.startswith(_IPV4) else address[:16]


def _strike(question: Question, key_id: str) -> None:
    strikes = [hotwire.call("strike", [key], STRIKE_SECONDS) for key in _strike_keys(question, key_id)]
    if question.context.ip and strikes[-1] == STRIKES:
        address = readable_address(question.context.ip.decode())
        block_by_itself(address=address, now=timezone.now())


def _put_off(question: Question, key_id: bytes) -> int:
    """For how many seconds this key, or all that comes from this address, is not looked up; 0: it is."""
    # An address is blocked as well, for longer.
    blocked: int = max(STRIKE_SECONDS, settings.FALSE_KEYS_BLOCK_MINUTES * 60)
    for key, seconds in zip(_strike_keys(question, key_id.decode()), (STRIKE_SECONDS, blocked), strict=False):
        strikes = hotwire.ask(hotwire.encode("GET", key), key)
        if strikes is not None and int(strikes) >= STRIKES:
            return seconds
    return 0
