"""The form of a hot record: the names of its keys and the packing of its policy (see functions.lua)."""

import struct
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Final
from zlib import crc32
from zoneinfo import ZoneInfo

from core.addresses import MAPPED, Address, parse_address, parse_network
from keys.secrets.form import BUCKET_LENGTH

N_TAGS: Final = 256
MICROS: Final = 1_000_000
NO_BUDGET: Final = -1
ADDRESS_LENGTH: Final = 32
FOREVER: Final = 2**32 - 1
# A record that was just read answers for so long at least, even if the store's clock is ahead of ours.
LEAST_FRESH_SECONDS: Final = 5

# In the order of the function's table of refusals: 1 and 2 may be used.
STATUS_NUMBERS: Final = {"active": 1, "retiring": 2, "pending": 3, "suspended": 4, "revoked": 5, "expired": 6}

# A secret's state: upper case once Argon2 has proven it, lower case before; X and E are dead.
LIVE, OVERLAP, REVOKED, RETIRED = b"L", b"O", b"X", b"E"

# A policy's flags: every secret is named; limits of the workspace stand behind it; it is in quarantine.
_COMPLETE, _SHARED, _QUARANTINED = 1, 2, 4

_HEAD = struct.Struct("<d8sIBBIIIIIdddIIH4s")
_IN_COMMON = struct.Struct("<IIdB")


@cache
def tag_of(bucket: str) -> bytes:
    """The hash tag of a family's first two characters: 256 tags, so that a drain has few places to look."""
    return b"%02x" % (crc32(bucket.encode()) % N_TAGS)


def record_key(family: str) -> bytes:
    """The hash that holds policy, secrets and counters of the key with this family."""
    return b"kb:{%b}:k:%b" % (tag_of(family[:BUCKET_LENGTH]), family.encode())


def shared_key(family: str, workspace: str) -> bytes:
    """The hash that counts what the keys of a workspace use together; `family` is that of any of them."""
    return b"kb:{%b}:w:%b" % (tag_of(family[:BUCKET_LENGTH]), workspace.encode())


def reported_key(family: str, name: bytes) -> bytes:
    """The mark that a report with this id was taken; ids are unique within a gateway and a key."""
    return b"kb:{%b}:i:%b:%b" % (tag_of(family[:BUCKET_LENGTH]), family.encode(), name)


def settled_key(family: str, lease: bytes) -> bytes:
    """What was done already of the check with this lease: its cost settled, its place freed."""
    return b"kb:{%b}:s:%b" % (tag_of(family[:BUCKET_LENGTH]), lease.hex().encode())


def use_key(tag: bytes) -> bytes:
    """The hash in which use is counted until it is drained."""
    return b"kb:{%b}:u" % tag


def batch_key(tag: bytes) -> bytes:
    """The hash with the batch that is being drained."""
    return b"kb:{%b}:d" % tag


def epoch_key(tag: bytes) -> bytes:
    """A mark that is gone when the store was emptied."""
    return b"kb:{%b}:e" % tag


def secret_field(digest: bytes) -> bytes:
    """The field of a secret in its key's record: half of its digest tells 2^128 secrets apart."""
    return b"s" + digest[:16]


@dataclass(frozen=True, slots=True)
class SecretState:
    """One secret as the function sees it. `ends_at` only for an overlap."""

    digest: bytes
    status: str
    ends_at: datetime | None = None
    proven: bool = False

    def packed(self) -> bytes:
        """One letter and the end as seconds since 1970."""
        if self.status in {"revoked", "retired"}:
            return (REVOKED if self.status == "revoked" else RETIRED) + struct.pack("<I", 0)
        letter = OVERLAP if self.status == "overlap" else LIVE
        return (letter if self.proven else letter.lower()) + struct.pack(
            "<I", _seconds(self.ends_at, FOREVER)
        )


@dataclass(frozen=True, slots=True)
class Shared:
    """Limits that all keys of a workspace (its number) hold together; 0 and None as in Policy."""

    workspace: str
    rpm: int = 0
    rph: int = 0
    budget_micros: int | None = None

    def packed(self) -> bytes:
        """The bytes that stand behind a policy."""
        name = self.workspace.encode()
        return _IN_COMMON.pack(self.rpm, self.rph, _budget(self.budget_micros), len(name)) + name


