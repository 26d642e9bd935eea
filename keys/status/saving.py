"""The one way to save a key that the verifier knows: with a new revision, published after the commit (V4)."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from django.db import transaction

from keys.hotstore import publish as hotstore
from keys.models import Key


def save_key(key: Key, *fields: str, now: datetime) -> None:
    """Save these fields of a key that the caller holds locked; in force on the next check after the commit.

    Must run inside a transaction. Writes no event: the caller says in the same transaction what happened.
    """
    _raise_revision(key, now)
    key.save(update_fields=["revision", "changed_at", *fields])


def save_keys(keys: Sequence[Key], *fields: str, now: datetime) -> None:
    """`save_key` for many keys, in one statement."""
    for key in keys:
        _raise_revision(key, now)
    Key.objects.bulk_update(keys, ["revision", "changed_at", *fields])


def _raise_revision(key: Key, now: datetime) -> None:
    key.revision += 1
    key.changed_at = now
    transaction.on_commit(partial(hotstore.publish_key, key.public_id))
