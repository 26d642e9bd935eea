"""Data for the team's pages."""

from allauth.mfa.models import Authenticator
from django.db.models import Exists, OuterRef, QuerySet

from accounts.access import SECOND_FACTORS
from accounts.models import User
from accounts.roles import MATRIX, Permission, Role
from core.searching import with_words


def staff_rows(*, query: str = "", role: str = "", state: str = "") -> QuerySet[User]:
    """Staff by number, with `has_mfa`. States: `` (everyone who is here), `left`, `all`."""
    factors = Authenticator.objects.filter(user=OuterRef("pk"), type__in=SECOND_FACTORS)
    rows = User.objects.annotate(has_mfa=Exists(factors)).order_by("public_id")
    if state != "all":
        rows = rows.filter(is_active=state != "left")
    if role in Role.values:
        rows = rows.filter(roles__contains=[role])
    return with_words(rows, query, texts=("name", "email", "department"))


def matrix_rows() -> list[tuple[Permission, list[bool]]]:
    """Each permission with a yes or no for each role, in the order of `Role`: straight from the matrix."""
    return [(permission, [permission in MATRIX[role] for role in Role]) for permission in Permission]
