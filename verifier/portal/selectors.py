"""Gateways as their pages show them."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from core.errors import NotFound
from verifier.models import Gateway, GatewayCredential


@dataclass(frozen=True, slots=True)
class CredentialRow:
    """A credential with its state: `active`, `ending` (replaced, still good) or `ended`."""

    credential: GatewayCredential
    state: str

    @property
    def works(self) -> bool:
        """Whether a gateway can still ask with it."""
        return self.state != "ended"


def gateway_rows(now: datetime) -> "QuerySet[Gateway]":
    """All gateways by name, each with `n_credentials` that work now; one query."""
    works = Q(credentials__revoked_at=None) & (
        Q(credentials__expires_at=None) | Q(credentials__expires_at__gt=now)
    )
    return Gateway.objects.annotate(n_credentials=Count("credentials", filter=works)).order_by(
        "-is_active", "name"
    )


def who_reports_ends() -> tuple[list[str], list[str]]:
    """The names of active gateways that report when calls end, and of those that don't; one query."""
    rows = Gateway.objects.filter(is_active=True).order_by("name").values_list("name", "reports_ends")
    found = list(rows)
    return [name for name, reports in found if reports], [name for name, reports in found if not reports]


def find_gateway(number: str) -> Gateway:
    """The gateway with this number. NotFound otherwise; checks no permission."""
    gateway = Gateway.objects.filter(public_id=number).first()
    if gateway is None:
        raise NotFound(_("There is no such gateway."))
    return gateway


def credential_rows(gateway: Gateway, now: datetime) -> list[CredentialRow]:
    """A gateway's credentials, the newest first; never their text, which nobody has."""
    return [CredentialRow(one, _state(gateway, one, now)) for one in gateway.credentials.all()]


def _state(gateway: Gateway, credential: GatewayCredential, now: datetime) -> str:
    over = credential.expires_at is not None and credential.expires_at <= now
    if credential.revoked_at is not None or over or not gateway.is_active:
        return "ended"
    return "active" if credential.expires_at is None else "ending"
