"""Live keys and gateways for the tests of the verifier, and a proxy's side of its WSGI entry."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts.models import User
from core.ids import next_public_id
from keys.hotstore import client as hotwire
from keys.models import Key, Secret
from keys.models.retirements import NOTICE
from keys.secrets import form as secret_format
from keys.secrets import hashing
from partners.models import Partner
from tests.cast import make_partner, make_plan, make_staff
from tests.clock import early_in
from verifier.api.app import application
from verifier.models import Gateway, GatewayCredential

# Limits are counted by the minutes, hours and months of the clock, and each of them begins with a minute.
_COUNTED = {"rpm", "rph", "monthly_budget_usd"}


def early_in_a_minute() -> None:
    """Until no minute ends soon: calls that a test adds up must not be counted in two."""
    early_in(60)


@dataclass(frozen=True, slots=True)
class LiveKey:
    """A key and the text of its secret."""

    key: Key
    text: str
    secret: Secret


def make_live_key(partner: Partner | None = None, owner: User | None = None, **fields: Any) -> LiveKey:
    """An active key that may read the catalogue, with one live secret; no limits unless told."""
    partner = partner or make_partner("Partner of a key")
    workspace = partner.workspaces.order_by("id")[0]
    now = timezone.now()
    values: dict[str, Any] = {
        "name": "Live key",
        "status": "active",
        "environment": "live",
        "purpose_category": "integration",
        "purpose": "Tests.",
        "scopes": ["catalog:read", "catalog:write"],
        "rpm": 0,
        "rph": 0,
        "rotation_days": 90,
        "issued_at": now,
        "activated_at": now,
        "expires_at": now + timedelta(days=100),
        "changed_at": now,
    }
    key = Key.objects.create(
        public_id=next_public_id("KB"),
        family=secret_format.new_family(workspace.public_id),
        partner=partner,
        workspace=workspace,
        recipient=partner.contacts.order_by("id")[0],
        owner=owner or make_staff("Owner", "requester"),
        plan=make_plan("partner", "standard"),
        **(values | fields),
    )
    text, secret = add_secret(key)
    if fields.keys() & _COUNTED:
        early_in_a_minute()
    return LiveKey(key, text, secret)


def add_secret(key: Key, *, version: int | None = None, **fields: Any) -> tuple[str, Secret]:
    """One more secret of a key: its text and its row."""
    version = version or hashing.current_version()
    fresh = secret_format.generate("kb", key.environment, key.family)
    digest = hashing.digest(fresh.text, version)
    secret = Secret.objects.create(
        key=key,
        public_id=fresh.key_id,
        digest=digest,
        pepper_version=version,
        argon2_hash=hashing.hash_digest(digest),
        hint=fresh.text[-4:],
        created_at=timezone.now(),
        **fields,
    )
    return fresh.text, secret


def change(key: Key, **fields: Any) -> None:
    """Change a key in the registry alone, with the revision that every change has."""
    Key.objects.filter(pk=key.pk).update(revision=key.revision + 1, **fields)
    key.refresh_from_db()


def retire(key: Key, left: timedelta, **fields: Any) -> None:
    """Plan the key's retirement in the registry alone, so that this much time is left until its end."""
    ends_at = timezone.now() + left
    noticed = {"retires_at": ends_at, "retiring_from": ends_at - NOTICE, "status": "retiring"}
    change(key, **(noticed | fields))


def make_live_keys(n: int) -> list[LiveKey]:
    """Keys of one partner."""
    first = make_live_key()
    return [first, *[make_live_key(first.key.partner, first.key.owner) for _ in range(n - 1)]]


def make_gateway(**fields: Any) -> str:
    """A gateway; returns the text of its credential."""
    credential = secret_format.generate("kbg", "live")
    gateway = Gateway.objects.create(
        public_id=next_public_id("GW"), name="Edge", created_at=timezone.now(), **fields
    )
    GatewayCredential.objects.create(
        gateway=gateway,
        credential_id=credential.key_id,
        digest=hashing.digest(credential.text),
        pepper_version=hashing.current_version(),
        created_at=timezone.now(),
    )
    return credential.text


@dataclass(slots=True)
class Answer:
    """A response of the verifier."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body as JSON."""
        data: dict[str, Any] = json.loads(self.body)
        return data

    @property
    def code(self) -> str:
        """The verdict's code."""
        return str(self.json["code"])


def call(path: str, method: str = "GET", body: bytes = b"", query: str = "", **headers: str) -> Answer:
    """Call the WSGI entry as a server would; headers by their names in the environ."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_LENGTH": str(len(body)) if body else "",
        "wsgi.input": io.BytesIO(body),
        **headers,
    }
    got: dict[str, Any] = {}

    def start_response(status: str, fields: list[tuple[str, str]], _error: Any = None) -> Any:
        got["status"] = int(status.split(maxsplit=1)[0])
        got["headers"] = dict(fields)
        assert len(got["headers"]) == len(fields), "a field was sent twice"
        return lambda _data: None

    content = b"".join(application(environ, start_response))
    return Answer(got["status"], got["headers"], content)


def verify(gateway: str, text: str, **question: Any) -> Answer:
    """Ask `/v1/keys/verify` about a secret."""
    body = json.dumps({"key": text, **question}).encode()
    return call("/v1/keys/verify", "POST", body, HTTP_AUTHORIZATION=f"Bearer {gateway}")


def report(gateway: str, told: object) -> Answer:
    """Report one outcome, or a list of them, to `/v1/usage`."""
    return call("/v1/usage", "POST", json.dumps(told).encode(), HTTP_AUTHORIZATION=f"Bearer {gateway}")


def authorize(gateway: str, text: str = "", path: str = "/v1/authorize", **options: Any) -> Answer:
    """Ask `/v1/authorize` with a secret in Authorization."""
    headers = {"HTTP_AUTHORIZATION": f"Bearer {text}"} if text else {}
    return call(path, **{"HTTP_X_GATEWAY_CREDENTIAL": gateway, **headers, **options})


@contextmanager
def store_away(settings: Any) -> Iterator[None]:
    """Nothing listens where the hot store should be."""
    url, settings.HOT_STORE_URL = settings.HOT_STORE_URL, "redis://127.0.0.1:1/0"
    hotwire.drop()
    yield
    settings.HOT_STORE_URL = url
    hotwire.drop()
    hotwire.resume()
