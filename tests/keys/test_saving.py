"""A key is saved in one way: with a new revision, which the verifier hears of after the commit (V4)."""

from datetime import timedelta

import redis
from django.db import transaction
from django.test import TestCase
from django.utils import timezone

from keys.hotstore import record as hotrecord
from keys.status.saving import save_key, save_keys
from tests.cast import Cast
from tests.key_stories import reveal
from tests.source import files_where

ANOTHER_WAY = {
    "raises a key's revision": r"\bkey\.revision\b *\+?= |F\(.revision.\)",
    "tells the hot store of a key": r"\bhotstore\.publish_key\b|\bimport publish_key\b",
    "saves a key's row": r"\bkey\.save\(|\bKey\.objects\b[^\n]*\.(?:update|bulk_update|bulk_create)\(",
}
# Each of the others is right, and says why where it stands.
ALLOWED = {
    "raises a key's revision": {"keys/status/saving.py"},
    "tells the hot store of a key": {
        "keys/status/saving.py",
        "keys/delivery/services/self_test.py",  # shows that it can be told
    },
    "saves a key's row": {
        "keys/status/saving.py",
        "keys/life/services/issuing.py",  # its first row: no secret yet, so nothing to check
        "keys/registry/services.py",  # what the verifier does not know
    },
}


def test_nothing_else_saves_a_key() -> None:
    assert {what: files_where(pattern) for what, pattern in ANOTHER_WAY.items()} == ALLOWED


def test_every_save_is_a_new_revision(cast: Cast) -> None:
    one, other = cast.key(), cast.key()
    was, later = {key.pk: key.revision for key in (one, other)}, timezone.now() + timedelta(hours=1)
    one.name, one.purpose = "Stock levels, new", "Not named, so not saved"
    with transaction.atomic():
        save_key(one, "name", now=later)
        save_keys([one, other], "status_reason", now=later)
    one.refresh_from_db()
    other.refresh_from_db()
    assert (one.revision, other.revision) == (was[one.pk] + 2, was[other.pk] + 1)
    assert one.changed_at == other.changed_at == later
    assert one.name == "Stock levels, new"
    assert one.purpose != "Not named, so not saved"


def test_the_hot_store_hears_of_it_after_the_commit(cast: Cast, valkey: redis.Redis) -> None:
    key = cast.key()
    record = hotrecord.record_key(key.family)
    with TestCase.captureOnCommitCallbacks(execute=True):
        reveal(key)
    valkey.delete(record)
    with TestCase.captureOnCommitCallbacks(execute=True):
        save_key(key, "name", now=timezone.now())
        assert not valkey.exists(record)
    assert valkey.exists(record)
