"""The mails about keys: what each is filled with. None ever holds a key; one holds the link to collect it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise, lazy
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from core import wording
from core.links import token_of
from keys.models import ApiProduct, Delivery, Environment, Key, WorkspaceGrant
from keys.selectors.conditions import last_day
from keys.services.delivery import PURPOSE
from keys.terms import office_day
from notifications.models import Message
from notifications.registry import Builder, Mail, RecipientGoneError
from partners.models import Contact

Fact = tuple[str | Promise, Any]

# Worded when the mail is rendered: only then is it known in whose language.
when_text = lazy(wording.when_text, str)
date_text = lazy(wording.date_text, str)
money_text = lazy(wording.money_text, str)


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a mail goes to: a member of staff, or a partner's contact, who has no account."""

    address: str
    name: str
    language: str
    is_staff: bool


def recipient_of(ref: str) -> Recipient:
    """The person behind `ST-0001` or `CO-0001`. Raises RecipientGoneError for people who left."""
    person: User | Contact | None
    if ref.startswith("ST-"):
        person = User.objects.filter(public_id=ref, is_active=True).first()
    else:
        person = Contact.objects.filter(public_id=ref, is_active=True).first()
    if person is None:
        raise RecipientGoneError
    return Recipient(person.email, person.name, person.language, is_staff=isinstance(person, User))


def mail_to(message: Message, context: Mapping[str, Any]) -> Mail:
    """The mail to the message's recipient. `is_staff` is added: only staff can open the portal."""
    person = recipient_of(message.recipient_ref)
    return Mail(person.address, person.name, person.language, {**context, "is_staff": person.is_staff})


def page_url(name: str, *args: str) -> str:
    """The whole address of a page of the portal, by its URL name."""
    return f"{settings.PORTAL_URL}{reverse(name, args=args)}"


def product_names(products: QuerySet[ApiProduct]) -> str:
    """The names of API products in the reader's language, in a row."""
    rows = list(products)

    def text() -> str:
        english = not (get_language() or "").startswith("ja")
        return ", ".join((row.name_en if english else "") or row.name for row in rows)

    return lazy(text, str)()


def key_facts(key: Key, *more: Fact) -> list[Fact]:
    """The lines that tell which key a mail is about."""
    return [
        (_("Key"), f"{key.public_id} {key.name}"),
        (_("Partner"), key.partner.name),
        (_("API products"), product_names(key.products.all())),
        (_("Environment"), Environment(key.environment).label),
        *more,
    ]


def find_key(message: Message) -> Key:
    """The key that a mail is about, with its people."""
    return Key.objects.select_related("partner", "recipient", "owner", "replacement").get(
        public_id=message.context["key"]
    )


def key_mail(message: Message, key: Key, *facts: Fact, **context: Any) -> Mail:
    """A mail about a key, with a link to its page for staff."""
    is_staff = message.recipient_ref.startswith("ST-")
    return mail_to(
        message,
        {
            "key": key.public_id,
            "name": key.name,
            "partner": key.partner.name,
            "recipient": key.recipient.name,
            "url": page_url("keys:key-detail", key.public_id) if is_staff else "",
            "facts": key_facts(key, *facts),
            **context,
        },
    )


def delivery_link(message: Message) -> Mail | None:
    """To the recipient: the link that shows the key exactly once (K3)."""
    delivery = Delivery.objects.select_related("key__partner", "recipient").get(
        uid=message.context["delivery"]
    )
    if delivery.state != Delivery.State.WAITING or delivery.expires_at <= timezone.now():
        return None
    key = delivery.key
    expiry = (_("Last day of the key"), date_text(last_day(key)))
    ends = when_text(delivery.expires_at)
    return mail_to(
        message,
        {
            "key": key.public_id,
            "name": key.name,
            "partner": key.partner.name,
            "url": f"{settings.PORTAL_URL}/collect/{token_of(bytes(delivery.nonce), purpose=PURPOSE)}",
            "link_ends": ends,
            "facts": key_facts(key, expiry),
        },
    )


def delivery_expired(message: Message) -> Mail | None:
    """To the owner: nobody collected the key."""
    key = find_key(message)
    return key_mail(message, key, (_("Status"), Key.Status(key.status).label))


def key_revealed(message: Message) -> Mail | None:
    """To the owner: the key was collected."""
    delivery = Delivery.objects.get(uid=message.context["delivery"])
    if delivery.revealed_at is None:
        return None
    return key_mail(message, find_key(message), collected=when_text(delivery.revealed_at))


