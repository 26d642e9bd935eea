"""What the values of a mail mean for the request form: only what can be read in one way (R4).

A date without a year, "half a year", an API that is not in the catalogue: shown as they were written, and
left for a person to fill in.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from django.core.exceptions import ValidationError

from core.parsing import clean_text, narrow, parse_date, parse_yen, read_network
from keys.models import ApiProduct
from partners.models import Contact, Contract, Partner

MOST_ADDRESSES = 100
_DAY = re.compile(
    r"\d{4}\s?(?:-|/|\.|年)\s?\d{1,2}\s?(?:-|/|\.|月)\s?\d{1,2}\s?日?"
    r"|(?:令和|R)\s?(?:\d{1,2}|元)\s?(?:年|\.|/|-)\s?\d{1,2}\s?(?:月|\.|/|-)\s?\d{1,2}\s?日?"
)
_AMOUNT = re.compile(r"[¥\\]?\s?[\d,.]+\s?(?:億|万)?[\d,]*\s?(?:円|JPY)?", re.IGNORECASE)
_UNTIL = re.compile(r"まで|迄|until|till|[~〜～]\s*$|by ", re.IGNORECASE)
_ADDRESS = re.compile(r"[\w.+-]{1,64}@[\w.-]{1,200}", re.ASCII)
_ENVIRONMENTS = {
    "live": ("本番", "商用", "live", "production", "prod"),
    "test": ("テスト", "検証", "ステージング", "test", "staging"),
    "dev": ("開発", "dev", "development"),
}


@dataclass(frozen=True, slots=True)
class Meaning:
    """The values as the form and the registry know them; what can't be known is empty or None."""

    products: tuple[ApiProduct, ...] = ()
    starts_on: date | None = None
    ends_on: date | None = None
    amount_jpy: int | None = None
    environment: str = ""
    ip_ranges: tuple[str, ...] = ()
    addresses: tuple[str, ...] = field(default=())


def meaning_of(found: Mapping[str, str]) -> Meaning:
    """Read the values of `intake.fields.read_fields`. One query, for the catalogue."""
    starts_on, ends_on = _period(found)
    return Meaning(
        products=tuple(_products(found.get("product", ""))),
        starts_on=starts_on,
        ends_on=ends_on,
        amount_jpy=_amount(found.get("amount", "")),
        environment=_environment(found.get("environment", "")),
        ip_ranges=tuple(_networks(found.get("addresses", ""))),
        addresses=tuple(address.lower() for address in _ADDRESS.findall(found.get("contact", ""))),
    )


def draft_of(found: Mapping[str, str], partner: Partner, *, today: date) -> dict[str, Any]:
    """The fields of the request form that the mail fills: nothing that would have to be guessed.

    Not the key's name: a subject says what the mail is, and would stand in every list and mail for ever.
    """
    meaning = meaning_of(found)
    draft: dict[str, Any] = {"purpose": found.get("purpose", "")}
    if meaning.products:
        draft["products"] = [product.code for product in meaning.products]
    if meaning.environment:
        draft["environment"] = meaning.environment
    if meaning.ends_on and meaning.ends_on >= today:
        draft["expires_on"] = meaning.ends_on.isoformat()
    if meaning.ip_ranges:
        draft["ip_ranges"] = "\n".join(meaning.ip_ranges)
    contract = _contract(partner, meaning, today)
    if contract:
        draft["contract"] = contract.public_id
    recipient = _recipient(partner, meaning, found.get("contact", ""))
    if recipient:
        draft["recipient"] = recipient.public_id
    return draft


# --- one value each ---------------------------------------------------------------------------------------


def _products(text: str) -> list[ApiProduct]:
    if not text:
        return []
    text = clean_text(text).casefold()
    return [
        product
        for product in ApiProduct.objects.filter(is_active=True)
        if any(_names(text, name) for name in (product.code, product.name, product.name_en))
    ]


def _names(text: str, name: str) -> bool:
    # "order" must not be found in "orders"; Japanese has no spaces between words to go by.
    name = clean_text(name).casefold()
    return bool(name and re.search(rf"(?<![a-z0-9_-]){re.escape(name)}(?![a-z0-9_-])", text))


def _period(found: Mapping[str, str]) -> tuple[date | None, date | None]:
    starts, ends = _one_day(found.get("starts", "")), _one_day(found.get("ends", ""))
    text = found.get("period", "")
    days = _days(text)
    if len(days) == 2 and days[0] <= days[1]:
        return starts or days[0], ends or days[1]
    if len(days) == 1 and (_UNTIL.search(text) or re.match(r"\s*[~〜～-]", text)):
        return starts, ends or days[0]
    if len(days) == 1 and re.search(r"から|より|from|[~〜～]", text, re.IGNORECASE):
        return starts or days[0], ends
    return starts, ends


def _one_day(text: str) -> date | None:
    days = _days(text)
    return days[0] if len(days) == 1 else None


def _days(text: str) -> list[date]:
    found = []
    for written in _DAY.findall(narrow(text)[:400]):
        try:
            found.append(parse_date(written))
        except ValidationError:
            return []
    return found


def _amount(text: str) -> int | None:
    amounts = set()
    for written in _AMOUNT.findall(narrow(text)[:400]):
        if re.search(r"\d", written):
            try:
                amounts.add(parse_yen(written.strip()))
            except ValidationError:
                return None
    return amounts.pop() if len(amounts) == 1 else None


def _environment(text: str) -> str:
    text = clean_text(text[:200]).casefold()
    found = [name for name, words in _ENVIRONMENTS.items() if any(_names(text, word) for word in words)]
    return found[0] if len(found) == 1 else ""


def _networks(text: str) -> list[str]:
    found = []
    for written in re.split(r"[\s,、;；]+", narrow(text))[:MOST_ADDRESSES]:
        try:
            found.append(read_network(written))
        except ValidationError:
            continue
    return list(dict.fromkeys(found))


def _contract(partner: Partner, meaning: Meaning, today: date) -> Contract | None:
    if meaning.amount_jpy is None:
        return None
    fits = partner.contracts.filter(ends_on__gte=today, monthly_amount_jpy=meaning.amount_jpy)[:2]
    return fits[0] if len(fits) == 1 else None


def _recipient(partner: Partner, meaning: Meaning, text: str) -> Contact | None:
    """The one contact for keys who is named there, by address or by name."""
    able = partner.contacts.filter(is_active=True, purposes__contains=[Contact.Purpose.TECHNICAL])
    plain = re.sub(r"\s", "", clean_text(text))
    named = [
        contact
        for contact in able
        if contact.email.lower() in meaning.addresses or re.sub(r"\s", "", contact.name) in plain
    ]
    return named[0] if len(named) == 1 else None
