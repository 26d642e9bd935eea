"""Staff: the signed-in people and their roles (S1, S2)."""

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from accounts.roles import SECOND_FACTOR_ROLES, Permission, Role, may


class UserManager(BaseUserManager["User"]):
    """Makes users by address; roles are given by `accounts.services` only."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """One member of staff. Without a password nobody can sign in until one is set."""
        user: User = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def with_role(self, *roles: str) -> "models.QuerySet[User]":
        """Active people who have any of these roles, by number."""
        return self.filter(is_active=True, roles__overlap=[str(role) for role in roles]).order_by("public_id")


class User(AbstractBaseUser):
    """A member of staff. `public_id` stands for the person in the audit log."""

    public_id = models.CharField(max_length=12, unique=True)
    email = models.EmailField(_("e-mail address"), max_length=254, unique=True)
    name = models.CharField(_("name"), max_length=120)
    department = models.CharField(_("department"), max_length=120, blank=True)
    roles = ArrayField(models.CharField(max_length=20, choices=Role.choices), default=list, blank=True)
    language = models.CharField(_("language"), max_length=5, default="ja")
    time_zone = models.CharField(_("time zone"), max_length=60, default="Asia/Tokyo")
    is_active = models.BooleanField(default=True)
    joined_at = models.DateTimeField(auto_now_add=True)
    left_at = models.DateTimeField(null=True, blank=True)
    # Somebody else may have been at this account: from then on with a second factor, whatever the roles.
    second_factor_demanded = models.BooleanField(default=False)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name"]
    objects: ClassVar[UserManager] = UserManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("email"), name="accounts_user_email_once"),
            models.CheckConstraint(
                condition=models.Q(roles__contained_by=Role.values), name="accounts_user_roles_known"
            ),
            # People who left lose every role at once (S1).
            models.CheckConstraint(
                condition=models.Q(is_active=True) | models.Q(roles=[]), name="accounts_user_left_has_no_role"
            ),
        ]
        indexes = [GinIndex(fields=["roles"], name="accounts_user_roles")]

    def __str__(self) -> str:
        return self.name

    def has_role(self, role: str) -> bool:
        """Whether this person has the role now."""
        return self.is_active and role in self.roles

    def may(self, permission: str) -> bool:
        """Whether this person has the permission (templates: `user.may`; views: `accounts.access`)."""
        return may(self, Permission(permission))

    @property
    def is_invited(self) -> bool:
        """Whether this person has an account but never set a password."""
        return self.is_active and self.last_login is None and not self.has_usable_password()

    @property
    def state(self) -> str:
        """`active`, `invited` or `left`: the badge's state."""
        if not self.is_active:
            return "left"
        return "invited" if self.is_invited else "active"

    @property
    def needs_second_factor(self) -> bool:
        """Whether one of the person's roles demands MFA (S1), or what happened to the account does (A7)."""
        return self.second_factor_demanded or bool(SECOND_FACTOR_ROLES.intersection(self.roles))
