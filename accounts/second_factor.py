"""When a second factor counts as given a moment ago: one rule for pages and for services (S1, A3)."""

from datetime import datetime

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from core.errors import NotAllowed


class SecondFactorNeeded(NotAllowed):
    """The act wants the second factor again; the view leads there and comes back (A3)."""


def is_recent(proved_at: datetime | None, now: datetime) -> bool:
    """Whether a second factor was proved within SECOND_FACTOR_MAX_AGE; None: never in this session."""
    return proved_at is not None and proved_at >= now - settings.SECOND_FACTOR_MAX_AGE


def require_recent(proved_at: datetime | None, *, now: datetime, why: str | Promise | None = None) -> None:
    """Raise SecondFactorNeeded, with `why`, unless the person proved a second factor a moment ago."""
    if not is_recent(proved_at, now):
        raise SecondFactorNeeded(why or _("This asks for your second factor again."))
