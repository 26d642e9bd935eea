"""Writes on staff: inviting, roles, leaving, and what people choose for themselves (S1, S2, N3)."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from allauth.mfa.utils import decrypt
from allauth.usersessions.models import UserSession
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts import outbox
from accounts.access import has_second_factor
from accounts.models import User
from accounts.roles import Role
from audit.actions import Action
from audit.services import record
from core.actors import Actor
from core.errors import Conflict, Invalid
from core.ids import next_public_id, refs

PREFERENCES = frozenset({"name", "department", "language", "time_zone"})


@transaction.atomic
def invite_staff(
    *,
    actor: Actor,
    email: str,
    name: str,
    department: str,
    roles: Iterable[str],
    language: str,
    now: datetime,
) -> User:
    """Make an account without a password and mail a one-time link to set one.

    Raises Invalid (field `email`) when somebody has the address already, in any letter case, and Invalid
    (field `roles`) without a role. Whether the actor may invite is checked by the view.
    """
    chosen = _known_roles(roles)
    if User.objects.filter(email__iexact=email).exists():
        raise Invalid(_("Somebody has this address already."), field="email")
    user = User.objects.create_user(
        email,
        public_id=next_public_id("ST"),
        name=name,
        department=department,
        roles=chosen,
        language=language,
    )
    record(
        Action.STAFF_INVITED,
        actor=actor,
        objects=refs(user),
        now=now,
        payload={"roles": chosen},
    )
    _enqueue_password_link("staff_invited", user, now)
    return user


@transaction.atomic
def renew_invitation(*, actor: Actor, user: User, now: datetime) -> User:
    """Mail the link to set a password again. Raises Conflict for someone who has signed in, or left."""
    user = _locked(user)
    if not user.is_invited:
        raise Conflict(_("This person is not waiting for an invitation."))
    record(
        Action.STAFF_INVITED,
        actor=actor,
        objects=refs(user),
        now=now,
        payload={"roles": user.roles, "note": "again"},
    )
    _enqueue_password_link("staff_invited", user, now)
    return user


@transaction.atomic
def request_password_link(*, actor: Actor, user: User, now: datetime) -> None:
    """Mail a link to set a new password to someone who says that they forgot it."""
    record(
        Action.PASSWORD_CHANGED,
        actor=actor,
        objects=refs(user),
        now=now,
        payload={"status": "link requested"},
    )
    _enqueue_password_link("password_link", user, now)


@transaction.atomic
def change_roles(*, actor: Actor, user: User, roles: Iterable[str], now: datetime) -> User:
    """Give someone exactly these roles, from the next request on.

    Raises Conflict for a person who left, for one's own roles (four eyes), and for the last administrator;
    Invalid without a role (that is `deactivate_staff`).
    """
    chosen = _known_roles(roles)
    _lock_administrators()
    user = _locked(user)
    if not user.is_active:
        raise Conflict(_("This person has left."))
    if actor.ref == user.public_id:
        raise Conflict(_("Nobody changes their own roles: ask another administrator."))
    _keep_an_administrator(user, staying=Role.ADMIN in chosen)
    before = set(user.roles)
    if before == set(chosen):
        return user
    user.roles = chosen
    user.save(update_fields=["roles"])
    record(
        Action.STAFF_ROLES_CHANGED,
        actor=actor,
        objects=refs(user),
        now=now,
        payload={"added": sorted(set(chosen) - before), "removed": sorted(before - set(chosen))},
    )
    return user


@transaction.atomic
def deactivate_staff(*, actor: Actor, user: User, reason: str, now: datetime) -> User:
    """Somebody left: every role is gone, every session ends, no sign-in any more (S1).

    Raises Conflict for oneself, for someone who already left, and for the last administrator.
    """
    _lock_administrators()
    user = _locked(user)
    if not user.is_active:
        raise Conflict(_("This person has left already."))
    if actor.ref == user.public_id:
        raise Conflict(_("Nobody closes their own account: ask another administrator."))
    _keep_an_administrator(user, staying=False)
    before = sorted(user.roles)
    user.is_active, user.roles, user.left_at = False, [], now
    user.set_unusable_password()
    user.save(update_fields=["is_active", "roles", "left_at", "password"])
    for session in UserSession.objects.filter(user=user):
        session.end()
    record(
        Action.STAFF_DEACTIVATED,
        actor=actor,
        objects=refs(user),
        now=now,
        payload={"reason": reason, "before": {"roles": before}},
    )
    return user


@transaction.atomic
def secure_account(*, actor: Actor, user: User, now: datetime) -> User:
    """The account may be in another's hands: sessions end, only a second factor opens it again (A7).

    Whoever has none loses the password as well, so that the password alone no longer lets anybody set one up:
    the mail that says what happened then has a link to choose a new one.
    """
    user = _locked(user)
    if not user.is_active:
        return user
    sessions = list(UserSession.objects.filter(user=user))
    for session in sessions:
        session.end()
    user.second_factor_demanded = True
    user.save(update_fields=["second_factor_demanded"])
    number = {"number": len(sessions), "reason": "an answer was reported as not theirs"}
    record(Action.SESSION_ENDED, actor=actor, objects=refs(user), now=now, payload=number)
    if not has_second_factor(user):
        user.set_unusable_password()
        user.save(update_fields=["password"])
        record(
            Action.PASSWORD_CHANGED, actor=actor, objects=refs(user), now=now, payload={"status": "withdrawn"}
        )
    _enqueue_password_link("account_secured", user, now)
    return user


@transaction.atomic
def change_preferences(*, actor: Actor, user: User, now: datetime, **changes: Any) -> User:
    """Change what a person decides alone (PREFERENCES). The event names fields, not values."""
    if unknown := changes.keys() - PREFERENCES:
        raise ValueError(f"not a preference: {sorted(unknown)}")
    user = _locked(user)
    changed = sorted(name for name, value in changes.items() if getattr(user, name) != value)
    if not changed:
        return user
    for name in changed:
        setattr(user, name, changes[name])
    user.save(update_fields=changed)
    record(
        Action.STAFF_PROFILE_CHANGED,
        actor=actor,
        objects=refs(user),
        now=now,
        payload={"note": ", ".join(changed)},
    )
    return user


def _known_roles(roles: Iterable[str]) -> list[str]:
    wanted = set(roles)
    if not wanted or not wanted <= set(Role.values):
        raise Invalid(_("Choose at least one role."), field="roles")
    return [role for role in Role.values if role in wanted]


def _locked(user: User) -> User:
    return User.objects.select_for_update().get(pk=user.pk)


def _lock_administrators() -> None:
    # Two administrators who remove each other at once must not both succeed: both take these rows first.
    list(User.objects.select_for_update().filter(roles__contains=[Role.ADMIN]).order_by("pk"))


def _keep_an_administrator(user: User, *, staying: bool) -> None:
    others = User.objects.with_role(Role.ADMIN).exclude(pk=user.pk)
    if Role.ADMIN in user.roles and not staying and not others.exists():
        raise Conflict(_("This is the last administrator."))


def _enqueue_password_link(kind: str, user: User, now: datetime) -> None:
    outbox.enqueue(
        kind,
        recipient_ref=user.public_id,
        dedupe_key=f"{kind}:{user.public_id}:{now:%Y%m%d%H%M}",
        now=now,
    )


@transaction.atomic
def take_code(*, authenticator: Authenticator, code: str) -> bool:
    """Use up six digits of an authenticator app, and all that the app showed before; False: they are.

    django-allauth remembers a used code for thirty seconds, in the cache; with MFA_TOTP_TOLERANCE it is good
    for ninety. So the last step stands in the authenticator's row. The event is the sign-in's.
    """
    locked = Authenticator.objects.select_for_update().get(pk=authenticator.pk)
    secret = decrypt(locked.data["secret"])
    steps = (step for step in yield_hotp_counters_from_time() if _shown_at(secret, step) == code)
    step = max(steps, default=0)
    if step <= locked.data.get("last_step", 0):
        return False
    locked.data["last_step"] = step
    locked.save(update_fields=["data"])
    return True


def _shown_at(secret: str, step: int) -> str:
    return str(format_hotp_value(hotp_value(secret, step)))
