"""Received mails as the pages show them."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.functional import Promise

from accounts.models import User
from accounts.roles import Permission
from core.paging import Order, Page, capped_count, keyset_page
from core.searching import with_words
from core.wording import date_text, money_text
from intake.meaning import Meaning, meaning_of
from intake.models import ReceivedMail
from intake.wording import FOUND, NOTES, TROUBLES
from keys.models import ApiProduct, Environment

State = ReceivedMail.State
VIEWS = ("waiting", "taken", "set_aside", "filed")
SEARCHED = ("subject", "from_address", "from_name", "partner__name")
PAGE_SIZE = 25
SHOWN_OF_ORIGINAL = 100_000


@dataclass(frozen=True, slots=True)
class Inbox:
    """One page of mails, and how many stand behind each view."""

    page: Page[ReceivedMail]
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Line:
    """A labelled value of a mail; `understood` is what the form will be given, `""` where nothing is."""

    label: str | Promise
    text: str
    understood: str


def list_mails(*, view: str, text: str = "", cursor: str = "") -> Inbox:
    """Mails of one view, the newest first; waiting ones the longest waiting first."""
    found = with_words(ReceivedMail.objects.all(), text, texts=SEARCHED)
    counts = {name: capped_count(found.filter(state=name)) for name in VIEWS}
    order = Order("id", descending=view != "waiting")
    rows = found.filter(state=view).select_related("partner", "contact", "staff", "request", "settled_by")
    page = keyset_page(rows.defer("raw", "text"), order=order, size=PAGE_SIZE, cursor=cursor)
    return Inbox(page=page, counts=counts)


def count_waiting(user: User) -> int:
    """How many mails wait for somebody: the number in the navigation of those who may take one."""
    if not user.may(Permission.MAKE_REQUESTS):
        return 0
    return ReceivedMail.objects.filter(state=State.WAITING).count()


def lines_of(mail: ReceivedMail) -> list[Line]:
    """What the mail says under labels, and what of that was understood."""
    understood = _understood(meaning_of(mail.found), mail)
    return [
        Line(label, mail.found[field], understood.get(field, ""))
        for field, label in FOUND.items()
        if mail.found.get(field)
    ]


def _understood(meaning: Meaning, mail: ReceivedMail) -> dict[str, str]:
    days = [day for day in (meaning.starts_on, meaning.ends_on) if day]
    found = {
        "product": ", ".join(_name(product) for product in meaning.products),
        "period": " – ".join(date_text(day) for day in days),
        "amount": money_text(meaning.amount_jpy) if meaning.amount_jpy is not None else "",
        "environment": str(Environment(meaning.environment).label) if meaning.environment else "",
        "addresses": ", ".join(meaning.ip_ranges),
    }
    if mail.partner and mail.matched_by in {"name", "mentioned"}:
        found["partner"] = mail.partner.name
    return found


def _name(product: ApiProduct) -> str:
    return f"{product.name} ({product.code})"


def notes_of(mail: ReceivedMail) -> Sequence[str | Promise]:
    """Why it could not be read, and what else a reader must know."""
    trouble = [TROUBLES[mail.trouble]] if mail.trouble in TROUBLES else []
    return [*trouble, *(NOTES[note] for note in mail.notes if note in NOTES)]
