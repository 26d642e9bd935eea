"""Bringing the catalogue of API products, scopes and plans in line with a file (R1, S2)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.services import record
from core.actors import Actor
from core.errors import Invalid
from keys.models import ApiProduct, Plan, Scope

PRODUCT_FIELDS = frozenset(
    {"name", "name_en", "description", "licence_level", "model_names", "feature_names", "is_active"}
)
SCOPE_FIELDS = frozenset({"name", "name_en", "is_write", "is_admin"})
PLAN_FIELDS = frozenset(
    {"name", "level", "position", "is_internal", "default_rpm", "default_rph", "default_burst"}
    | {"default_concurrency", "max_rpm", "max_rph", "default_rotation_days"}
)
CODE = re.compile(r"[a-z0-9][a-z0-9-]{0,38}")
Table = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Synced:
    """How many things were added and how many changed."""

    n_added: int
    n_changed: int


@transaction.atomic
def sync_catalogue(*, actor: Actor, products: Table, plans: Table, now: datetime) -> Synced:
    """Add and change API products, their scopes, and plans, to what the tables say; all of it or nothing.

    `products` and `plans` go by code; a product's `scopes` by the part of the code behind `<product>:`. What
    the tables do not name stays: keys may use it (`is_active = false` takes a product out of new requests).
    Raises Invalid, naming the place, for an unknown field or a value that the database would not take.
    """
    counts = [0, 0]
    for code, values in products.items():
        scopes = values.get("scopes", {})
        product, state = _sync(ApiProduct, code, _without_scopes(values), PRODUCT_FIELDS)
        states = [
            _sync(Scope, f"{code}:{what}", fields, SCOPE_FIELDS, product=product)[1]
            for what, fields in scopes.items()
        ]
        _count_and_tell(counts, actor, f"product:{code}", [state, *states], now)
    for code, values in plans.items():
        _plan, state = _sync(Plan, code, values, PLAN_FIELDS)
        _count_and_tell(counts, actor, f"plan:{code}", [state], now)
    return Synced(n_added=counts[0], n_changed=counts[1])


def _without_scopes(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != "scopes"}


def _sync(
    model: Any, code: str, values: Mapping[str, Any], allowed: frozenset[str], **fixed: Any
) -> tuple[Any, str]:
    """`(row, "added" | "changed" | "")`."""
    unknown = sorted(values.keys() - allowed)
    if unknown:
        raise Invalid(format_lazy(_("{place}: unknown field {field}."), place=code, field=unknown[0]))
    if not CODE.fullmatch(code.rpartition(":")[2]):
        raise Invalid(format_lazy(_("{place}: a code has small letters, digits and hyphens."), place=code))
    row = model.objects.select_for_update().filter(code=code).first()
    state = "" if row else "added"
    row = row or model(code=code)
    changed = [name for name, value in {**values, **fixed}.items() if getattr(row, name, None) != value]
    for name in changed:
        setattr(row, name, {**values, **fixed}[name])
    try:
        row.full_clean()
    except ValidationError as error:
        text = "; ".join(f"{field}: {' '.join(found)}" for field, found in error.message_dict.items())
        raise Invalid(format_lazy(_("{place}: {problem}"), place=code, problem=text)) from error
    if state:
        row.save(force_insert=True)
    elif changed:
        row.save(update_fields=changed)
        state = "changed"
    return row, state


def _count_and_tell(counts: list[int], actor: Actor, name: str, states: list[str], now: datetime) -> None:
    if not any(states):
        return
    added = states[0] == "added"
    counts[0 if added else 1] += 1
    if name.startswith("plan:"):
        action = Action.PLAN_CHANGED
    else:
        action = Action.PRODUCT_ADDED if added else Action.PRODUCT_CHANGED
    record(action, actor=actor, objects=[name], now=now)
