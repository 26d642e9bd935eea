"""Puts keys and a gateway into an empty registry for `script/bench`; prints them as JSON."""

import json
import sys
from datetime import datetime, timedelta
from typing import Any

import django

django.setup()

from django.utils import timezone

from accounts.models import User
from core.ids import next_public_id
from keys.models import Key, Plan, Secret
from keys.secrets import form as secret_format
from keys.secrets import hashing
from partners.models import Contact, Partner, Workspace
from verifier.models import Gateway, GatewayCredential

NO_LIMIT: dict[str, Any] = {"rpm": 0, "rph": 0}
EVERY_LIMIT: dict[str, Any] = {
    "rpm": 10**8, "rph": 10**9, "burst": 10**6, "concurrency": 10**6, "monthly_budget_usd": 10**6,
}  # fmt: skip


def main(n_keys: int, limits: list[dict[str, Any]]) -> None:
    """Make everything that a check touches; the keys have these limits in turn, or every one.

    `workspace` in the limits of a key is the place of its workspace, `shared` what limits that has.
    """
    now = timezone.now()
    owner = User.objects.create_user("bench@kagiban.example", public_id=next_public_id("ST"), name="Bench")
    partner = Partner.objects.create(
        public_id=next_public_id("PT"), kind="company", name="Bench", created_at=now
    )
    contact = Contact.objects.create(
        public_id=next_public_id("CO"), partner=partner, name="Bench", email="bench@partner.example"
    )
    plan = Plan.objects.create(code="bench", name="Bench", level="standard", max_rpm=1, max_rph=1)
    around = {"partner": partner, "recipient": contact, "owner": owner, "plan": plan}
    spaces, limits = make_workspaces(partner), limits or [EVERY_LIMIT]
    keys, secrets, texts = [], [], []
    for number in range(n_keys):
        own = limits[number % len(limits)].copy()
        space = spaces[own.pop("workspace", number % len(spaces))]
        limit(space, own.pop("shared", {}))
        key = new_key(number + 1, space, now, **around, **(NO_LIMIT | own))
        text, secret = new_secret(key, now)
        keys.append(key)
        secrets.append(secret)
        texts.append(text)
    Key.objects.bulk_create(keys, batch_size=1_000)
    Secret.objects.bulk_create(secrets, batch_size=1_000)
    print(json.dumps({"gateway": make_gateway(now), "keys": texts}))


def make_workspaces(partner: Partner) -> list[Workspace]:
    """Fifty of them, without limits."""
    return [
        Workspace.objects.create(
            public_id=next_public_id("WS"), partner=partner, code=f"bench-{number}", name="Bench"
        )
        for number in range(50)
    ]


def limit(space: Workspace, shared: dict[str, Any]) -> None:
    """Give a workspace limits that its keys hold together."""
    for name, value in shared.items():
        setattr(space, name, value)
    space.save(update_fields=shared)


def new_key(number: int, space: Workspace, now: datetime, **fields: Any) -> Key:
    """An active key, not saved yet."""
    return Key(
        public_id=f"KB-{number:04}", family=secret_format.new_family(space.public_id), name="Bench",
        status="active", workspace=space, environment="live", purpose_category="integration",
        purpose="Bench", scopes=["catalog:read", "catalog:write"],
        ip_ranges=["203.0.113.0/24", "198.51.100.0/24"], rotation_days=90, issued_at=now, activated_at=now,
        changed_at=now, expires_at=now + timedelta(days=90), **fields,
    )  # fmt: skip


def new_secret(key: Key, now: datetime) -> tuple[str, Secret]:
    """A key's secret, not saved yet: its text and its row."""
    fresh = secret_format.generate("kb", "live", key.family)
    digest = hashing.digest(fresh.text)
    secret = Secret(
        key=key, public_id=fresh.key_id, digest=digest, pepper_version=hashing.current_version(),
        argon2_hash=hashing.hash_digest(digest), hint=fresh.text[-4:], created_at=now,
    )  # fmt: skip
    return fresh.text, secret


def make_gateway(now: datetime) -> str:
    """A gateway; its credential."""
    credential = secret_format.generate("kbg", "live")
    gateway = Gateway.objects.create(public_id=next_public_id("GW"), name="Bench", created_at=now)
    GatewayCredential.objects.create(
        gateway=gateway, credential_id=credential.key_id, digest=hashing.digest(credential.text),
        pepper_version=hashing.current_version(), created_at=now,
    )  # fmt: skip
    return credential.text


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]) if len(sys.argv) > 2 else [])
