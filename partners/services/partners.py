"""Registering and changing partners."""

from datetime import datetime

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from audit.actions import Action
from audit.services import record
from core.actors import Actor
from core.errors import Invalid
from core.ids import next_public_id, refs
from partners.access import require_may_edit
from partners.models import ENDED_KEY_STATES, Partner
from partners.services.changes import require_fresh, save_changes

PARTNER_FIELDS = ("kind", "name", "name_kana", "corporate_number", "website", "note", "is_active")
# A rights-holder's name is a person's name, and a note may hold anything.
SHOWN = frozenset({"kind", "corporate_number", "website", "is_active", "identity_checked_at"})
NUMBER_TAKEN = _("A partner with this corporate number is registered already.")


@transaction.atomic
def register_partner(
    *,
    actor: Actor,
    by: User,
    kind: str,
    name: str,
    name_kana: str = "",
    corporate_number: str = "",
    website: str = "",
    note: str = "",
    now: datetime,
) -> Partner:
    """Add a partner. NotAllowed; Invalid for an unknown kind or a corporate number that is taken."""
    require_may_edit(by)
    _check(kind, name, corporate_number)
    partner = Partner(
        public_id=next_public_id("PT"),
        kind=kind,
        name=name,
        name_kana=name_kana,
        corporate_number=corporate_number,
        website=website,
        note=note,
        created_at=now,
    )
    try:
        with transaction.atomic():
            partner.save(force_insert=True)
    except IntegrityError as error:  # two people registered the same company at once
        raise Invalid(NUMBER_TAKEN, field="corporate_number") from error
    record(
        Action.PARTNER_REGISTERED,
        actor=actor,
        objects=refs(partner),
        payload={"kind": kind},
        now=now,
    )
    return partner


@transaction.atomic
def change_partner(
    *,
    actor: Actor,
    by: User,
    partner: Partner,
    seen: str = "",
    kind: str,
    name: str,
    name_kana: str,
    corporate_number: str,
    website: str,
    note: str,
    is_active: bool,
    now: datetime,
) -> Partner:
    """Change a partner's facts. `seen` is the `fingerprint` of PARTNER_FIELDS that the form was drawn from.

    A new corporate number makes the identity check void: it was another company's. Raises NotAllowed,
    Conflict for a stale form, and Invalid where keys or requests depend on what would change.
    """
    require_may_edit(by)
    partner = Partner.objects.select_for_update().get(pk=partner.pk)
    require_fresh(partner, PARTNER_FIELDS, seen)
    _check(kind, name, corporate_number, partner)
    _check_dependants(partner, kind, is_active=is_active)
    changes: dict[str, object] = {
        "kind": kind,
        "name": name,
        "name_kana": name_kana,
        "corporate_number": corporate_number,
        "website": website,
        "note": note,
        "is_active": is_active,
    }
    if corporate_number != partner.corporate_number:
        changes["identity_checked_at"] = None
    save_changes(
        partner,
        changes,
        action=Action.PARTNER_CHANGED,
        actor=actor,
        objects=refs(partner),
        shown=SHOWN,
        now=now,
    )
    return partner


def _check_dependants(partner: Partner, kind: str, *, is_active: bool) -> None:
    if kind != partner.kind and (partner.keys.exists() or partner.requests.exists()):
        # The kind decides whose consent a key needs (A1): it can't change under keys that were approved.
        raise Invalid(_("The kind can't be changed any more: there are keys or requests."), field="kind")
    if partner.is_active and not is_active and partner.keys.exclude(status__in=ENDED_KEY_STATES).exists():
        raise Invalid(
            _("There are keys that still work. Revoke them before you end the partner."), field="is_active"
        )


def _check(kind: str, name: str, corporate_number: str, partner: Partner | None = None) -> None:
    if kind not in Partner.Kind.values:
        raise Invalid(_("Choose a kind."), field="kind")
    if not name.strip():
        raise Invalid(_("Write the partner's name."), field="name")
    others = Partner.objects.exclude(pk=partner.pk) if partner else Partner.objects.all()
    if corporate_number and others.filter(corporate_number=corporate_number).exists():
        raise Invalid(NUMBER_TAKEN, field="corporate_number")
