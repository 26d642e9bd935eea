"""How use is counted: visits from an address, and classes of latency (V6, V7)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

# Upper bounds in ms of the classes that latencies are counted in; the last is the longest to be reported.
LATENCY_CLASSES: Final = (
    1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1_000, 1_500, 2_000, 3_000, 5_000,
    7_000, 10_000, 15_000, 20_000, 30_000, 60_000, 86_400_000,
)  # fmt: skip


@dataclass(slots=True)
class Visit:
    """What came from one address in a while."""

    first: datetime
    last: datetime
    n_allowed: int = 0
    n_refused: int = 0

    def add(self, other: "Visit") -> None:
        """Take another's calls along."""
        self.first = min(self.first, other.first)
        self.last = max(self.last, other.last)
        self.n_allowed += other.n_allowed
        self.n_refused += other.n_refused
