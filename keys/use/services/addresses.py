"""From where each secret is used: a bounded list of addresses, the rest as one count (V6, K6, K7)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from django.db import connection

from keys.models import Secret, SeenAddress
from keys.use.visits import Visit

# What was let through says where a secret lives. What was only refused has fewer places of its own: whoever
# tries a stolen secret from many addresses must not push the true ones out.
MOST_USED: Final = 200
MOST_REFUSED: Final = 50
# An address that was silent for so long makes room for a new one.
SILENT: Final = timedelta(days=90)

_ADD = """
INSERT INTO keys_seenaddress AS seen
  (key_id, secret_id, address, first_seen_at, last_seen_at, n_allowed, n_refused)
SELECT * FROM unnest(
  %s::bigint[], %s::bigint[], %s::inet[], %s::timestamptz[], %s::timestamptz[], %s::bigint[], %s::bigint[])
ON CONFLICT (secret_id, address) DO UPDATE SET
  first_seen_at = least(seen.first_seen_at, excluded.first_seen_at),
  last_seen_at = greatest(seen.last_seen_at, excluded.last_seen_at),
  n_allowed = seen.n_allowed + excluded.n_allowed,
  n_refused = seen.n_refused + excluded.n_refused
"""


# By address as people write it; OTHERS are those that the hot store did not tell apart.
Visits = Mapping[str, Visit]
OTHERS: Final = "*"


def note_addresses(visits: Mapping[Secret, Visits], *, now: datetime) -> None:
    """Add a batch's visits to the secrets' addresses. To be called within the batch's transaction."""
    seen: dict[int, list[SeenAddress]] = defaultdict(list)
    for row in SeenAddress.objects.filter(secret__in=visits).exclude(address=None):
        seen[row.secret_id].append(row)
    rows = []
    for secret, mine in sorted(visits.items(), key=lambda item: item[0].pk):
        kept = _within_bounds(mine, seen[secret.pk], now)
        for name, visit in sorted(kept.items()):
            address = None if name == OTHERS else name
            times = (visit.first, visit.last)
            rows.append((secret.key_id, secret.pk, address, *times, visit.n_allowed, visit.n_refused))
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(_ADD, [list(column) for column in zip(*rows, strict=True)])


def _within_bounds(visits: Visits, seen: list[SeenAddress], now: datetime) -> dict[str, Visit]:
    """The visits by address as far as there is room for them; the rest together under OTHERS."""
    known = {row.address for row in seen} | {OTHERS}
    room = {}
    for is_used, most in ((True, MOST_USED), (False, MOST_REFUSED)):
        mine = [row for row in seen if bool(row.n_allowed) is is_used]
        wanted = sum(name not in known and bool(visit.n_allowed) is is_used for name, visit in visits.items())
        free = most - len(mine)
        room[is_used] = free + _make_room(mine, wanted - free, now)
    kept: dict[str, Visit] = {}
    for address, visit in sorted(visits.items(), key=lambda item: item[1].first):
        name = address
        if address not in known:
            room[bool(visit.n_allowed)] -= 1
            name = address if room[bool(visit.n_allowed)] >= 0 else OTHERS
        if name in kept:
            kept[name].add(visit)
        else:
            kept[name] = visit
    return kept


def _make_room(rows: Iterable[SeenAddress], n_wanted: int, now: datetime) -> int:
    """Drop up to so many addresses that were silent for long; how many there were."""
    if n_wanted <= 0:
        return 0
    silent = sorted((row.last_seen_at, row.pk) for row in rows if row.last_seen_at < now - SILENT)
    going = [pk for _seen_at, pk in silent[:n_wanted]]
    SeenAddress.objects.filter(pk__in=going).delete()
    return len(going)
