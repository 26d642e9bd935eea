"""Tells the hot store what the registry says about a key (V4).

After every commit that changes a key, its service calls `publish_key`: before the service returns, the
next check anywhere sees the change. A newer revision is never overwritten by an older one, however slow its
reader was; a store that was emptied or restarted between reading the database and writing the record takes
nothing from before. When the store can't be told, its records die within API_KEY_AUTH_CACHE_TTL_SECONDS.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from itertools import count, groupby
from typing import Final

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from keys.hotstore import client as hotwire
from keys.hotstore import record as hotrecord
from keys.hotstore.debts import Debts
from keys.hotstore.record import MICROS, Policy, SecretState, Shared
from keys.models import Key, Secret, WorkspaceGrant
from keys.rights import quarantine, retirement
from keys.rights.limits import Limits, limits_of
from keys.secrets import hashing
from keys.secrets.form import BUCKET_LENGTH
from partners.models import ENDED_KEY_STATES, Workspace

logger = logging.getLogger(__name__)

# Counters live as long as the longest window that they count: a month, where there is a budget.
KEEP_SECONDS: Final = 2 * 86_400
KEEP_BUDGET_SECONDS: Final = 40 * 86_400
UNKNOWN_SECONDS: Final = 30
_TRIES: Final = 5
PATIENCE_SECONDS: Final = 1.5
_BETWEEN_TRIES_SECONDS: Final = 0.05
_OUTAGE_SECONDS: Final = 5.0

_nonces = count()


@dataclass(frozen=True, slots=True)
class Registered:
    """A key as the registry has it now, with its secrets, read in one query."""

    key: Key
    secrets: tuple[Secret, ...]
    policy: Policy


@dataclass(frozen=True, slots=True)
class Token:
    """What the store was when the database was about to be read; a record is taken only by the same store."""

    run: bytes
    epoch: bytes


def nonce() -> bytes:
    """A value that no other call of any process uses."""
    return b"%x-%x-%x" % (os.getpid(), _BORN, next(_nonces))


_BORN = int.from_bytes(os.urandom(6), "big")


def begin(family: str) -> Token:
    """To be called before the database is read for `write`. Raises StoreUnavailableError."""
    key = hotrecord.epoch_key(_tag(family))
    run = hotwire.run_of(key)
    return Token(run, hotwire.call("begin", [key], nonce()))


def write(family: str, policy: Policy, token: Token, *, now: datetime) -> str:
    """Put a key's policy and secrets into its record: `PUT`, `OLDER` or `LOST` (see the function).

    Raises StoreUnavailableError.
    """
    run = hotwire.run_of(hotrecord.record_key(family))
    if run != token.run:
        return "LOST"
    pairs: list[bytes] = []
    for secret in policy.secrets:
        pairs += [hotrecord.secret_field(secret.digest), secret.packed()]
    places = [hotrecord.record_key(family), hotrecord.epoch_key(_tag(family))]
    if policy.shared:
        places.append(hotrecord.shared_key(family, policy.shared.workspace))
    outcome: bytes = hotwire.call(
        "put",
        places,
        token.epoch,
        policy.revision,
        policy.packed(run, now=now, ttl=settings.API_KEY_AUTH_CACHE_TTL_SECONDS),
        KEEP_SECONDS if policy.budget_micros is None else KEEP_BUDGET_SECONDS,
        *pairs,
    )
    return outcome.decode()


def forget(family: str) -> None:
    """Remember for half a minute that the registry has no such family. Raises StoreUnavailableError."""
    hotwire.call("forget", [hotrecord.record_key(family)], UNKNOWN_SECONDS)


def publish_key(public_id: str) -> bool:
    """Write the committed state of a key (`KB-0412`) into the hot store, before the caller goes on.

    Called by services on commit. A store that failed is tried for a moment, because it may be back, or
    another one in its place, and have read this key just before it changed. A failure is logged, not raised:
    the change is committed, the store is told when it answers again, and the record that tells otherwise
    dies soon. Returns whether the store was told.
    """
    return _insist(_publish, public_id)


def publish_workspace(public_id: str) -> bool:
    """`publish_key` for every key of a workspace (`WS-0003`) that has not ended; tried as that is."""
    return _insist(_publish_workspace, public_id)


def _insist(publish: Callable[[str], bool], public_id: str) -> bool:
    with hotwire.insisting():
        while True:
            try:
                return publish(public_id)
            except (hotwire.StoreUnavailableError, DatabaseError) as error:
                if _Patience.is_left():
                    time.sleep(_BETWEEN_TRIES_SECONDS)
                    continue
                why = {"what": public_id, "why": type(error).__name__}
                logger.warning("hot store not told", extra={"data": why})
                pay = partial(_pay, publish)
                _debts.add(public_id, pay, seconds=settings.API_KEY_AUTH_CACHE_TTL_SECONDS)
                return False


def _pay(publish: Callable[[str], bool], public_id: str) -> None:
    # From its return until it is told, the store lets pass what was revoked: so it gets no rest from us.
    with hotwire.insisting():
        publish(public_id)


_debts = Debts()


class _Patience:
    """Longer than a map is believed after a failure; spent once for all changes of an outage."""

    lock = threading.Lock()
    began = ended = 0.0

    @classmethod
    def is_left(cls) -> bool:
        """Whether to try again; an outage begins with the first failure in a while."""
        with cls.lock:
            now = time.monotonic()
            if now - cls.ended > _OUTAGE_SECONDS:
                cls.began = now
            cls.ended = now
            return now - cls.began < PATIENCE_SECONDS


def _publish(public_id: str) -> bool:
    """False where there is no such key. Raises StoreUnavailableError, DatabaseError."""
    family = Key.objects.filter(public_id=public_id).values_list("family", flat=True).first()
    if family is None:
        return False
    for _ in range(_TRIES):
        token, now = begin(family), timezone.now()
        with _nothing_older(family):
            found = read(family, now=now)
            if found is None or write(family, found.policy, token, now=now) != "LOST":
                return True
    raise hotwire.StoreUnavailableError("The hot store is emptied again and again.")


def _publish_workspace(public_id: str) -> bool:
    """Whether it was told of all keys, none included. Raises StoreUnavailableError, DatabaseError."""
    keys = Key.objects.filter(workspace__public_id=public_id).exclude(status__in=ENDED_KEY_STATES)
    for _ in range(_TRIES):
        family = keys.values_list("family", flat=True).first()
        # All of them lie under one hash tag, so one look at the store's epoch is enough.
        if family is None or _write_all(public_id, begin(family)):
            return True
    raise hotwire.StoreUnavailableError("The hot store is emptied again and again.")


def _write_all(workspace: str, token: Token) -> bool:
    secrets = (
        Secret.objects.filter(key__workspace__public_id=workspace)
        .exclude(key__status__in=ENDED_KEY_STATES)
        .select_related("key__workspace", "key__partner")
        .prefetch_related("key__grants__workspace")
        .order_by("key_id", "id")
    )
    now = timezone.now()
    for _, group in groupby(secrets, key=lambda secret: secret.key_id):
        own = tuple(group)
        family = own[0].key.family
        with _nothing_older(family):
            if write(family, policy_of(own[0].key, own, now=now), token, now=now) == "LOST":
                return False
    return True


@contextmanager
def _nothing_older(family: str) -> Iterator[None]:
    """Where our own mistake keeps the store from being told, the record that it has is taken away.

    Else a revoked key would go on until its record's time is over. The epoch goes first: a slow reader must
    not put back what it had read before.
    """
    try:
        yield
    except (hotwire.StoreUnavailableError, DatabaseError):
        raise
    except Exception:
        epoch, record = hotrecord.epoch_key(_tag(family)), hotrecord.record_key(family)
        hotwire.ask(hotwire.encode("UNLINK", epoch), epoch)
        hotwire.ask(hotwire.encode("HDEL", record, "p"), record)
        raise


def read(family: str, *, now: datetime) -> Registered | None:
    """The key of a family with all its secrets; None where there is none, or no secret was made yet.

    The policy is the one of this moment: that of a retiring key changes with time (K9), and grants end.

    Two queries, the key's grants last: what is read of them is never older than the key's revision. Raises
    django.db.DatabaseError.
    """
    secrets = tuple(
        Secret.objects.filter(key__family=family)
        .select_related("key__workspace", "key__partner")
        .prefetch_related("key__grants__workspace")
        .order_by("id")
    )
    if not secrets:
        return None
    key = secrets[0].key
    return Registered(key, secrets, policy_of(key, secrets, now=now))


def policy_of(key: Key, secrets: Iterable[Secret], *, now: datetime) -> Policy:
    """What the verifier needs to know about a key at this moment; partner and workspace must be loaded.

    A key whose partner or workspace is inactive counts as suspended; so does one that was issued in an
    emergency, from its approvals' deadline on, however late `approvals.suspend_late_emergencies` runs (A8).
    The limits of a key that is to retire fall by its schedule, and a quarantine narrows and ends by its time,
    whether or not any sweep runs (K9, K6).
    """
    states = tuple(SecretState(bytes(secret.digest), secret.status, secret.ends_at) for secret in secrets)
    current = hashing.current_version()
    dead = {Secret.Status.RETIRED, Secret.Status.REVOKED}
    usable = key.status in {Key.Status.ACTIVE, Key.Status.RETIRING}
    barred = usable and not (key.workspace.is_active and key.partner.is_active)
    budget = key.monthly_budget_usd
    held = quarantine.is_in_force(key, now)
    limits, grants = limits_of(key, now), [] if held else _grants(key, now)
    rights = quarantine.narrowed(key, limits) if held else _rights(key, limits)
    return Policy(
        # Each of the two only grows, and both are read at once: so the sum grows with every change of either.
        revision=key.revision + key.workspace.revision,
        status=Key.Status.SUSPENDED.value if barred else key.status,
        environment=key.environment,
        # The key's own first, then those in which it was allowed to act.
        workspace=tuple(
            name
            for place in (key.workspace, *(grant.workspace for grant in grants))
            for name in (place.public_id, place.code)
        ),
        identity=_identity(key, rights, grants, now),
        time_zone=key.workspace.time_zone,
        complete=all(s.pepper_version == current for s in secrets if s.status not in dead),
        expires_at=key.ends_at,
        suspends_at=key.provisional_until,
        changes_at=_next_change(key, grants, now),
        rpm=rights.limits.rpm,
        rph=rights.limits.rph,
        burst=rights.limits.burst,
        concurrency=key.concurrency,
        budget_micros=None if budget is None else int(budget * MICROS),
        ip_ranges=rights.ip_ranges,
        countries=tuple(key.countries),
        scopes=rights.scopes,
        models=tuple(key.model_names),
        features=tuple(key.feature_names),
        shared=_shared(key.workspace),
        quarantined=held,
        secrets=states,
    )


def _shared(workspace: Workspace) -> Shared | None:
    if not workspace.has_limits:
        return None
    budget = workspace.monthly_budget_usd
    return Shared(
        workspace.public_id,
        workspace.rpm,
        workspace.rph,
        None if budget is None else int(budget * MICROS),
    )


def proven(policy: Policy, digest: bytes) -> Policy:
    """The policy with this digest's secret marked as proven by Argon2."""
    states = tuple(replace(s, proven=True) if s.digest == digest else s for s in policy.secrets)
    return replace(policy, secrets=states)


