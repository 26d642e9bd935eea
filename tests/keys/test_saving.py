"""A key is saved in one way: with a new revision, which the verifier hears of after the commit (V4)."""

import re
from datetime import timedelta
from pathlib import Path

import redis
from django.conf import settings
from django.db import transaction
from django.test import TestCase
from django.utils import timezone

from keys import hotrecord
from keys.services.saving import save_key, save_keys
from tests.cast import Cast
from tests.key_stories import reveal

APPS = ("accounts", "approvals", "core", "intake", "keys", "notifications", "partners", "verifier")
ANOTHER_WAY = {
    "raises a key's revision": r"\bkey\.revision\b *\+?= |F\(.revision.\)",
    "tells the hot store of a key": r"\bhotstore\.publish_key\b|\bimport publish_key\b",
    "saves a key's row": r"\bkey\.save\(|\bKey\.objects\b[^\n]*\.(?:update|bulk_update|bulk_create)\(",
}
# Each of these is right, and says why where it stands.
ALLOWED = {
    ("keys/services/saving.py", "raises a key's revision"),
    ("keys/services/saving.py", "tells the hot store of a key"),
    ("keys/services/saving.py", "saves a key's row"),
    ("keys/services/issuing.py", "saves a key's row"),  # its first row: no secret yet, so nothing to check
    ("keys/services/search_texts.py", "saves a key's row"),  # what the verifier does not know
    ("keys/services/self_test.py", "tells the hot store of a key"),  # shows that it can be told
}


def product_files() -> list[Path]:
    root = settings.BASE_DIR
    return [
        path for app in APPS for path in sorted((root / app).rglob("*.py")) if "migrations" not in path.parts
    ]


def test_nothing_else_saves_a_key() -> None:
    found = {
        (path.relative_to(settings.BASE_DIR).as_posix(), what)
        for path in product_files()
        for what, pattern in ANOTHER_WAY.items()
        if re.search(pattern, path.read_text())
    }
    assert found == ALLOWED


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