@dataclass(frozen=True, slots=True)
class Policy:
    """What a key may do, as the verifier needs it. Limits of 0 and a budget of None are no limits.

    `complete`: the record names every secret of the key under the current pepper, so an unknown digest of
    this family is a false one. `identity` is what a gateway is told about the key (JSON). `suspends_at`: when
    it counts as suspended unless the registry says otherwise by then, whoever sweeps late or not at all.
    `changes_at`: when the registry will say something else, for example lower limits. `quarantined`: what
    it may do is narrowed, and a refusal for that says so.
    """

    revision: int
    status: str
    environment: str
    workspace: tuple[str, ...]
    identity: bytes
    time_zone: str = "Asia/Tokyo"
    complete: bool = True
    starts_at: datetime | None = None
    expires_at: datetime | None = None
    suspends_at: datetime | None = None
    changes_at: datetime | None = None
    rpm: int = 0
    rph: int = 0
    burst: int = 0
    concurrency: int = 0
    budget_micros: int | None = None
    ip_ranges: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    shared: Shared | None = None
    quarantined: bool = False
    secrets: tuple[SecretState, ...] = field(default=(), compare=False)

    def packed(self, run: bytes, *, now: datetime, ttl: int) -> bytes:
        """The bytes of field `p`, good for `ttl` seconds from `now` on the server process marked `run`.

        At `suspends_at` and at `changes_at` it is read anew. One that is served past its time, because the
        database is away, is over by its date.
        """
        increment, tolerance = burst_of(self)
        ends = [moment for moment in (self.expires_at, self.suspends_at) if moment is not None]
        month, following = month_ends(now, self.time_zone)
        head = _HEAD.pack(
            self.revision,
            run,
            self._fresh_until(now, ttl),
            STATUS_NUMBERS[self.status_at(now)],
            _COMPLETE * self.complete + (_SHARED if self.shared else 0) + _QUARANTINED * self.quarantined,
            _seconds(self.starts_at, 0),
            _seconds(min(ends, default=None), 0),
            self.rpm,
            self.rph,
            self.concurrency,
            increment,
            tolerance,
            _budget(self.budget_micros),
            month,
            following,
            hour_shift(now, self.time_zone),
            environment_word(self.environment),
        )
        workspace = words(self.workspace)
        parts = [head, struct.pack("<H", len(workspace)), workspace]
        lists = (words(self.scopes), words(self.models), words(self.features))
        for value in (ranges(self.ip_ranges), words(self.countries), *lists, self.identity):
            parts += [struct.pack("<H", len(value)), value]
        if self.shared:
            parts.append(self.shared.packed())
        return b"".join(parts)

    def status_at(self, now: datetime) -> str:
        """The status, looked at now: what was to be settled by `suspends_at` and was not is suspended."""
        is_late = self.suspends_at is not None and now >= self.suspends_at
        return "suspended" if is_late and self.status in {"active", "retiring", "pending"} else self.status

    def _fresh_until(self, now: datetime, ttl: int) -> int:
        written = int(now.timestamp())
        ends = [_shift_ends(written, ttl, self.time_zone)]
        if self.suspends_at is not None and now < self.suspends_at:
            # Over by its date in any case, so nothing is let through in these seconds.
            ends.append(max(_seconds(self.suspends_at, FOREVER), written + LEAST_FRESH_SECONDS))
        if self.changes_at is not None and now < self.changes_at:
            # To the second: whoever reads it anew goes by the store's clock (verifier.decide.cold).
            ends.append(_seconds(self.changes_at, FOREVER))
        return min(ends)


def burst_of(policy: Policy) -> tuple[int, int]:
    """GCRA's increment and tolerance in µs: `burst` calls at once, refilled at the rate of the limit."""
    if not policy.burst:
        return 0, 0
    if policy.rpm:
        increment = 60 * MICROS // policy.rpm
    elif policy.rph:
        increment = 3600 * MICROS // policy.rph
    else:
        increment = MICROS // policy.burst
    return increment, increment * policy.burst


def month_ends(now: datetime, time_zone: str) -> tuple[int, int]:
    """The ends of this budget month and of the next one in the workspace's time zone (seconds since 1970)."""
    zone = ZoneInfo(time_zone)
    ends = []
    day = now.astimezone(zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0, fold=0)
    for _ in range(2):
        day = (day + timedelta(days=32)).replace(day=1)
        ends.append(int(day.timestamp()))
    return ends[0], ends[1]


def hour_shift(now: datetime, time_zone: str) -> int:
    """Seconds by which the zone's full hours differ from UTC's (India: 1,800)."""
    offset = now.astimezone(ZoneInfo(time_zone)).utcoffset() or timedelta()
    return int(offset.total_seconds()) % 3600


def _shift_ends(since: int, ttl: int, time_zone: str) -> int:
    """Until when the zone's hours begin as they do at `since`: `ttl` seconds, but for clocks put meanwhile.

    Only clocks put by half an hour count (Lord Howe Island).
    """
    shift = _shift_at(since, time_zone)
    if _shift_at(since + ttl, time_zone) == shift:
        return since + ttl
    return since + bisect_left(range(ttl), 1, key=lambda n: _shift_at(since + n, time_zone) != shift)


def _shift_at(seconds: int, time_zone: str) -> int:
    return hour_shift(datetime.fromtimestamp(seconds, UTC), time_zone)


def environment_word(environment: str) -> bytes:
    """An environment in the four bytes that the record keeps for it; longer ones match none."""
    return environment.encode().ljust(4)


def words(values: Iterable[str]) -> bytes:
    """` a b c `: the form in which the function looks for one word. Values with a space are left out."""
    kept = [value for value in values if value and not any(character.isspace() for character in value)]
    return f" {' '.join(kept)} ".encode() if kept else b""


def ranges(networks: Iterable[str]) -> bytes:
    """First and last address of each CIDR block as 32 hex digits each; IPv4 is mapped into IPv6.

    A block of IPv6 around all of IPv4 (`::/64`) is written as what lies before and behind that.
    """
    pairs = []
    for text in networks:
        network = parse_network(text)
        first, last = _hex(network[0]), _hex(network[-1])
        if isinstance(network, IPv6Network) and network.supernet_of(MAPPED):
            pairs += [first, _hex(MAPPED[0] - 1), _hex(MAPPED[-1] + 1), last]
        else:
            pairs += [first, last]
    return "".join(pairs).encode()


def address_hex(text: str) -> bytes:
    """An address as 32 hex digits, IPv4 mapped into IPv6. Raises ValueError for what is none."""
    return _hex(parse_address(text)).encode()


def readable_address(text: str) -> str:
    """The address of 32 hex digits as people write it: `address_hex` undone."""
    address = IPv6Address(int(text, 16))
    return str(address.ipv4_mapped or address)


def _hex(address: Address) -> str:
    if isinstance(address, IPv4Address):
        return f"{0xFFFF << 32 | int(address):032x}"
    return f"{int(address):032x}"


def _budget(micros: int | None) -> int:
    return NO_BUDGET if micros is None else micros


def _seconds(moment: datetime | None, default: int) -> int:
    # Rounded up: a key is good until its very end.
    return default if moment is None else min(-int(-moment.timestamp() // 1), FOREVER)
