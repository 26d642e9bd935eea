"""Whom a mail seems to be from: a guess for the reader, never a proof (R4)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from accounts.models import User
from core.parsing import clean_text, narrow
from partners.models import Contact, Partner

# Addresses here say nothing of a company.
FREE_MAIL = frozenset(
    [
        "gmail.com",
        "googlemail.com",
        "yahoo.co.jp",
        "yahoo.com",
        "ymail.ne.jp",
        "outlook.com",
        "outlook.jp",
        "hotmail.com",
        "hotmail.co.jp",
        "live.jp",
        "live.com",
        "msn.com",
        "icloud.com",
        "me.com",
        "mac.com",
        "aol.com",
        "proton.me",
        "protonmail.com",
        "docomo.ne.jp",
        "ezweb.ne.jp",
        "au.com",
        "softbank.ne.jp",
        "i.softbank.jp",
        "nifty.com",
        "biglobe.ne.jp",
        "ocn.ne.jp",
        "so-net.ne.jp",
        "gmx.com",
        "gmx.de",
        "mail.com",
        "zoho.com",
        "qq.com",
        "163.com",
        "naver.com",
    ]
)
_ADDRESS = re.compile(r"[\w.+-]{1,64}@[\w.-]{1,200}", re.ASCII)
_COMPANY_FORM = re.compile(r"株式会社|有限会社|合同会社|一般社団法人|\(株\)|（株）|㈱|\s|御中|様")


@dataclass(frozen=True, slots=True)
class Guess:
    """`matched_by` is a code of intake.wording.MATCHED, `""` where no partner fits, or more than one does."""

    partner: Partner | None = None
    matched_by: str = ""
    contact: Contact | None = None
    staff: User | None = None


def guess_sender(address: str, found: Mapping[str, str]) -> Guess:
    """The partner by address, by domain, by an address or a name in the text; and the colleague, if one."""
    staff = User.objects.filter(email__iexact=address, is_active=True).first() if address else None
    contacts = _contacts(address)
    if len({contact.partner_id for contact in contacts}) == 1:
        return Guess(contacts[0].partner, "contact", contacts[0], staff)
    domain = address.rpartition("@")[2].lower()
    if domain and domain not in FREE_MAIL and not staff:
        partners = Partner.objects.filter(contacts__is_active=True, contacts__email__iendswith=f"@{domain}")
        partner = _only(partners.distinct()[:2])
        if partner:
            return Guess(partner, "domain", None, staff)
    named = narrow(" ".join(found.get(field, "") for field in ("contact", "applicant", "partner")))
    mentioned = {contact.partner for one in _ADDRESS.findall(named)[:5] for contact in _contacts(one)}
    if len(mentioned) == 1:
        return Guess(mentioned.pop(), "mentioned", None, staff)
    partner = _named(found)
    return Guess(partner, "name" if partner else "", None, staff)


def _contacts(address: str) -> list[Contact]:
    if not address:
        return []
    return list(Contact.objects.filter(email__iexact=address, is_active=True).select_related("partner")[:10])


def _named(found: Mapping[str, str]) -> Partner | None:
    for field in ("partner", "applicant"):
        name = clean_text(found.get(field, "").partition("\n")[0])[:160]
        core = _COMPANY_FORM.sub("", name)
        if len(core) >= 2:
            exact = _only(Partner.objects.filter(is_active=True, name=name)[:2])
            partner = exact or _only(Partner.objects.filter(is_active=True, name__icontains=core)[:2])
            if partner:
                return partner
    return None


def _only(partners: Iterable[Partner]) -> Partner | None:
    found = list(partners)
    return found[0] if len(found) == 1 else None
