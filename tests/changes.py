"""Changes of keys as tests ask for them: by the services that do it in the product."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from django.utils import timezone

from accounts.models import User
from approvals.changes.selectors.changes import present_terms
from approvals.changes.services.changing import Wish
from approvals.models import KeyChange, Request
from approvals.requests.services.change_drafts import start_change
from approvals.requests.services.requests import submit_request
from core.actors import staff_actor
from keys.models import Key
from keys.terms.settings import digest_of_settings
from keys.terms.terms import office_minute
from tests.cast import Cast, decide
from tests.key_stories import reveal


def ask_change(
    key: Key,
    by: User,
    *,
    why: str = "They need another limit.",
    not_before: datetime | None = None,
    reactivates: bool = False,
    now: datetime | None = None,
    short_notice: str = "",
    **changes: Any,
) -> Request:
    """A request to change this key, submitted by `by`: its first step is open."""
    now, actor = now or timezone.now(), staff_actor(by)
    request = start_change(actor=actor, by=by, key=key, now=now)
    present = present_terms(Key.objects.get(pk=key.pk))
    return submit_request(
        actor=actor,
        by=by,
        request=request,
        version=request.version,
        terms=replace(present, **changes),
        wish=Wish(digest_of_settings(present), why, not_before, reactivates, short_notice),
        now=now,
    )


def live_key(cast: Cast, **changes: Any) -> tuple[Key, str]:
    """A key of the company that its recipient has, and the secret's text."""
    key = cast.key(**changes)
    _secret, text = reveal(key)
    return key, text


def changed(cast: Cast, key: Key, **changes: Any) -> KeyChange:
    """A tightening that a PM approved: in force, or waiting for its time."""
    request = ask_change(key, cast.requester, **changes)
    decide(request, cast.pm)
    key.refresh_from_db()
    return KeyChange.objects.get(request=request)


def retirement(cast: Cast, key: Key, ends_at: datetime, **changes: Any) -> KeyChange:
    """A planned retirement that a PM approved: one approval, because it only tightens."""
    return changed(cast, key, why="The API is replaced.", retires_at=office_minute(ends_at), **changes)
