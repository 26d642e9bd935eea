"""Reading the product's source: for rules that no linter knows."""

import re
from collections.abc import Iterable

from django.conf import settings

APPS = ("accounts", "approvals", "core", "intake", "keys", "notifications", "partners", "verifier")


def files_where(pattern: str | re.Pattern[str], *, apps: Iterable[str] = APPS) -> set[str]:
    """The product's files, migrations aside, that have such a text: `{"keys/status/saving.py"}`."""
    root = settings.BASE_DIR
    return {
        path.relative_to(root).as_posix()
        for app in apps
        for path in (root / app).rglob("*.py")
        if "migrations" not in path.parts and re.search(pattern, path.read_text())
    }
