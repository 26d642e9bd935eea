"""What a change changed, and whether the form that asks for it still shows what is saved."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db.models import Model
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.services import record
from core.actors import Actor
from core.errors import Conflict


def fingerprint(row: Model, fields: Iterable[str]) -> str:
    """What the row says now, as 32 hex digits: a form carries it and so knows whether it is stale."""
    state = json.dumps([[name, getattr(row, name)] for name in fields], default=str)
    return hashlib.sha256(state.encode()).hexdigest()[:32]


def require_fresh(row: Model, fields: Iterable[str], seen: str) -> None:
    """Raise Conflict when the locked row is no longer what the form showed. `""` asks for nothing."""
    if seen and seen != fingerprint(row, fields):
        raise Conflict(_("Somebody else changed this while you were writing. This is how it stands now."))


def save_changes(
    row: Model,
    changes: Mapping[str, Any],
    *,
    action: Action,
    actor: Actor,
    objects: Iterable[str],
    shown: frozenset[str],
    now: datetime,
) -> bool:
    """Write the fields that differ and their event; False when nothing differs, and then there is no event.

    The event names all changed fields, but holds old and new values only of those in `shown`: a name or an
    address would stay in the log for ever (L4).
    """
    changed = [name for name, value in changes.items() if getattr(row, name) != value]
    if not changed:
        return False
    told = [name for name in changed if name in shown]
    before = {name: getattr(row, name) for name in told}
    for name in changed:
        setattr(row, name, changes[name])
    row.save(update_fields=changed)
    payload: dict[str, Any] = {"fields": sorted(changed)}
    if told:
        payload |= {"before": before, "after": {name: changes[name] for name in told}}
    record(action, actor=actor, objects=objects, payload=payload, now=now)
    return True
