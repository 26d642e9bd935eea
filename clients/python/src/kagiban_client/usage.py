"""How calls ended, told to the verifier (`POST /v1/usage`)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final
from uuid import uuid4

from kagiban_client.errors import UnavailableError
from kagiban_client.verdict import Verdict, amount

MOST_AT_ONCE: Final = 500


def _new_id() -> str:
    return uuid4().hex


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one call ended. The same `id` counts once, however often it is sent.

    `check` frees the place that the check held, and `cost_usd` takes the place of what it reserved. Without
    a check, `key` (the number, `KB-0412`, never its text) says whose call it was.
    """

    check: str | None = None
    key: str | None = None
    status: int | None = None
    latency_ms: float | None = None
    cost_usd: Decimal | None = None
    id: str = field(default_factory=_new_id)

    @classmethod
    def of(
        cls,
        verdict: Verdict,
        *,
        status: int | None = None,
        latency_ms: float | None = None,
        cost_usd: Decimal | None = None,
    ) -> "Outcome":
        """The outcome of the call that this verdict let through."""
        key = verdict.key if verdict.check is None else None
        return cls(verdict.check, key, status, latency_ms, cost_usd)

    def members(self) -> dict[str, object]:
        """The report as the verifier reads it."""
        said = {
            "id": self.id,
            "check": self.check,
            "key": self.key,
            "status": self.status,
            "latency_ms": self.latency_ms,
            "cost_usd": None if self.cost_usd is None else amount(self.cost_usd),
        }
        return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Receipt:
    """How many reports were taken, how many were known already, and why others never will be."""

    taken: int
    repeated: int
    wrong: tuple[str, ...] = ()


def body(outcomes: Sequence[Outcome]) -> bytes:
    """The batch as the verifier reads it."""
    return json.dumps([outcome.members() for outcome in outcomes]).encode()


def read(answer: bytes) -> Receipt:
    """A receipt from the verifier's answer. Raises UnavailableError for whatever is none."""
    try:
        data = json.loads(answer)
        rows = [row for row in data["reports"] if row["outcome"] == "wrong"]
        wrong = tuple(f"{row['index']}: {row['code']}: {row['detail']}" for row in rows)
        return Receipt(int(data["taken"]), int(data["repeated"]), wrong)
    except (ValueError, TypeError, KeyError):
        pass
    raise UnavailableError("The answer is none of a verifier.")
