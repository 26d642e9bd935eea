"""Who decides in another's place: delegations while someone is away, and the deputies of roles (A5)."""

from datetime import datetime

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.access import has_second_factor
from accounts.models import User
from accounts.roles import Permission
from approvals.models import DelegableRole, Delegation, RoleDeputy, StandingDeputy
from approvals.path.deputy_rules import why_no_deputy
from audit.actions import Action
from audit.services import record
from core.actors import SYSTEM, Actor
from core.background import send_on_commit
from core.errors import Conflict, Invalid, NotAllowed
from core.ids import next_public_id, refs
from notifications.services import enqueue

WATCH = "approvals.watch_steps"


@transaction.atomic
def give_delegation(
    *,
    actor: Actor,
    giver: User,
    deputy: User,
    role: str,
    starts_at: datetime,
    ends_at: datetime,
    note: str = "",
    now: datetime,
) -> Delegation:
    """Let `deputy` decide the steps of one of the giver's roles in the giver's name for a time.

    It grants nothing else, and is not passed on. Raises NotAllowed when the giver lacks the role; Invalid
    (field) for a deputy who can't be one (see `_check_deputy`) or is away then, for a time that is over, and
    for a second delegation of the role within it.
    """
    giver, deputy = _lock_pair(giver, deputy)
    starts_at = max(starts_at, now)
    _check_people(giver, deputy, role)
    if ends_at <= starts_at:
        raise Invalid(_("The end must come after the start, and lie in the future."), field="until")
    _end_overdue(actor, giver, role, now)
    _check_period(giver, deputy, role, starts_at, ends_at)
    delegation = Delegation.objects.create(
        public_id=next_public_id("DG"),
        giver=giver,
        deputy=deputy,
        role=role,
        starts_at=starts_at,
        ends_at=ends_at,
        note=note.strip()[:200],
        created_at=now,
    )
    record(
        Action.DELEGATION_GIVEN,
        actor=actor,
        objects=_objects(delegation),
        payload={"roles": [role], "starts_at": starts_at, "ends_at": ends_at, "recipient": deputy.public_id},
        now=now,
    )
    _tell(delegation, "delegation_given", deputy, now)
    if starts_at <= now:
        _begin(actor, delegation, now)
    return delegation


def _lock_pair(giver: User, deputy: User) -> tuple[User, User]:
    people = {
        user.pk: user
        for user in User.objects.select_for_update(no_key=True)
        .filter(pk__in=[giver.pk, deputy.pk])
        .order_by("pk")
    }
    return people[giver.pk], people[deputy.pk]


def _check_people(giver: User, deputy: User, role: str) -> None:
    if role not in DelegableRole.values or not giver.has_role(role):
        raise NotAllowed(_("Only a role that one has oneself can be handed to a deputy."))
    _check_other(giver, deputy)
    _check_deputy(deputy, role)


def _check_other(giver: User, deputy: User) -> None:
    if giver.pk == deputy.pk:
        raise Invalid(_("Choose somebody else than yourself."), field="deputy")


def _end_overdue(actor: Actor, giver: User, role: str, now: datetime) -> None:
    """What is over makes room, though the sweep is a moment late."""
    for over in Delegation.objects.select_for_update().filter(
        giver=giver, role=role, ended_at=None, ends_at__lte=now
    ):
        _end(actor, over, "time is up", now)


def _check_deputy(deputy: User, role: str) -> None:
    if why := why_no_deputy(deputy, role, has_second_factor=has_second_factor(deputy)):
        raise Invalid(why, field="deputy")


def _check_period(giver: User, deputy: User, role: str, starts_at: datetime, ends_at: datetime) -> None:
    within = Delegation.objects.filter(ended_at=None, starts_at__lt=ends_at, ends_at__gt=starts_at)
    if within.filter(giver=giver, role=role).exists():
        raise Invalid(
            _("You have handed this role to a deputy within this time already: end that first."),
            field="since",
        )
    # No chains, and so no circles: who is away decides for nobody.
    if within.filter(giver=deputy).exists():
        raise Invalid(_("This person is away within this time."), field="deputy")


