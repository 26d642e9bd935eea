"""Who acts: the one value that every state-changing service takes and every audit event keeps (L1)."""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.http import HttpRequest

from core.addresses import Network, canonical_address, holds, parse_address, parse_network

if TYPE_CHECKING:
    from accounts.models import User


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, a mail link's holder, a gateway or the system itself.

    `ref` is a public id (`ST-0001`, a contact's `CO-0001`, `GW-0001`) or a job's name, never a name or an
    address. `ip` and `user_agent` are personal data: the audit log keeps them sealed.
    """

    kind: str  # staff | contact | gateway | system
    ref: str
    ip: str = ""
    user_agent: str = ""
    request_id: str = ""


def SYSTEM(name: str) -> Actor:  # noqa: N802 - reads as the constant actor that it is
    """The actor of a scheduled job or of a command, by its name."""
    return Actor(kind="system", ref=name)


def client_ip(request: HttpRequest) -> str:
    """The caller's address (see `address_behind_proxies`)."""
    return address_behind_proxies(
        str(request.META.get("REMOTE_ADDR", "")), request.headers.get("X-Forwarded-For", "")
    )


def address_behind_proxies(peer: str, forwarded_for: str) -> str:
    """Who really called: X-Forwarded-For counts only when the peer is in TRUSTED_PROXIES.

    TRUSTED_PROXIES are addresses or networks. The rightmost entry that is no trusted proxy wins, because
    everything left of it is the caller's word; an entry that is no address ends the search at the peer. A
    peer that is no address (a Unix socket) is told as it is.
    """
    try:
        peer = canonical_address(peer)
        if not settings.TRUSTED_PROXIES:
            return peer
        proxies = _networks(tuple(settings.TRUSTED_PROXIES))
        if not holds(proxies, parse_address(peer)):
            return peer
        for hop in reversed(forwarded_for.split(",")):
            address = canonical_address(hop)
            if not holds(proxies, parse_address(address)):
                return address
    except ValueError:
        return peer
    return peer


@cache
def _networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(parse_network(text, strict=True) for text in texts)


def actor_of(request: HttpRequest, *, contact_ref: str | None = None) -> Actor:
    """The actor behind a request: the signed-in member of staff, or a contact who came by a mail link."""
    where: dict[str, Any] = {
        "ip": client_ip(request),
        "user_agent": request.headers.get("User-Agent", "")[:300],
        "request_id": getattr(request, "request_id", ""),
    }
    if contact_ref is not None:
        return Actor(kind="contact", ref=contact_ref, **where)
    user = request.user
    if not user.is_authenticated:
        return Actor(kind="system", ref="anonymous", **where)
    return staff_actor(user, **where)


def staff_actor(user: "User", **where: Any) -> Actor:
    """The actor for a member of staff, where no request is at hand (tests, commands)."""
    return Actor(kind="staff", ref=user.public_id, **where)
