"""Blocked addresses: from them no key is answered, for a time (V3). In force within three seconds.

By hand, or by itself: an address of IPv4, or a /64 of IPv6, that sent so many false keys in a minute that it
was put off is blocked for FALSE_KEYS_BLOCK_MINUTES. One that uses a single wrong key again and again is only
put off.
"""

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.roles import Permission
from audit.actions import Action
from audit.services import record
from core.actors import SYSTEM, Actor
from core.addresses import parse_address, parse_network
from core.errors import Conflict, Invalid, NotAllowed, NotFound
from core.parsing import read_network
from verifier.callers.blocks import standing_blocks
from verifier.models import BlockedAddress

MAX_HOURS: Final = 24 * 30
# Whoever has one address of IPv6 has all of its /64.
_IPV6_PREFIX: Final = 64


@transaction.atomic
def block_address(
    *, actor: Actor, by: User, network: str, reason: str, hours: int, now: datetime
) -> BlockedAddress:
    """Answer no key from an address or a network for so many hours.

    Blocking again sets a new end. Raises NotAllowed; Invalid for what is no network or too large a one,
    without a reason, for hours out of 1 to 720, or for one block more than the verifier looks through.
    """
    _require_may_block(by)
    network = _canonical(network)
    if not reason.strip():
        raise Invalid(_("Say why."), field="reason")
    if not 1 <= hours <= MAX_HOURS:
        raise Invalid(_("A block lasts from 1 to %(most)d hours.") % {"most": MAX_HOURS}, field="hours")
    _require_room(network, now)
    return _block(actor, network, reason.strip(), now + timedelta(hours=hours), now, is_automatic=False)


@transaction.atomic
def block_by_itself(*, address: str, now: datetime) -> BlockedAddress | None:
    """Block whoever sent too many false keys from an address; None where that is done already, or off."""
    minutes, network = settings.FALSE_KEYS_BLOCK_MINUTES, _sender(address)
    if minutes < 1 or standing_blocks(now).filter(network=network).exists():
        return None
    actor = SYSTEM("verifier.block_address")
    until = now + timedelta(minutes=minutes)
    return _block(actor, network, "Too many false keys.", until, now, is_automatic=True)


@transaction.atomic
def lift_block(*, actor: Actor, by: User, number: int, now: datetime) -> BlockedAddress:
    """Answer keys from there again. Raises NotAllowed, NotFound, Conflict where it is over."""
    _require_may_block(by)
    block = BlockedAddress.objects.select_for_update().filter(pk=number).first()
    if block is None:
        raise NotFound(_("There is no such block."))
    if block.lifted_at is not None or block.until <= now:
        raise Conflict(_("The block of %(network)s is over.") % {"network": block.network})
    block.lifted_at = now
    block.save(update_fields=["lifted_at"])
    _tell(Action.ADDRESS_UNBLOCKED, actor, block, {}, now)
    return block


def _block(
    actor: Actor, network: str, reason: str, until: datetime, now: datetime, *, is_automatic: bool
) -> BlockedAddress:
    # What was there before goes aside, so that each block keeps its own reason and time.
    BlockedAddress.objects.filter(network=network, lifted_at=None).update(lifted_at=now)
    block = BlockedAddress.objects.create(
        network=network, reason=reason, is_automatic=is_automatic, blocked_at=now, until=until
    )
    _tell(Action.ADDRESS_BLOCKED, actor, block, {"reason": reason, "ends_at": until.isoformat()}, now)
    return block


def _tell(
    action: Action, actor: Actor, block: BlockedAddress, payload: dict[str, object], now: datetime
) -> None:
    facts = {**payload, "address": block.network}
    record(action, actor=actor, objects=[f"block:{block.pk}"], payload=facts, now=now)


def _require_room(network: str, now: datetime) -> None:
    others = standing_blocks(now).filter(is_automatic=False).exclude(network=network)
    if others.count() >= BlockedAddress.MOST:
        text = _("%(most)d blocks stand already, and no more are looked at. Lift one, or block a network.")
        raise Invalid(text % {"most": BlockedAddress.MOST}, field="network")


def _sender(address: str) -> str:
    sender = parse_address(address)
    return str(parse_network(str(sender) if sender.version == 4 else f"{sender}/{_IPV6_PREFIX}"))


def _canonical(network: str) -> str:
    try:
        return read_network(network)
    except ValidationError as error:
        raise Invalid(error.messages[0], field="network") from None


def _require_may_block(by: User) -> None:
    # It stops calls of every partner behind that address, as revoking stops those of a key.
    if not by.may(Permission.REVOKE_KEYS):
        raise NotAllowed(_("Your roles do not allow blocking addresses."))