@transaction.atomic
def end_delegation(
    *, actor: Actor, by: User, delegation: Delegation, reason: str = "", now: datetime
) -> Delegation:
    """End a delegation before its time: by giver, deputy or an administrator. Conflict when it has ended."""
    delegation = (
        Delegation.objects.select_for_update(of=("self",))
        .select_related("giver", "deputy")
        .get(pk=delegation.pk)
    )
    if by.pk not in {delegation.giver_id, delegation.deputy_id} and not by.may(Permission.MANAGE_STAFF):
        raise NotAllowed(_("Only the two people and an administrator can end a delegation."))
    if delegation.ended_at is not None:
        raise Conflict(_("This delegation has ended already."))
    _end(actor, delegation, reason, now)
    return delegation


def keep_delegations(*, now: datetime) -> int:
    """Begin and end delegations whose time has come; end those whose people left or lost the role.

    Safe to run twice at once; catches up after an outage: what began and ended meanwhile is only ended.
    """
    actor = SYSTEM("approvals.keep_delegations")
    changed = 0
    with transaction.atomic():
        open_ones = (
            Delegation.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(ended_at=None)
            .filter(Q(starts_at__lte=now) | Q(giver__is_active=False) | Q(deputy__is_active=False))
            .select_related("giver", "deputy")
            .order_by("id")
        )
        # What is over makes room for what begins.
        for delegation in sorted(open_ones, key=lambda one: one.ends_at > now):
            reason = _why_over(delegation, now)
            if reason:
                _end(actor, delegation, reason, now)
                changed += 1
            elif delegation.began_at is None:
                _begin(actor, delegation, now)
                changed += 1
    return changed


def _why_over(delegation: Delegation, now: datetime) -> str:
    """Kept in the audit log; empty while the delegation stands."""
    if delegation.ends_at <= now:
        return "time is up"
    if not delegation.giver.has_role(delegation.role):
        return "the giver no longer has the role"
    return "" if delegation.deputy.may(Permission.DECIDE) else "the deputy may no longer decide"


def _begin(actor: Actor, delegation: Delegation, now: datetime) -> None:
    delegation.began_at = now
    delegation.save(update_fields=["began_at"])
    record(
        Action.DELEGATION_BEGAN,
        actor=actor,
        objects=_objects(delegation),
        payload={"recipient": delegation.deputy.public_id, "ends_at": delegation.ends_at},
        now=now,
    )
    send_on_commit(WATCH)  # what waits for the giver is put before the deputy at once


def _end(actor: Actor, delegation: Delegation, reason: str, now: datetime) -> None:
    delegation.ended_at = now
    delegation.save(update_fields=["ended_at"])
    payload: dict[str, object] = {"recipient": delegation.deputy.public_id}
    if reason:
        payload["reason"] = reason
    record(Action.DELEGATION_ENDED, actor=actor, objects=_objects(delegation), payload=payload, now=now)
    for person in (delegation.giver, delegation.deputy):
        if person.is_active and person.public_id != actor.ref:
            _tell(delegation, "delegation_ended", person, now)
    send_on_commit(WATCH)  # what waits goes back to the giver, or to the role's others


def _tell(delegation: Delegation, kind: str, person: User, now: datetime) -> None:
    enqueue(
        kind,
        recipient_ref=person.public_id,
        context={"delegation": delegation.public_id},
        dedupe_key=f"{kind}:{delegation.public_id}:{person.public_id}",
        objects=refs(delegation),
        now=now,
    )


def _objects(delegation: Delegation) -> list[str]:
    return refs(delegation, delegation.giver, delegation.deputy)


# --- standing deputies ------------------------------------------------------------------------------------


@transaction.atomic
def name_standing_deputy(*, actor: Actor, giver: User, deputy: User | None, now: datetime) -> None:
    """Let somebody decide the giver's escalated steps, until they name another one or, by None, nobody.

    They decide in their own name, before the role's deputies are asked. Both are told by mail, and so is who
    was named before. Naming the same person again changes nothing. Raises NotAllowed for a giver whose roles
    decide nothing, Invalid (field) for somebody who could not stand in for each of these roles.
    """
    giver = User.objects.select_for_update(no_key=True).get(pk=giver.pk)
    roles = [role for role in DelegableRole.values if giver.has_role(role)]
    if not roles:
        raise NotAllowed(_("Only a role that one has oneself can be handed to a deputy."))
    if deputy is not None:
        _check_other(giver, deputy)
        for role in roles:
            _check_deputy(deputy, role)
    before = StandingDeputy.objects.filter(giver=giver).select_related("deputy").first()
    if deputy == (before.deputy if before else None):
        return
    if before is not None:
        _end_standing(actor, before, "", now)
    if deputy is not None:
        StandingDeputy.objects.create(giver=giver, deputy=deputy, named_at=now)
        _note_standing(actor, Action.STANDING_DEPUTY_NAMED, giver, deputy, now)
        _tell_standing("standing_deputy_named", giver, deputy, now)