def key_revoked(message: Message) -> Mail | None:
    """To recipient and owner: the key has ended. The reason's category only, no notes (K6)."""
    key = find_key(message)
    if key.status != Key.Status.REVOKED or key.ended_at is None:
        return None
    reason = (_("Reason"), Key.RevokeReason(key.revoke_reason).label)
    return key_mail(message, key, reason, at=when_text(key.ended_at))


def key_suspended(message: Message) -> Mail | None:
    """To recipient and owner: the key is stopped for now. Not sent when it runs again or has ended."""
    key = find_key(message)
    if key.status != Key.Status.SUSPENDED or key.suspended_at is None:
        return None
    # Why it is held is ours to know: the partner hears that it is stopped.
    why = [(_("Reason"), hold) for hold in key.holds] if message.recipient_ref.startswith("ST-") else []
    return key_mail(message, key, *why, at=when_text(key.suspended_at))


def key_reactivated(message: Message) -> Mail | None:
    """To recipient and owner: the key works again. Not sent when it was stopped once more."""
    key = find_key(message)
    if key.status not in {Key.Status.ACTIVE, Key.Status.RETIRING, Key.Status.PENDING}:
        return None
    return key_mail(message, key, at=when_text(key.changed_at))


def key_expiring(message: Message) -> Mail | None:
    """To recipient and owner: the key will end. `days` are counted now, not when the mail was put in."""
    key = find_key(message)
    days = _days_until(last_day(key), timezone.now())
    if key.has_ended or days < 0:
        return None
    return key_mail(message, key, last_day=date_text(last_day(key)), days=days)


def key_expired(message: Message) -> Mail | None:
    """To recipient and owner: the key has reached its end."""
    key = find_key(message)
    if key.status != Key.Status.EXPIRED:
        return None
    return key_mail(message, key, last_day=date_text(last_day(key)))


def rotation_due(message: Message) -> Mail | None:
    """To recipient and owner: the secret is to be replaced, soon or since long (K7)."""
    key = find_key(message)
    if key.has_ended or key.rotation_due_on is None:
        return None
    days = _days_until(key.rotation_due_on, timezone.now())
    return key_mail(
        message,
        key,
        (_("Replace by"), date_text(key.rotation_due_on)),
        due=date_text(key.rotation_due_on),
        days=days,
        days_late=max(-days, 0),
    )


def workspace_granted(message: Message) -> Mail | None:
    """To PMs and owners: a key may act in another workspace. Not sent once that has ended."""
    grant = _find_grant(message)
    if not grant.is_in_force(timezone.now()):
        return None
    return _grant_mail(message, grant, (_("Granted by"), grant.granted_by.name), grant.reason, grant.ends_at)


def workspace_grant_ended(message: Message) -> Mail | None:
    """To PMs and owners: that was taken back, or its last day is over."""
    grant = _find_grant(message)
    if grant.taken_back_by is not None and grant.taken_back_at is not None:
        by = (_("Taken back by"), grant.taken_back_by.name)
        return _grant_mail(message, grant, by, grant.end_reason, grant.taken_back_at)
    if grant.end_told_at is None:
        return None
    return _grant_mail(message, grant, (_("Granted by"), grant.granted_by.name), grant.reason, grant.ends_at)


def _find_grant(message: Message) -> WorkspaceGrant:
    related = ("key__partner", "key__recipient", "workspace", "granted_by", "taken_back_by")
    return WorkspaceGrant.objects.select_related(*related).get(uid=message.context["grant"])


def _grant_mail(message: Message, grant: WorkspaceGrant, by: Fact, reason: str, at: datetime) -> Mail:
    where = f"{grant.workspace.name} ({grant.workspace.code})"
    return key_mail(
        message,
        grant.key,
        by,
        (_("Reason"), reason),
        workspace=where,
        ends=when_text(at),
        taken_back=grant.taken_back_at is not None,
    )


def _days_until(day: date, now: datetime) -> int:
    return (day - office_day(now)).days


BUILDERS: dict[str, tuple[Builder, ...]] = {
    "keys/delivery": (delivery_link, delivery_expired, key_revealed),
    "keys/life": (key_revoked, key_suspended, key_reactivated, key_expiring, key_expired, rotation_due),
    "keys/workspaces": (workspace_granted, workspace_grant_ended),
}
