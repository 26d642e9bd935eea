"""Letting a key act in another workspace of its partner, and ending that (V2).

A grant loosens, and no approval of the key knows of it: so only security gives one, with a second factor, a
reason and a last day, and the PMs and the owners of keys on both sides are told.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Final

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.roles import Role
from audit.actions import Action
from audit.services import record
from core.actors import SYSTEM, Actor
from core.errors import Conflict, Invalid
from core.ids import refs
from keys.access import require_may_grant
from keys.models import Key, WorkspaceGrant
from keys.status.saving import save_key
from keys.status.services import MAX_NOTE
from keys.terms.terms import end_of_day, office_day
from notifications.services import enqueue
from partners.models import ENDED_KEY_STATES, Workspace

MAX_GRANTS: Final = 8


@transaction.atomic
def grant_workspace(
    *, actor: Actor, by: User, key: Key, workspace: str, ends_on: date, reason: str, now: datetime
) -> WorkspaceGrant:
    """Let a key act in another workspace (its number) through `ends_on`; in force on the next check.

    Raises NotAllowed, Conflict (the key has ended, may act there already, or may act in MAX_GRANTS others),
    Invalid (another partner's workspace, a closed one or the key's own; a day that is past or after the key's
    end; no reason).
    """
    require_may_grant(by)
    if not reason.strip():
        raise Invalid(_("Say what the reason is."), field="reason")
    # In the order of locks: what a key may act in must not be closed meanwhile.
    place = Workspace.objects.select_for_update().filter(public_id=workspace).first()
    key = Key.objects.select_for_update(of=("self",)).select_related("partner", "owner").get(pk=key.pk)
    if key.has_ended:
        raise Conflict(_("This key has ended."))
    if place is None or place.partner_id != key.partner_id or not place.is_active:
        raise Invalid(_("Choose a workspace of the key's partner."), field="workspace")
    if place.pk == key.workspace_id:
        raise Invalid(_("That is the key's own workspace."), field="workspace")
    ends_at = min(end_of_day(ends_on), key.expires_at)
    if ends_on < office_day(now) or ends_at <= now:
        raise Invalid(_("Choose a day that is not past."), field="ends_on")
    if end_of_day(ends_on) > key.expires_at:
        raise Invalid(_("The key itself ends before that day."), field="ends_on")
    running = key.grants.filter(taken_back_at=None, ends_at__gt=now)
    if running.filter(workspace=place).exists():
        raise Conflict(_("The key may act there already. End that first."))
    if running.count() >= MAX_GRANTS:
        raise Conflict(_("The key may act in many workspaces already. End one first."))
    grant = WorkspaceGrant.objects.create(
        key=key,
        workspace=place,
        reason=reason.strip()[:MAX_NOTE],
        granted_by=by,
        granted_at=now,
        ends_at=ends_at,
    )
    payload = {"workspace": place.public_id, "ends_on": ends_on, "reason": grant.reason}
    _tell(grant, Action.KEY_GRANTED, "workspace_granted", actor=actor, payload=payload, now=now)
    return grant


@transaction.atomic
def take_back_grant(
    *, actor: Actor, by: User, grant: WorkspaceGrant, reason: str, now: datetime
) -> WorkspaceGrant:
    """End a grant before its day. Raises NotAllowed, Invalid without a reason, Conflict when it has ended."""
    require_may_grant(by)
    if not reason.strip():
        raise Invalid(_("Say what the reason is."), field="reason")
    key = Key.objects.select_for_update().get(pk=grant.key_id)
    grant = (
        WorkspaceGrant.objects.select_for_update(of=("self",)).select_related("workspace").get(pk=grant.pk)
    )
    if not grant.is_in_force(now):
        raise Conflict(_("It has ended already."))
    grant.key, grant.taken_back_by, grant.taken_back_at = key, by, now
    grant.end_reason = reason.strip()[:MAX_NOTE]
    grant.save(update_fields=["taken_back_by", "taken_back_at", "end_reason"])
    payload = {"workspace": grant.workspace.public_id, "reason": grant.end_reason}
    _tell(grant, Action.KEY_GRANT_ENDED, "workspace_grant_ended", actor=actor, payload=payload, now=now)
    return grant


def end_due_grants(*, now: datetime, limit: int = 500) -> int:
    """Tell of grants whose last day is over; returns how many. Safe to run twice at once.

    The verifier goes by the time itself, so a late sweep lets nobody in. Where the key has ended, too, that
    was told: the event alone is left to write.
    """
    with transaction.atomic():
        due = list(
            WorkspaceGrant.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("key", "workspace")
            .filter(taken_back_at=None, end_told_at=None, ends_at__lte=now)
            .order_by("ends_at")[:limit]
        )
        WorkspaceGrant.objects.filter(pk__in=[grant.pk for grant in due]).update(end_told_at=now)
        for grant in due:
            record(
                Action.KEY_GRANT_ENDED,
                actor=SYSTEM("keys.end_grants"),
                objects=_objects(grant),
                payload={"workspace": grant.workspace.public_id, "ends_at": grant.ends_at},
                now=now,
            )
            if not grant.key.has_ended and now < grant.key.ends_at:
                _mail(grant, "workspace_grant_ended", now)
    return len(due)


def _tell(
    grant: WorkspaceGrant,
    action: Action,
    kind: str,
    *,
    actor: Actor,
    payload: Mapping[str, object],
    now: datetime,
) -> None:
    """The new revision of the key, the event and the mails."""
    save_key(grant.key, now=now)
    record(action, actor=actor, objects=_objects(grant), payload=payload, now=now)
    _mail(grant, kind, now)


def _objects(grant: WorkspaceGrant) -> list[str]:
    return refs(grant.key, grant.workspace)


def _mail(grant: WorkspaceGrant, kind: str, now: datetime) -> None:
    for person in _concerned(grant):
        enqueue(
            kind,
            recipient_ref=person.public_id,
            context={"grant": str(grant.uid)},
            dedupe_key=f"{kind}:{grant.uid}:{person.public_id}",
            objects=_objects(grant),
            now=now,
        )


def _concerned(grant: WorkspaceGrant) -> list[User]:
    """The PMs, the key's owner, and the owners of the keys that work in the other workspace."""
    others = grant.workspace.keys.exclude(status__in=ENDED_KEY_STATES)
    people = Q(roles__contains=[Role.PM.value]) | Q(pk=grant.key.owner_id) | Q(pk__in=others.values("owner"))
    return list(User.objects.filter(people, is_active=True).order_by("pk"))
