"""From which addresses a key is used (V6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from core.addresses import holds, parse_address, parse_network
from keys.models import Key, SeenAddress
from keys.rights.quarantine import KNOWN_FOR
from keys.use.visits import Visit

# More than these are not read on a page; the others are there as a count.
SHOWN = 50


@dataclass(frozen=True, slots=True)
class Seen:
    """One address; `is_inside` the key's ranges (everything is, where it has none)."""

    address: str
    first_seen_at: datetime
    last_seen_at: datetime
    n_allowed: int
    n_refused: int
    is_inside: bool


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses last seen, newest first; how many more there are; calls from those that are not kept."""

    shown: Sequence[Seen]
    n_more: int
    n_other_calls: int


def addresses_of(key: Key) -> Addresses:
    """The addresses of all secrets of a key together. One query."""
    visits: dict[str, Visit] = {}
    n_other_calls = 0
    for row in SeenAddress.objects.filter(key=key):
        visit = Visit(row.first_seen_at, row.last_seen_at, row.n_allowed, row.n_refused)
        if row.address is None:
            n_other_calls += row.n_allowed + row.n_refused
        elif row.address in visits:
            visits[row.address].add(visit)
        else:
            visits[row.address] = visit
    newest = sorted(visits.items(), key=lambda item: (item[1].last, item[1].n_allowed), reverse=True)
    networks = [parse_network(text) for text in key.ip_ranges]
    return Addresses(
        shown=[
            Seen(
                address, visit.first, visit.last, visit.n_allowed, visit.n_refused,
                not networks or holds(networks, parse_address(address)),
            )
            for address, visit in newest[:SHOWN]
        ],
        n_more=max(0, len(newest) - SHOWN),
        n_other_calls=n_other_calls,
    )  # fmt: skip


def known_addresses(key: Key, now: datetime) -> list[str]:
    """The addresses from which the key was used, seen first a day ago or earlier; the newest use first."""
    seen = SeenAddress.objects.filter(
        key=key, address__isnull=False, n_allowed__gt=0, first_seen_at__lte=now - KNOWN_FOR
    ).order_by("-last_seen_at")
    return list(dict.fromkeys(str(address) for address in seen.values_list("address", flat=True)))
