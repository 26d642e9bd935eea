"""A request is locked and saved in one way, so that no act forgets its version (A10)."""

import re

from tests.source import files_where


def test_nothing_else_raises_a_requests_version() -> None:
    assert files_where(r"\brequest\.version\b *\+?= ", apps=["approvals", "intake"]) == {
        "approvals/path/services/locking.py"
    }


def test_nothing_else_locks_one_request() -> None:
    one = re.compile(r"\bRequest\.objects\.select_for_update\((?:(?!limit).)*?\.(?:get|first)\(", re.DOTALL)
    found = files_where(one, apps=["approvals", "intake"])
    assert found == {"approvals/path/services/locking.py"}
