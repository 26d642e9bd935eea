"""What a key is asked to be: the terms that a request carries and approvers decide on (R1)."""

from dataclasses import asdict, dataclass, fields
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from keys.models import Key

# Days on paper (contracts, expiry) are days in Japan, whatever zone a person reads the portal in.
OFFICE_ZONE = ZoneInfo("Asia/Tokyo")

LICENCE_CHECKLIST = ("policy_read", "level_fits", "no_personal_data", "no_resale")

# Fields of KeyTerms that came later: revisions from before do not have them.
ADDED = frozenset({"countries", "retires_at", "replacement"})


@dataclass(frozen=True, slots=True)
class KeyTerms:
    """Plain values only, so that the canonical JSON of two equal terms is equal to the byte.

    Things are named by their public ids or codes; `""` or None is "none". Amounts: whole yen a month; US
    dollars as text with two decimals. Days as ISO text, the last one included. Limits: 0 is no such limit.
    `retires_at` is a minute in Japan as ISO text (`2026-12-18T10:00+09:00`): the end of a planned retirement.
    """

    name: str
    partner: str
    partner_kind: str
    workspace: str
    recipient: str
    consent_contact: str
    contract: str
    monthly_amount_jpy: int
    contract_starts_on: str
    contract_ends_on: str
    licence_level: str
    terms_version: str
    licence_checklist: tuple[str, ...]
    plan: str
    products: tuple[str, ...]
    scopes: tuple[str, ...]
    model_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    environment: str
    purpose_category: str
    purpose: str
    sla_latency_ms: int | None
    sla_success_percent: str
    rpm: int
    rph: int
    burst: int
    concurrency: int
    monthly_budget_usd: str
    budget_thresholds: tuple[int, ...]
    suspend_at_budget: bool
    billing_contact: str
    ip_ranges: tuple[str, ...]
    rotation_days: int
    expires_on: str
    auto_renew: bool
    end_of_life: str
    countries: tuple[str, ...] = ()
    retires_at: str = ""
    replacement: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON's own types, lists for tuples.

        What terms did not have from the beginning is left out where it says nothing: terms that do not speak
        of it keep the digest that they always had.
        """
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if value or name not in ADDED
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "KeyTerms":
        """The terms of a revision. Raises KeyError when a field is missing: a revision is whole or wrong."""
        names = [field.name for field in fields(cls) if field.name in data or field.name not in ADDED]
        given = {name: data[name] for name in names}
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in given.items()
        }
        return cls(**values)


def says_the_same(one: Any, other: Any) -> bool:
    """Whether two values of a term say the same; the order of a list says nothing."""
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return sorted(map(str, one)) == sorted(map(str, other))
    return bool(one == other)


def end_of_day(day: date) -> datetime:
    """The moment at which a last day ends in Japan, as an aware datetime."""
    return datetime.combine(day + timedelta(days=1), time.min, tzinfo=OFFICE_ZONE)


def office_minute(moment: datetime) -> str:
    """A moment as terms write it: a minute in Japan, so that of two texts the later one is the greater."""
    return moment.astimezone(OFFICE_ZONE).isoformat(timespec="minutes")


def office_day(now: datetime) -> date:
    """The day that it is in Japan."""
    return now.astimezone(OFFICE_ZONE).date()


def last_day(key: Key) -> date:
    """The last day on which the key works; `expires_at` is the end of that day."""
    return office_day(key.expires_at - timedelta(microseconds=1))
