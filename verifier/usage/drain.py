"""Moves the counters of the hot store into the registry (V6).

Move, then write, then drop: each bucket's counters are renamed aside under an id, added to the registry in
one transaction with that id, and dropped. A worker that dies in between leaves a batch that the next one
finds under the same id: repeated, never doubled, never lost.
"""

import logging
import uuid
from datetime import datetime

from keys.hotstore.client import Patient, StoreUnavailableError
from keys.hotstore.record import N_TAGS, batch_key, use_key
from keys.use.services.use import forget_batches
from verifier.usage.lines import record_lines

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
    fields.pop(b"=", None)  # no line: it makes the store keep an index of them
    if batch is None:
        return False
    lines = {name.decode(): int(n) for name, n in fields.items()}
    added = record_lines(batch=batch.decode(), lines=lines, now=now)
    store.call("done", [batch_key(tag)], batch)
    return added
