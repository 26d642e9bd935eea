"""Gateways and their credentials: adding, changing, rotating, revoking, disabling (V8)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.roles import Permission
from audit.actions import Action
from audit.services import record
from core.actors import Actor
from core.errors import Conflict, NotAllowed
from core.ids import next_public_id, refs
from keys.secrets import form as secret_format
from keys.secrets import hashing
from verifier.models import Gateway, GatewayCredential

# After a rotation both credentials work for a day, so that a gateway can be changed without an outage.
OVERLAP: Final = timedelta(days=1)
CREDENTIAL_ENVIRONMENT: Final = "live"


@dataclass(frozen=True, slots=True)
class Issued:
    """A credential just made: the only moment at which its text exists here."""

    gateway: Gateway
    text: str = field(repr=False)


@transaction.atomic
def add_gateway(
    *,
    actor: Actor,
    by: User,
    name: str,
    mode: str,
    fail_policy: str,
    ip_ranges: Sequence[str],
    reports_ends: bool,
    now: datetime,
) -> Issued:
    """Add a gateway with its first credential. Raises NotAllowed."""
    _require_may_manage(by)
    gateway = Gateway.objects.create(
        public_id=next_public_id("GW"),
        name=name,
        mode=mode,
        fail_policy=fail_policy,
        ip_ranges=list(ip_ranges),
        reports_ends=reports_ends,
        created_at=now,
    )
    _tell(Action.GATEWAY_ADDED, actor, gateway, {"mode": mode, "after": _settings_of(gateway)}, now)
    return Issued(gateway, _issue_credential(actor, gateway, now))


@transaction.atomic
def change_gateway(
    *,
    actor: Actor,
    by: User,
    gateway: Gateway,
    name: str,
    mode: str,
    fail_policy: str,
    ip_ranges: Sequence[str],
    reports_ends: bool,
    now: datetime,
) -> Gateway:
    """Change how a gateway is answered and from where it may ask; in force within seconds. NotAllowed."""
    _require_may_manage(by)
    gateway = Gateway.objects.select_for_update().get(pk=gateway.pk)
    before = _settings_of(gateway)
    gateway.name, gateway.mode, gateway.fail_policy = name, mode, fail_policy
    gateway.ip_ranges, gateway.reports_ends = list(ip_ranges), reports_ends
    after = _settings_of(gateway)
    if before == after:
        return gateway
    gateway.save(update_fields=["name", "mode", "fail_policy", "ip_ranges", "reports_ends"])
    _tell(Action.GATEWAY_CHANGED, actor, gateway, {"before": before, "after": after}, now)
    return gateway


@transaction.atomic
def rotate_credential(*, actor: Actor, by: User, gateway: Gateway, now: datetime) -> Issued:
    """Make a successor; what worked before works for one day more. NotAllowed; Conflict when disabled."""
    _require_may_manage(by)
    gateway = _locked_active(gateway)
    live = gateway.credentials.filter(revoked_at=None)
    live.filter(Q(expires_at=None) | Q(expires_at__gt=now + OVERLAP)).update(expires_at=now + OVERLAP)
    return Issued(gateway, _issue_credential(actor, gateway, now))


@transaction.atomic
def revoke_credential(
    *, actor: Actor, by: User, gateway: Gateway, credential_id: str, now: datetime
) -> GatewayCredential:
    """End a credential at once. Raises NotAllowed, and Conflict when it has ended already or is none."""
    _require_may_manage(by)
    gateway = Gateway.objects.select_for_update().get(pk=gateway.pk)
    credential = gateway.credentials.filter(credential_id=credential_id, revoked_at=None).first()
    if credential is None:
        raise Conflict(_("This credential does not work any more."))
    credential.revoked_at = now
    credential.save(update_fields=["revoked_at"])
    _tell(Action.GATEWAY_CREDENTIAL_REVOKED, actor, gateway, {"credential": credential_id}, now)
    return credential


@transaction.atomic
def disable_gateway(*, actor: Actor, by: User, gateway: Gateway, now: datetime) -> Gateway:
    """Refuse a gateway from now on, with every credential it has. NotAllowed, Conflict."""
    _require_may_manage(by)
    gateway = _locked_active(gateway)
    gateway.is_active = False
    gateway.save(update_fields=["is_active"])
    gateway.credentials.filter(revoked_at=None).update(revoked_at=now)
    _tell(Action.GATEWAY_DISABLED, actor, gateway, {}, now)
    return gateway


def _require_may_manage(by: User) -> None:
    if not by.may(Permission.MANAGE_GATEWAYS):
        raise NotAllowed(_("Your roles do not allow this."))


def _locked_active(gateway: Gateway) -> Gateway:
    gateway = Gateway.objects.select_for_update().get(pk=gateway.pk)
    if not gateway.is_active:
        raise Conflict(_("This gateway is disabled. Add a new one."))
    return gateway


def _issue_credential(actor: Actor, gateway: Gateway, now: datetime) -> str:
    fresh = secret_format.generate(f"{settings.KEY_BRAND}g", CREDENTIAL_ENVIRONMENT)
    GatewayCredential.objects.create(
        gateway=gateway,
        credential_id=fresh.key_id,
        digest=hashing.digest(fresh.text),
        pepper_version=hashing.current_version(),
        created_at=now,
    )
    _tell(Action.GATEWAY_CREDENTIAL_ISSUED, actor, gateway, {"credential": fresh.key_id}, now)
    return fresh.text


def _settings_of(gateway: Gateway) -> dict[str, object]:
    return {
        "name": gateway.name,
        "mode": gateway.mode,
        "fail_policy": gateway.fail_policy,
        "ip_ranges": gateway.ip_ranges,
        "reports_ends": gateway.reports_ends,
    }


def _tell(action: Action, actor: Actor, gateway: Gateway, payload: dict[str, object], now: datetime) -> None:
    record(action, actor=actor, objects=refs(gateway), payload=payload, now=now)
