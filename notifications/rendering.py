"""From a Mail to the message that goes over the wire: text and HTML in the recipient's language (N2)."""

import re
from email.header import Header
from email.headerregistry import Address
from email.utils import parseaddr
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from css_inline import CSSInliner
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import get_template
from django.utils import timezone, translation

from notifications.models import Message
from notifications.registry import Mail, template_of

OUR_ID = re.compile(
    r"(?<![0-9a-f])([0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12})@([a-z0-9.-]{1,255})", re.IGNORECASE
)
LONGEST_HEADER = 4_000
BLANK_LINES = re.compile(r"\n\s*\n\s*\n")

# Mail programs want the style at each element; what can't stand there (dark mode, phones) stays in the head.
_inliner = CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)


class OutgoingMail(EmailMultiAlternatives):
    """A mail whose subject begins in its own line.

    Django folds it without knowing the header's name, so that of a Japanese subject of 16 characters and more
    the first line is empty, which some mail programs show as no subject.
    """

    def message(self, **options: Any) -> Any:  # Django 6 has options, and another class for it
        """The message, with its subject folded by its real length."""
        message = super().message(**options)
        subject = str(self.subject)
        if not subject.isascii():
            message.replace_header("Subject", Header(subject, "utf-8", header_name="Subject"))
        return message


def render_mail(message: Message, mail: Mail) -> EmailMultiAlternatives:
    """The finished mail, with its stable Message-ID: `<uid@our domain>`, the same however often it is sent.

    Times stand in it in the office's zone. Raises TemplateDoesNotExist for a kind without a template.
    """
    context = {**mail.context, "recipient_name": mail.name, "portal_url": settings.PORTAL_URL}
    with translation.override(mail.language), timezone.override(ZoneInfo(settings.TIME_ZONE)):
        context["language"] = translation.get_language()
        template = get_template(template_of(message.kind))
        subject = " ".join(template.render({**context, "part": "subject"}).split())
        context["open_text"] = template.render({**context, "part": "open"}).strip()
        text = BLANK_LINES.sub("\n\n", template.render({**context, "part": "text"})).strip() + "\n"
        html = template.render({**context, "part": "html", "subject": subject}).strip()
    user, _at, domain = mail.address.rpartition("@")
    finished = OutgoingMail(
        subject=subject,
        body=text,
        from_email=return_address(message),
        # In two parts: `hoshi..sora.@…`, common on Japanese phones, is no address by the letter of RFC 5322.
        to=[str(Address(display_name=" ".join(mail.name.split()), username=user, domain=domain))],
        headers={
            "From": settings.DEFAULT_FROM_EMAIL,
            "Message-ID": message_id(message),
            # No "out of office" to a machine, and no loop with another one (RFC 3834).
            "Auto-Submitted": "auto-replied" if mail.answers else "auto-generated",
            "X-Auto-Response-Suppress": "All",
            **({"In-Reply-To": mail.answers, "References": mail.answers} if mail.answers else {}),
        },
    )
    finished.attach_alternative(inline(html), "text/html")
    return finished


def message_id(message: Message) -> str:
    """`<uid@domain of DEFAULT_FROM_EMAIL>`: by it a mail program shows a mail that came twice only once."""
    return f"<{message.uid}@{message_domain()}>"


def message_domain() -> str:
    """The right-hand side of our Message-IDs."""
    return parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"


def return_address(message: Message) -> str:
    """Where a mail comes back to: with BOUNCE_ADDRESS an address of its own, `bounces+<uid>@…` (VERP).

    Some services give a mail a Message-ID of theirs; the envelope's address comes back all the same.
    """
    if not settings.BOUNCE_ADDRESS:
        return str(settings.DEFAULT_FROM_EMAIL)
    box, _at, domain = settings.BOUNCE_ADDRESS.rpartition("@")
    return f"{box}+{message.uid.hex}@{domain}"


def uid_in(text: str) -> UUID | None:
    """The uid of our mail that a Message-ID or a return address names; None for anything else.

    122 random bits, known to the recipient and to those who see the outbox: what a report of a bounce is
    believed by (A3).
    """
    domains = {
        message_domain(),
        *([settings.BOUNCE_ADDRESS.rpartition("@")[2]] if settings.BOUNCE_ADDRESS else []),
    }
    for uid, domain in OUR_ID.findall(text[:LONGEST_HEADER]):
        if domain.lower().rstrip(".") in {known.lower() for known in domains}:
            return UUID(uid)
    return None


def inline(html: str) -> str:
    """The page with `emails/mail.css` put into its head and then at its elements."""
    return _inliner.inline(html.replace("</head>", f"<style>{_style()}</style></head>", 1))


@cache
def _style() -> str:
    return (Path(settings.BASE_DIR) / "templates" / "emails" / "mail.css").read_text(encoding="utf-8")
