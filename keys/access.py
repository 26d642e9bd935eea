"""Who may see and act on keys."""

from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.roles import Permission
from core.errors import NotAllowed, NotFound
from keys.models import Key


def find_key(user: User, number: str) -> Key:
    """The key with this number, for someone who may see the registry. NotFound otherwise."""
    key = (
        Key.objects.select_related("partner", "workspace", "contract", "recipient", "owner", "plan")
        .filter(public_id=number)
        .first()
    )
    if key is None or not user.may(Permission.SEE_KEYS):
        raise NotFound(_("There is no such key."))
    return key


def require_may_suspend(user: User) -> None:
    """NotAllowed unless one of the person's roles suspends keys."""
    if not user.may(Permission.SUSPEND_KEYS):
        raise NotAllowed(_("Your roles do not allow suspending keys."))


def require_may_limit(user: User) -> None:
    """NotAllowed unless one of the person's roles limits workspaces."""
    if not user.may(Permission.LIMIT_WORKSPACES):
        raise NotAllowed(_("Your roles do not allow limiting a workspace."))


def require_may_grant(user: User) -> None:
    """NotAllowed unless one of the person's roles lets keys act in other workspaces."""
    if not user.may(Permission.GRANT_WORKSPACES):
        raise NotAllowed(_("Your roles do not allow granting another workspace."))


def require_may_revoke(user: User) -> None:
    """NotAllowed unless one of the person's roles revokes keys."""
    if not user.may(Permission.REVOKE_KEYS):
        raise NotAllowed(_("Your roles do not allow revoking keys."))


def require_may_redeliver(user: User) -> None:
    """NotAllowed unless one of the person's roles sends delivery links."""
    if not user.may(Permission.REDELIVER_KEYS):
        raise NotAllowed(_("Your roles do not allow sending a delivery link."))
