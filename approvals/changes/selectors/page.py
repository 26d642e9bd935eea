"""What the page of a request adds where it asks for a change of a key (R3)."""

from datetime import datetime
from typing import Any

from accounts.models import User
from accounts.roles import Permission
from approvals.changes.selectors.changes import before_and_after, change_of, difference_with_use
from approvals.models import KeyChange, Request, Revision


def change_context(
    user: User, record: Request, revision: Revision | None, *, now: datetime
) -> dict[str, Any]:
    """The change with its old and new terms, and what this person can do about it; empty for a new key."""
    change = change_of(record)
    if change is None or revision is None:
        return {"change": change, "changes": []}
    is_frozen = record.frozen_at is not None
    waits = change.state == KeyChange.State.SCHEDULED and not is_frozen
    applied = change.state == KeyChange.State.APPLIED
    is_asked = user.pk in {record.requester_id, change.key.owner_id}
    return {
        "change": change,
        "changes": difference_with_use(change, revision, now=now),
        "use": before_and_after(change, now=now),
        "may_cancel": waits and (record.requester_id == user.pk or user.has_role("security")),
        "may_roll_back": applied and not is_frozen and user.may(Permission.ROLL_BACK_CHANGES),
        "may_look": applied and change.looked_at is None and is_asked,
    }
