"""How much of a key's limits is used up right now, as the hot store counts it (V3)."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from keys.hotstore import client as hotwire
from keys.hotstore.record import MICROS, hour_shift, record_key, shared_key
from keys.models import Key
from keys.secrets.form import bucket_of
from partners.models import Workspace

# COUNTERS of functions.lua: minute window, count, hour window, count, what is not needed here, the end of
# the budget month, what it has cost so far in millionths of a dollar. What may stand behind is not needed.
_COUNTERS = struct.Struct("<IIIIdId")


@dataclass(frozen=True, slots=True)
class Now:
    """Calls let through in the minute and in the hour that run now, and what this budget month has cost."""

    in_minute: int = 0
    in_hour: int = 0
    spent_usd: Decimal = Decimal(0)


def use_now(keys: Sequence[Key], *, now: datetime) -> dict[int, Now]:
    """The present use of each key (by its database id), in one round trip; empty without the store.

    Workspaces must be loaded: hours begin by their clocks.
    """
    try:
        records = [record_key(key.family) for key in keys]
        found = hotwire.ask_all([(record, hotwire.encode("HGET", record, "c")) for record in records])
    except hotwire.StoreUnavailableError:
        return {}
    pairs = zip(keys, found, strict=True)
    return {key.pk: _read(packed, key.workspace.time_zone, now) for key, packed in pairs}


def used_together(workspace: Workspace, *, now: datetime) -> Now | None:
    """What the keys of a workspace use of its limits together now; None without the store."""
    place = shared_key(bucket_of(workspace.public_id), workspace.public_id)
    try:
        packed = hotwire.ask(hotwire.encode("HGET", place, "c"))
    except hotwire.StoreUnavailableError:
        return None
    return _read(packed, workspace.time_zone, now)


def _read(packed: bytes | None, time_zone: str, now: datetime) -> Now:
    if packed is None:
        return Now()
    minute, in_minute, hour, in_hour, _arrival, month, spent = _COUNTERS.unpack_from(packed)
    seconds = int(now.timestamp())
    this_hour = (seconds + hour_shift(now, time_zone)) // 3600
    return Now(
        in_minute=in_minute if minute >= seconds // 60 else 0,
        in_hour=in_hour if hour >= this_hour else 0,
        spent_usd=Decimal(int(spent) if seconds < month else 0) / MICROS,
    )