def _rights(key: Key, limits: Limits) -> quarantine.Narrowed:
    return quarantine.Narrowed(tuple(key.scopes), tuple(key.ip_ranges), limits)


def _next_change(key: Key, grants: Sequence[WorkspaceGrant], now: datetime) -> datetime | None:
    changes: list[datetime | None] = [grant.ends_at for grant in grants]
    if quarantine.is_in_force(key, now):
        changes.append(key.quarantined_until)
    if key.retires_at is not None and key.retiring_from is not None:
        changes.append(retirement.next_change(key.retiring_from, key.retires_at, now))
    return min((change for change in changes if change is not None), default=None)


def _grants(key: Key, now: datetime) -> list[WorkspaceGrant]:
    return [grant for grant in key.grants.all() if grant.is_in_force(now) and grant.workspace.is_active]


def _identity(
    key: Key, rights: quarantine.Narrowed, grants: Sequence[WorkspaceGrant], now: datetime
) -> bytes:
    """What a gateway is told about a key: never a secret, nor the names of people."""
    since = key.retiring_from if key.retiring_from is not None and key.retiring_from <= now else None
    facts: dict[str, object] = {
        "key": key.public_id,
        "partner": key.partner.public_id,
        "workspace": key.workspace.public_id,
        "environment": key.environment,
        "scopes": list(rights.scopes),
        "models": key.model_names,
        "features": key.feature_names,
        "limits": {
            "minute": rights.limits.rpm or None,
            "hour": rights.limits.rph or None,
            "burst": rights.limits.burst or None,
            "concurrency": key.concurrency or None,
            "budget_usd": _usd(key.monthly_budget_usd),
        },
        "time_zone": key.workspace.time_zone,
        "expires_at": key.expires_at.isoformat(),
        "retiring_since": since.isoformat() if since else None,
        # A planned end is announced with its notice, as Deprecation and Sunset are.
        "ends_at": (key.ends_at if since else key.expires_at).isoformat(),
    }
    if key.workspace.has_limits:
        facts["workspace_limits"] = {
            "minute": key.workspace.rpm or None,
            "hour": key.workspace.rph or None,
            "budget_usd": _usd(key.workspace.monthly_budget_usd),
        }
    if grants:
        facts["granted_workspaces"] = [
            {
                "workspace": grant.workspace.public_id,
                "code": grant.workspace.code,
                "until": grant.ends_at.isoformat(),
            }
            for grant in grants
        ]
    return json.dumps(facts, separators=(",", ":"), ensure_ascii=True).encode()


def _usd(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)


def _tag(family: str) -> bytes:
    return hotrecord.tag_of(family[:BUCKET_LENGTH])
