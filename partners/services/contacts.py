"""People at a partner: added and changed. Their names and addresses stay out of the audit log (L4)."""

from collections.abc import Sequence
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from audit.actions import Action
from audit.services import record
from core.actors import Actor
from core.errors import Conflict, Invalid
from core.ids import next_public_id, refs
from partners.access import require_may_edit
from partners.models import Contact, Partner
from partners.services.changes import require_fresh, save_changes

CONTACT_FIELDS = ("name", "title", "email", "phone", "language", "purposes", "is_active")
SHOWN = frozenset({"purposes", "language", "is_active"})


@transaction.atomic
def add_contact(
    *,
    actor: Actor,
    by: User,
    partner: Partner,
    name: str,
    email: str,
    purposes: Sequence[str],
    title: str = "",
    phone: str = "",
    language: str = "ja",
    now: datetime,
) -> Contact:
    """Add a person. NotAllowed; Invalid for an address that an active contact of the partner has already."""
    require_may_edit(by)
    # The partner's lock lets two people who add the same address wait for each other.
    partner = Partner.objects.select_for_update().get(pk=partner.pk)
    if not partner.is_active:
        raise Conflict(_("This partner has ended."))
    _check(partner, email, purposes, language)
    contact = Contact.objects.create(
        public_id=next_public_id("CO"),
        partner=partner,
        name=name,
        title=title,
        email=email,
        phone=phone,
        language=language,
        purposes=_in_order(purposes),
    )
    record(
        Action.CONTACT_ADDED,
        actor=actor,
        objects=refs(contact, partner),
        payload={"purposes": contact.purposes},
        now=now,
    )
    return contact


@transaction.atomic
def change_contact(
    *,
    actor: Actor,
    by: User,
    contact: Contact,
    seen: str = "",
    name: str,
    email: str,
    purposes: Sequence[str],
    title: str,
    phone: str,
    language: str,
    is_active: bool,
    now: datetime,
) -> Contact:
    """Change a person's facts. NotAllowed, Conflict for a stale form, Invalid as in `add_contact`.

    Links that are under way go to the address as it is when they are sent.
    """
    require_may_edit(by)
    partner = Partner.objects.select_for_update().get(pk=contact.partner_id)
    contact = Contact.objects.select_for_update().get(pk=contact.pk)
    require_fresh(contact, CONTACT_FIELDS, seen)
    _check(partner, email, purposes, language, contact if is_active else None, active=is_active)
    changes = {
        "name": name,
        "title": title,
        "email": email,
        "phone": phone,
        "language": language,
        "purposes": _in_order(purposes),
        "is_active": is_active,
    }
    save_changes(
        contact,
        changes,
        action=Action.CONTACT_CHANGED,
        actor=actor,
        objects=refs(contact, partner),
        shown=SHOWN,
        now=now,
    )
    return contact


def _check(
    partner: Partner,
    email: str,
    purposes: Sequence[str],
    language: str,
    contact: Contact | None = None,
    *,
    active: bool = True,
) -> None:
    if not purposes or not set(purposes) <= set(Contact.Purpose.values):
        raise Invalid(_("Choose what the person is for."), field="purposes")
    if Contact.Purpose.CONSENT in purposes and not partner.needs_consent:
        raise Invalid(_("Only a rights-holder's contact gives consent."), field="purposes")
    if language not in dict(settings.LANGUAGES):
        raise Invalid(_("Choose a language."), field="language")
    others = partner.contacts.filter(is_active=True, email__iexact=email)
    if contact is not None:
        others = others.exclude(pk=contact.pk)
    if active and others.exists():
        raise Invalid(_("Another contact of this partner has this address."), field="email")


def _in_order(purposes: Sequence[str]) -> list[str]:
    return [purpose for purpose in Contact.Purpose.values if purpose in purposes]
