"""The way of a secret to its recipient: a link, one reveal, a confirmation (K3)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from audit.actions import Action
from audit.services import record
from core.actors import SYSTEM, Actor
from core.errors import Conflict, NotFound
from core.ids import refs
from core.links import hash_of, hashes_of_token, new_nonce
from keys.access import require_may_redeliver
from keys.models import Delivery, Key, Secret
from keys.rights import lifecycle
from keys.secrets import form as secret_format
from keys.secrets.hashing import current_version, digest, hash_digest
from keys.status.saving import save_key
from keys.status.services import end_key
from keys.terms.terms import office_day
from keys.use.selectors.limits import use_now
from notifications.services import enqueue

PURPOSE = "delivery"
# A link may ask for a new one so often for one key; staff may go on for a while after that.
MAX_ATTEMPTS = 5
MAX_ATTEMPTS_OF_STAFF = 20


@dataclass(frozen=True, slots=True)
class Reveal:
    """The one moment at which a secret's text leaves the server. `text` must not be kept or logged."""

    text: str
    delivery: Delivery

    def __repr__(self) -> str:
        return f"Reveal(delivery={self.delivery.uid})"


def send_delivery(*, actor: Actor, key: Key, now: datetime, attempt: int = 1) -> Delivery:
    """Make the recipient's link and put its mail into the outbox. Inside the caller's transaction."""
    nonce = new_nonce()
    delivery = Delivery.objects.create(
        key=key,
        recipient=key.recipient,
        nonce=nonce,
        token_hash=hash_of(nonce, purpose=PURPOSE),
        attempt=attempt,
        created_at=now,
        expires_at=now + settings.DELIVERY_LIFETIME,
    )
    record(
        Action.DELIVERY_SENT,
        actor=actor,
        objects=refs(key, key.recipient),
        payload={"recipient": key.recipient.public_id, "expires_at": delivery.expires_at},
        now=now,
    )
    enqueue(
        "delivery_link",
        recipient_ref=key.recipient.public_id,
        context={"delivery": str(delivery.uid)},
        dedupe_key=f"delivery_link:{delivery.uid}",
        objects=refs(key),
        now=now,
    )
    return delivery


def find_delivery(token: str) -> Delivery:
    """The delivery that a link's token stands for, whatever its state. NotFound for a foreign token."""
    delivery = (
        Delivery.objects.select_related("key__partner", "key__workspace", "recipient", "secret")
        .filter(token_hash__in=hashes_of_token(token))
        .first()
    )
    if delivery is None:
        raise NotFound(_("This link is not known here."))
    return delivery


@transaction.atomic
def reveal_secret(*, actor: Actor, token: str, now: datetime) -> Reveal:
    """Make the secret, activate the key, and return the secret's text: exactly once for a link (K1, K3).

    The secret does not exist before this moment, so no copy can leak while the link travels. Raises Conflict
    when the link was used, replaced or has expired, or the key was stopped meanwhile.
    """
    found = find_delivery(token)
    key = Key.objects.select_for_update().get(pk=found.key_id)
    delivery = Delivery.objects.select_for_update().get(pk=found.pk)
    _require_open(delivery, key, now)
    fresh = secret_format.generate(settings.KEY_BRAND, key.environment, family=key.family)
    value = digest(fresh.text)
    secret = Secret.objects.create(
        key=key,
        public_id=fresh.key_id,
        digest=value,
        pepper_version=current_version(),
        argon2_hash=hash_digest(value),
        hint=fresh.text[-4:],
        created_at=now,
    )
    delivery.state = Delivery.State.REVEALED
    delivery.secret = secret
    delivery.revealed_at = now
    delivery.save(update_fields=["state", "secret", "revealed_at"])
    _activate(key, now)
    objects = refs(key, delivery.recipient)
    seen = {"key_id": secret.public_id, "recipient": delivery.recipient.public_id}
    record(Action.SECRET_REVEALED, actor=actor, objects=objects, payload=seen, now=now)
    record(Action.KEY_ACTIVATED, actor=actor, objects=objects, payload={"key_id": secret.public_id}, now=now)
    enqueue(
        "key_revealed",
        recipient_ref=key.owner.public_id,
        context={"key": key.public_id, "delivery": str(delivery.uid)},
        dedupe_key=f"key_revealed:{delivery.uid}",
        objects=refs(key),
        now=now,
    )
    return Reveal(text=fresh.text, delivery=delivery)


def _require_open(delivery: Delivery, key: Key, now: datetime) -> None:
    if delivery.state != Delivery.State.WAITING:
        raise Conflict(_("This link was used already. A key is shown only once."))
    if delivery.expires_at <= now:
        raise Conflict(_("This link has expired."))
    if key.status != Key.Status.PENDING or key.expires_at <= now:
        raise Conflict(_("This key is not waiting for delivery any more."))
    # The person left the partner, and the mail with the link may have stayed.
    if not delivery.recipient.is_active:
        raise Conflict(_("This link is for somebody who does not receive keys any more."))


def _activate(key: Key, now: datetime) -> None:
    lifecycle.require(key, Key.Status.ACTIVE)
    key.status = Key.Status.ACTIVE
    key.activated_at = now
    key.rotation_due_on = office_day(now) + timedelta(days=key.rotation_days)
    save_key(key, "status", "activated_at", "rotation_due_on", now=now)


