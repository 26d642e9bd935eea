"""What the values of a mail mean for the request form: only what can be read in one way (R4).

A value is read whole or not at all: an amount with a word beside it that is not understood (`年額`, `税抜`,
`ドル`) may be another amount. A date without a year, "half a year", an API that is not in the catalogue stand
there as they were written, and are left for a person to fill in.
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
LONGEST = 400
_DAY = re.compile(
    r"\d{4}\s?(?:-|/|\.|年)\s?\d{1,2}\s?(?:-|/|\.|月)\s?\d{1,2}\s?日?"
    r"|(?:令和|R)\s?(?:\d{1,2}|元)\s?(?:年|\.|/|-)\s?\d{1,2}\s?(?:月|\.|/|-)\s?\d{1,2}\s?日?"
)
# What may stand around the days of a period: weekdays, words for from and to, and a beginning that is now.
_AROUND_DAYS = re.compile(
    r"(?:[\s~〜～–—:：、,。.-]|[(（][月火水木金土日](?:曜日?)?[)）]|から|より|まで|迄|の間|from|until|till|to|by"
    r"|本日|今日|即日|発行日|today|now)*",
    re.IGNORECASE,
).fullmatch
_MONTHLY = re.compile(
    r"(?:月額|毎月|月々|monthly)?[\s:：]*(?P<amount>.+?)\s*(?:(?:/|／|per|a)\s*(?:月|か月|month))?[\s。.]*",
    re.IGNORECASE,
).fullmatch
_UNTIL = re.compile(r"まで|迄|until|till|[~〜～]\s*$|by ", re.IGNORECASE)
_ADDRESS = re.compile(r"[\w.+-]{1,64}@[\w.-]{1,200}", re.ASCII)
_SEVERAL = re.compile(r"[\n,，、;；・]+|\s+(?:and|と)\s+|\s*[/／]\s*|\s+及び\s+")
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
        addresses=tuple(address.lower() for address in _ADDRESS.findall(narrow(found.get("contact", "")))),
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
    named = {_plain(part) for part in _SEVERAL.split(text)} - {""}
    if not named:
        return []
    found = {
        product: {_plain(name) for name in (product.code, product.name, product.name_en)}
        for product in ApiProduct.objects.filter(is_active=True)
    }
    known = set().union(*found.values())
    return [product for product, names in found.items() if names & named] if named <= known else []


def _plain(name: str) -> str:
    """A name as it is compared: without "API" behind it, whatever its width, case and spaces are."""
    name = re.sub(r"[\s_.。-]+", "", clean_text(name).casefold())
    return name.removesuffix("api") or name


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
    text = narrow(text)
    if len(text) > LONGEST or not _AROUND_DAYS(_DAY.sub("", text)):
        return []
    found = []
    for written in _DAY.findall(text):
        try:
            found.append(parse_date(written))
        except ValidationError:
            return []
    return found


def _amount(text: str) -> int | None:
    told = _MONTHLY(narrow(text)[:LONGEST])
    if told is None:
        return None
    try:
        return parse_yen(told["amount"])
    except ValidationError:
        return None


def _environment(text: str) -> str:
    told = (
        clean_text(text[:LONGEST]).casefold().strip("。. ").removesuffix("環境").removesuffix(" environment")
    )
    return next((name for name, words in _ENVIRONMENTS.items() if told.strip() in words), "")


def _networks(text: str) -> list[str]:
    written = [part for part in re.split(r"[\s,、;；・]+", narrow(text)) if part]
    if len(written) > MOST_ADDRESSES:
        return []
    try:
        return list(dict.fromkeys(map(read_network, written)))
    except ValidationError:
        return []


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
