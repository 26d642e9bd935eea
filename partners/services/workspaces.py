"""Workspaces: added and changed. Their code is what gateways send, so it stays for ever."""

from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from audit.actions import Action
from audit.services import record
from core.actors import Actor
from core.errors import Conflict, Invalid
from core.ids import next_public_id, refs
from partners.access import require_may_edit
from partners.models import ENDED_KEY_STATES, Partner, Workspace
from partners.services.changes import require_fresh, save_changes

WORKSPACE_FIELDS = ("name", "time_zone", "is_active")
SHOWN = frozenset(WORKSPACE_FIELDS)
CODE_TAKEN = _("Another workspace has this code.")


@transaction.atomic
def add_workspace(
    *,
    actor: Actor,
    by: User,
    partner: Partner,
    code: str,
    name: str,
    time_zone: str = "Asia/Tokyo",
    now: datetime,
) -> Workspace:
    """Add a workspace. Raises NotAllowed, Conflict (partner ended), Invalid (code taken, unknown zone)."""
    require_may_edit(by)
    partner = Partner.objects.select_for_update().get(pk=partner.pk)
    if not partner.is_active:
        raise Conflict(_("This partner has ended."))
    _check_zone(time_zone)
    if Workspace.objects.filter(code=code).exists():
        raise Invalid(CODE_TAKEN, field="code")
    workspace = Workspace(
        public_id=next_public_id("WS"), partner=partner, code=code, name=name, time_zone=time_zone
    )
    try:
        with transaction.atomic():
            workspace.save(force_insert=True)
    except IntegrityError as error:  # the same code for two partners at once
        raise Invalid(CODE_TAKEN, field="code") from error
    record(
        Action.WORKSPACE_ADDED,
        actor=actor,
        objects=refs(workspace, partner),
        payload={"code": code},
        now=now,
    )
    return workspace


@transaction.atomic
def change_workspace(
    *,
    actor: Actor,
    by: User,
    workspace: Workspace,
    seen: str = "",
    name: str,
    time_zone: str,
    is_active: bool,
    now: datetime,
) -> Workspace:
    """Change a workspace. NotAllowed, Conflict for a stale form, Invalid where running keys forbid it."""
    require_may_edit(by)
    workspace = Workspace.objects.select_for_update().get(pk=workspace.pk)
    require_fresh(workspace, WORKSPACE_FIELDS, seen)
    _check_zone(time_zone)
    running = workspace.keys.exclude(status__in=ENDED_KEY_STATES)
    if workspace.is_active and not is_active and running.exists():
        raise Invalid(
            _("There are keys that still work in it. Revoke them before you close the workspace."),
            field="is_active",
        )
    # keys.models stands above this app: names only.
    if workspace.is_active and not is_active and _is_granted(workspace, now):
        raise Invalid(
            _("Keys of other workspaces may act in it. End that before you close the workspace."),
            field="is_active",
        )
    if time_zone != workspace.time_zone and running.exists():
        # Limits and budgets are counted in the zone's days; the keys' hot records hold it.
        raise Invalid(_("The zone can't be changed while keys work in it."), field="time_zone")
    save_changes(
        workspace,
        {"name": name, "time_zone": time_zone, "is_active": is_active},
        action=Action.WORKSPACE_CHANGED,
        actor=actor,
        objects=refs(workspace, workspace.partner),
        shown=SHOWN,
        now=now,
    )
    return workspace


def _is_granted(workspace: Workspace, now: datetime) -> bool:
    return workspace.grants.filter(taken_back_at=None, ends_at__gt=now).exists()


def _check_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Invalid(_("Choose a time zone."), field="time_zone") from error
