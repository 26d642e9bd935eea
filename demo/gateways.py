"""The demo's two gateways, each with a credential."""

from datetime import datetime

from accounts.models import User
from audit.actions import Action
from audit.services import record
from core.ids import next_public_id
from demo.people import actor_for
from keys import hashing, secret_format
from verifier.models import Gateway, GatewayCredential

BRAND = "kbg"


def add_gateway(*, by: User, name: str, mode: str, fail_policy: str, now: datetime) -> str:
    """A gateway with its events; returns the text of its credential, which is stored as a digest only."""
    gateway = Gateway.objects.create(
        public_id=next_public_id("GW"), name=name, mode=mode, fail_policy=fail_policy, created_at=now
    )
    fresh = secret_format.generate(BRAND, "live")
    GatewayCredential.objects.create(
        gateway=gateway,
        credential_id=fresh.key_id,
        digest=hashing.digest(fresh.text),
        pepper_version=hashing.current_version(),
        created_at=now,
    )
    objects = [f"gateway:{gateway.public_id}"]
    record(Action.GATEWAY_ADDED, actor=actor_for(by), objects=objects, payload={"mode": mode}, now=now)
    record(
        Action.GATEWAY_CREDENTIAL_ISSUED,
        actor=actor_for(by),
        objects=objects,
        payload={"credential": fresh.key_id},
        now=now,
    )
    return fresh.text
