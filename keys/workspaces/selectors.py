"""A workspace's page: the limits that its keys share, and what of them is used."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from keys.hotstore.record import month_ends
from keys.models import Key
from keys.use.selectors.limits import Now, use_now, used_together
from partners.models import ENDED_KEY_STATES, Workspace

MAX_ROWS = 100


@dataclass(frozen=True, slots=True)
class Row:
    """A key that has not ended, and what it uses by itself now."""

    key: Key
    now: Now | None


@dataclass(frozen=True, slots=True)
class WorkspacePage:
    """`now` is None without the hot store, or without limits. `rows` are the newest keys, `n_keys` all."""

    workspace: Workspace
    now: Now | None
    month_ends_at: datetime
    rows: Sequence[Row]
    n_keys: int


def workspace_page(workspace: Workspace, *, now: datetime) -> WorkspacePage:
    """Read the page, in two queries and two calls of the store."""
    running = workspace.keys.exclude(status__in=ENDED_KEY_STATES)
    keys = list(running.select_related("workspace").order_by("-id")[:MAX_ROWS])
    used = use_now(keys, now=now)
    end, _following = month_ends(now, workspace.time_zone)
    return WorkspacePage(
        workspace=workspace,
        now=used_together(workspace, now=now) if workspace.has_limits else None,
        month_ends_at=datetime.fromtimestamp(end, UTC),
        rows=[Row(key, used.get(key.pk)) for key in keys],
        n_keys=len(keys) if len(keys) < MAX_ROWS else running.count(),
    )