def keep_standing_deputies(*, now: datetime) -> int:
    """End what stands of people who left: whoever named them is told, and can name another one.

    Safe to run twice at once.
    """
    actor = SYSTEM("approvals.keep_delegations")
    with transaction.atomic():
        over = list(
            StandingDeputy.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(Q(giver__is_active=False) | Q(deputy__is_active=False))
            .select_related("giver", "deputy")
            .order_by("id")
        )
        for standing in over:
            who = "the person" if not standing.giver.is_active else "the deputy"
            _end_standing(actor, standing, f"{who} left", now)
    return len(over)


def _end_standing(actor: Actor, standing: StandingDeputy, reason: str, now: datetime) -> None:
    standing.delete()
    giver, deputy = standing.giver, standing.deputy
    _note_standing(actor, Action.STANDING_DEPUTY_REMOVED, giver, deputy, now, reason=reason)
    _tell_standing("standing_deputy_ended", giver, deputy, now)


def _note_standing(
    actor: Actor, action: Action, giver: User, deputy: User, now: datetime, *, reason: str = ""
) -> None:
    payload: dict[str, object] = {
        "roles": [role for role in DelegableRole.values if giver.has_role(role)],
        "recipient": deputy.public_id,
    }
    if reason:
        payload["reason"] = reason
    record(action, actor=actor, objects=refs(giver), payload=payload, now=now)
    send_on_commit(WATCH)


def _tell_standing(kind: str, giver: User, deputy: User, now: datetime) -> None:
    """Both are told, also who did it: nobody becomes or has a deputy without knowing."""
    for person in (giver, deputy):
        if person.is_active:
            enqueue(
                kind,
                recipient_ref=person.public_id,
                context={"giver": giver.public_id, "deputy": deputy.public_id},
                dedupe_key=f"{kind}:{giver.public_id}:{deputy.public_id}:{now.isoformat()}:{person.public_id}",
                objects=refs(giver),
                now=now,
            )


# --- the deputies of roles ------------------------------------------------------------------------------


@transaction.atomic
def add_role_deputy(*, actor: Actor, role: str, staff: User, now: datetime) -> RoleDeputy:
    """Let somebody decide a role's steps once they are escalated. The view asks for MANAGE_STAFF.

    Raises Invalid for a role without steps or a person who can't be a deputy, Conflict for one who is.
    NotAllowed for oneself: administrators give nobody power over their own requests by themselves.
    """
    staff = User.objects.select_for_update(no_key=True).get(pk=staff.pk)
    if role not in DelegableRole.values:
        raise Invalid(_("Choose a role that decides approvals."), field="role")
    if actor.ref == staff.public_id:
        raise NotAllowed(_("Nobody makes themselves a deputy: ask another administrator."))
    _check_deputy(staff, role)
    deputy, made = RoleDeputy.objects.get_or_create(role=role, staff=staff, defaults={"added_at": now})
    if not made:
        raise Conflict(_("This person is a deputy of the role already."))
    record(
        Action.DEPUTY_ADDED,
        actor=actor,
        objects=refs(staff),
        payload={"roles": [role]},
        now=now,
    )
    send_on_commit(WATCH)
    return deputy


@transaction.atomic
def remove_role_deputy(*, actor: Actor, role: str, staff: User, now: datetime) -> None:
    """Take a deputy of a role away. Conflict when it is none. The view asks for MANAGE_STAFF."""
    deputy = RoleDeputy.objects.select_for_update().filter(role=role, staff=staff).first()
    if deputy is None:
        raise Conflict(_("This person is no deputy of the role any more."))
    deputy.delete()
    record(
        Action.DEPUTY_REMOVED,
        actor=actor,
        objects=refs(staff),
        payload={"roles": [role]},
        now=now,
    )
    send_on_commit(WATCH)
