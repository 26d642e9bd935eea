"""Moves the counters of the hot store into the registry (V6).

Move, then write, then drop: each bucket's counters are renamed aside under an id, added to the registry in
one transaction with that id, and dropped. A worker that dies in between leaves a batch that the next one
finds under the same id: repeated, never doubled, never lost.
"""

import logging
import uuid
from collections.abc import Iterator
from datetime import datetime

from keys.hotrecord import N_TAGS, batch_key, use_key
from keys.hotwire import Patient, StoreUnavailableError
from keys.services.use import Use, forget_batches, record_use

logger = logging.getLogger(__name__)


def drain_use(*, now: datetime) -> int:
    """Drain every bucket; returns how many batches were added. Safe to run twice at once."""
    n_batches = 0
    try:
        with Patient() as store:
            for number in range(N_TAGS):
                n_batches += _drain(store, b"%02x" % number, now)
    except StoreUnavailableError:
        # What was counted waits where it is.
        logger.warning("hot store unavailable, use not drained")
    forget_batches(now=now)
    return n_batches


def _drain(store: Patient, tag: bytes, now: datetime) -> bool:
    fresh = uuid.uuid4().hex
    flat: list[bytes] = store.call("take", [use_key(tag), batch_key(tag)], fresh)
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    batch = fields.pop(b"#", None)
    if batch is None:
        return False
    added = record_use(batch=batch.decode(), uses=_uses(fields), now=now)
    store.call("done", [batch_key(tag)], batch)
    return added


def _uses(fields: dict[bytes, bytes]) -> Iterator[Use]:
    for name, n in fields.items():
        minute, key_id, code = name.decode().split("|")
        yield Use(int(minute), key_id, code, int(n))