@transaction.atomic
def confirm_delivery(*, actor: Actor, token: str, now: datetime) -> Delivery:
    """The recipient says that the key is stored in a secret store. Saying it twice is fine."""
    delivery = Delivery.objects.select_for_update().get(pk=find_delivery(token).pk)
    if delivery.state == Delivery.State.CONFIRMED:
        return delivery
    if delivery.state != Delivery.State.REVEALED:
        raise Conflict(_("Reveal the key first."))
    delivery.state = Delivery.State.CONFIRMED
    delivery.confirmed_at = now
    delivery.save(update_fields=["state", "confirmed_at"])
    record(
        Action.DELIVERY_CONFIRMED,
        actor=actor,
        objects=refs(delivery.key, delivery.recipient),
        payload={"recipient": delivery.recipient.public_id},
        now=now,
    )
    return delivery


@transaction.atomic
def renew_delivery(
    *, actor: Actor, key: Key, now: datetime, by: User | None = None, via: Delivery | None = None
) -> Delivery:
    """Send a new link to the registered address; what the old one gave is worthless from now on (K3).

    Asked for by staff (`by`) or by whoever holds a link of this key (`via`). Serves "the link expired" and "I
    never saw the key". A secret that was revealed is revoked if it was never used; one that was used is not
    touched: then the recipient has it. Raises NotAllowed, Conflict (too many links, key ended or in use).
    """
    if by is not None:
        require_may_redeliver(by)
    key = Key.objects.select_for_update().get(pk=key.pk)
    last = Delivery.objects.select_for_update().filter(key=key).first()
    if last is None or not _can_be_delivered(key, now):
        raise Conflict(_("This key can't be delivered now."))
    if last.attempt >= (MAX_ATTEMPTS_OF_STAFF if via is None else MAX_ATTEMPTS):
        raise Conflict(_("Too many links were sent for this key. Ask its owner to help."))
    if via is not None:
        _require_own_link(via, last)
    if last.secret is not None:
        _withdraw_secret(actor, key, last.secret, now)
    elif key.status != Key.Status.PENDING:
        raise Conflict(_("This key is not waiting for delivery any more."))
    last.state = Delivery.State.REPLACED
    last.save(update_fields=["state"])
    record(
        Action.DELIVERY_RENEWED,
        actor=actor,
        objects=refs(key, key.recipient),
        payload={"recipient": key.recipient.public_id, "attempt": last.attempt + 1},
        now=now,
    )
    return send_delivery(actor=actor, key=key, now=now, attempt=last.attempt + 1)


def _can_be_delivered(key: Key, now: datetime) -> bool:
    stopped = key.has_ended or key.status == Key.Status.SUSPENDED or key.expires_at <= now
    return not stopped and key.recipient.is_active


def _require_own_link(via: Delivery, last: Delivery) -> None:
    """A forwarded or older link can ask for a new mail, but can't withdraw what another link revealed."""
    if last.secret is not None and via.pk != last.pk:
        raise Conflict(_("The key was revealed by a newer link."))
    if last.state == Delivery.State.CONFIRMED:
        raise Conflict(_("It was confirmed that the key is stored. Ask its owner to help."))


def _withdraw_secret(actor: Actor, key: Key, secret: Secret, now: datetime) -> None:
    secret = Secret.objects.select_for_update().get(pk=secret.pk)
    # The database hears of a use some seconds late; the hot store counted it at once.
    counted = use_now([key], now=now).get(key.pk)
    if secret.first_used_at or secret.last_used_at or key.last_used_at or (counted and counted.in_hour):
        raise Conflict(_("This key has been used already, so it was received. Ask its owner to rotate it."))
    if secret.status != Secret.Status.LIVE:
        raise Conflict(_("This key can't be delivered now."))
    if counted is None:
        raise Conflict(_("We can't tell now whether the key is in use. Try again in a minute."))
    secret.status = Secret.Status.REVOKED
    secret.ends_at = now
    secret.save(update_fields=["status", "ends_at"])
    lifecycle.require(key, Key.Status.PENDING)
    key.status = Key.Status.PENDING
    key.activated_at = None
    key.rotation_due_on = None
    save_key(key, "status", "activated_at", "rotation_due_on", now=now)
    record(
        Action.SECRET_REVOKED,
        actor=actor,
        objects=refs(key),
        payload={"key_id": secret.public_id, "reason": "never seen by its recipient"},
        now=now,
    )


@transaction.atomic
def expire_deliveries(*, now: datetime, limit: int = 500) -> int:
    """End links that nobody used in time, and their keys as unclaimed (K3). Safe to run twice at once."""
    actor = SYSTEM("keys.revoke_unclaimed")
    late = Delivery.objects.filter(state=Delivery.State.WAITING, expires_at__lte=now)
    # Keys first, as everywhere: a reveal that runs now has the key's lock, and is left to finish.
    keys = {
        key.pk: key
        for key in Key.objects.select_for_update(skip_locked=True)
        .filter(pk__in=late.values("key"))
        .order_by("id")[:limit]
    }
    due = list(late.select_for_update().filter(key__in=keys).select_related("recipient").order_by("id"))
    for delivery in due:
        key = keys[delivery.key_id]
        delivery.state = Delivery.State.EXPIRED
        delivery.save(update_fields=["state"])
        record(
            Action.DELIVERY_EXPIRED,
            actor=actor,
            objects=refs(key, delivery.recipient),
            payload={"recipient": delivery.recipient.public_id},
            now=now,
        )
        enqueue(
            "delivery_expired",
            recipient_ref=key.owner.public_id,
            context={"key": key.public_id, "delivery": str(delivery.uid)},
            dedupe_key=f"delivery_expired:{delivery.uid}",
            objects=refs(key),
            now=now,
        )
        if key.status == Key.Status.PENDING:
            end_key(actor=actor, key=key, reason=Key.RevokeReason.UNCLAIMED, note="", now=now)
    return len(due)
