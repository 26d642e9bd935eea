"""Which of many candidates are tokens of links that this portal has sent, by their hashes (A3)."""

from collections.abc import Collection
from typing import Final

from approvals.models import DecisionReceipt, StepLink
from core.links import hashes_of_token
from keys.models import Delivery

# Every table of links; their rows stay when a link is used, replaced or over.
_TABLES: Final = (StepLink, DecisionReceipt, Delivery)
_BATCH: Final = 5_000


def known_tokens(candidates: Collection[str]) -> frozenset[str]:
    """Those that are tokens, whatever has become of their links."""
    by_hash = {found: token for token in candidates for found in hashes_of_token(token)}
    hashes, known = list(by_hash), set()
    for start in range(0, len(hashes), _BATCH):
        for table in _TABLES:
            rows = table.objects.filter(token_hash__in=hashes[start : start + _BATCH])
            known |= {by_hash[bytes(found)] for found in rows.values_list("token_hash", flat=True)}
    return frozenset(known)
