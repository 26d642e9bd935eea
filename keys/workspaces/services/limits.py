"""Limits that all keys of a workspace hold together, beside each key's own (V2, V3)."""

from datetime import datetime
from decimal import Decimal
from functools import partial

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from audit.actions import Action
from audit.services import record
from core.actors import Actor
from core.errors import Invalid
from core.ids import refs
from keys.access import require_may_limit
from keys.hotstore import publish as hotstore
from partners.models import Workspace
from partners.services.changes import require_fresh

LIMITS = ("rpm", "rph", "monthly_budget_usd")


@transaction.atomic
def limit_workspace(
    *,
    actor: Actor,
    by: User,
    workspace: Workspace,
    seen: str = "",
    rpm: int,
    rph: int,
    monthly_budget_usd: Decimal | None,
    reason: str,
    now: datetime,
) -> Workspace:
    """Give a workspace other limits; 0 and None are none. In force on the next check of each of its keys.

    They only ever take away from what each key was approved for, so no approval is asked. Raises NotAllowed,
    Conflict for a stale form, Invalid where nothing changes or the reason is missing.
    """
    require_may_limit(by)
    workspace = Workspace.objects.select_for_update().get(pk=workspace.pk)
    require_fresh(workspace, LIMITS, seen)
    if not reason.strip():
        raise Invalid(_("Say what the reason is."), field="reason")
    if rpm and rph and rpm > rph:
        raise Invalid(_("More in a minute than in an hour: the minute would never be reached."), field="rpm")
    values = {"rpm": rpm, "rph": rph, "monthly_budget_usd": monthly_budget_usd}
    before = {name: getattr(workspace, name) for name in LIMITS}
    changed = [name for name in LIMITS if before[name] != values[name]]
    if not changed:
        raise Invalid(_("These are the limits that it has."), field="reason")
    for name in changed:
        setattr(workspace, name, values[name])
    workspace.revision += 1
    workspace.save(update_fields=[*changed, "revision"])
    record(
        Action.WORKSPACE_LIMITED,
        actor=actor,
        objects=refs(workspace, workspace.partner),
        payload={
            "fields": sorted(changed),
            "before": {name: before[name] for name in changed},
            "after": {name: values[name] for name in changed},
            "reason": reason.strip(),
        },
        now=now,
    )
    transaction.on_commit(partial(hotstore.publish_workspace, workspace.public_id))
    return workspace
