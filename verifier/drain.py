"""Moves the counters of the hot store into the registry (V6).

Move, then write, then drop: each bucket's counters are renamed aside under an id, added to the registry in
one transaction with that id, and dropped. A worker that dies in between leaves a batch that the next one
finds under the same id: repeated, never doubled, never lost.
"""

import logging
import uuid
from datetime import datetime

from keys.hotrecord import ADDRESS_LENGTH, N_TAGS, batch_key, readable_address, use_key
from keys.hotwire import Patient, StoreUnavailableError
from keys.secret_format import FAMILY_LENGTH
from keys.services.outcomes import Outcome
from keys.services.use import AtOnce, Cost, Use, forget_batches, record_use

logger = logging.getLogger(__name__)


def drain_use(*, now: datetime) -> int:
    """Drain every bucket; returns how many batches were added. Safe to run twice at once."""
    n_batches = n_failed = 0
    with Patient() as store:
        for number in range(N_TAGS):
            try:
                n_batches += _drain(store, b"%02x" % number, now)
            except StoreUnavailableError:
                # What was counted waits where it is; other buckets may lie on a server that answers.
                n_failed += 1
    if n_failed:
        logger.warning("hot store unavailable, use not drained", extra={"data": {"buckets": n_failed}})
    forget_batches(now=now)
    return n_batches


def _drain(store: Patient, tag: bytes, now: datetime) -> bool:
    fresh = uuid.uuid4().hex
    flat: list[bytes] = store.call("take", [use_key(tag), batch_key(tag)], fresh)
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    batch = fields.pop(b"#", None)
    if batch is None:
        return False
    uses, costs, peaks, outcomes = _read(fields)
    added = record_use(batch=batch.decode(), uses=uses, costs=costs, peaks=peaks, outcomes=outcomes, now=now)
    store.call("done", [batch_key(tag)], batch)
    return added


def _read(fields: dict[bytes, bytes]) -> tuple[list[Use], list[Cost], list[AtOnce], list[Outcome]]:
    """The lines that the function counts (see lua/hotstore.lua, `u`)."""
    uses, costs, peaks, outcomes = [], [], [], []
    for name, n in fields.items():
        minute, *rest = name.decode().split("|")
        match rest:
            case []:
                pass  # how many addresses a key id has in this batch
            case [key_id, "$"]:
                costs.append(Cost(int(minute), key_id[:FAMILY_LENGTH], int(n)))
            case [key_id, "most", "of", limit]:
                peaks.append(AtOnce(int(minute), key_id, limit, int(n)))
            case [family, what] if len(family) == FAMILY_LENGTH:
                outcomes.append(Outcome(int(minute), family, what, int(n)))
            case [key_id, code]:  # as counted before there were addresses
                uses.append(Use(int(minute), key_id, code, int(n)))
            case [key_id, code, address]:
                uses.append(Use(int(minute), key_id, code, int(n), _readable(address)))
    return uses, costs, peaks, outcomes


def _readable(address: str) -> str:
    return address if len(address) != ADDRESS_LENGTH else readable_address(address)
