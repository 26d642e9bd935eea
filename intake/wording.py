"""The words for what mails are about and what is wrong with them."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Words = dict[str, str | Promise]

FOUND: Words = {
    "applicant": _("Applicant"),
    "partner": _("Company name"),
    "purpose": _("Purpose"),
    "period": _("Period"),
    "starts": _("From"),
    "ends": _("Until"),
    "contact": _("Person in charge"),
    "product": _("API products"),
    "amount": _("Monthly amount"),
    "environment": _("Environment"),
    "addresses": _("Addresses that call"),
}

TROUBLES: Words = {
    "no_fields": _("The text says nothing under a label that we know, such as 用途 or “Purpose:”."),
    "no_text": _("It has no text, only attachments or pictures."),
    "empty": _("It is empty."),
    "broken": _("Its form is broken."),
    "headers_too_long": _("Its header has no end within reason."),
    "too_nested": _("Its parts are nested too deep."),
    "too_many_parts": _("It has too many parts."),
    "too_many_lines": _("It has too many lines."),
}

NOTES: Words = {
    "raw_cut": _("It was larger than is kept: the rest of the original is missing here."),
    "raw_dropped": _(
        "The original is not kept, because it held an API key or a personal link in encoded form."
    ),
    "held_secret": _(
        "An API key or a personal link stood in this mail and was masked. Treat a key as leaked: revoke it."
    ),
    "text_cut": _("The text was longer than is kept here; the original has all of it."),
    "garbled": _("Some of its characters could not be read: its charset is wrong, or none that we know."),
    "address_unusual": _(
        "The sender's address has two dots in a row or one before the @, as some phones' have. Not every "
        "mail server takes it: our answers may come back."
    ),
    "answer_returned": _(
        "Our acknowledgement came back: the sender's address does not exist, or is somebody else's."
    ),
    "bounce_marked": _("The mail that came back is marked as undeliverable."),
    "bounce_not_final": _("It is a report of a delay; nothing was marked."),
    "bounce_over": _("The mail had failed already, or was sent again since."),
    "bounce_unknown": _(
        "It names no mail that this portal knows, so nothing was marked. If somebody waits for an answer, "
        "check the address."
    ),
    "bounce_unclear": _(
        "It does not say whether our mail came back for good, so nothing was marked. Check the recipient's "
        "address, and send the mail again if it is needed."
    ),
    "bounce_repeated": _("This report came before."),
}

MATCHED: Words = {
    "contact": _("by the sender's address"),
    "domain": _("by the domain of the sender's address"),
    "name": _("by the company's name in the text"),
    "mentioned": _("by an address in the text"),
}

MAILBOX: Words = {
    "bad_url": _("Its address in the settings (IMAP_URL) can't be read."),
    "not_encrypted": _("It is on another machine and IMAP_URL asks for no encryption; use imaps."),
    "unreachable": _("Its server does not answer."),
    "tls": _("The certificate of its server is not trusted."),
    "login_refused": _("Its server refuses the name or the password."),
    "no_folder": _("Its server has no such folder."),
    "no_keywords": _(
        "Its server keeps no keywords of ours. Set IMAP_DONE_FOLDER: processed mails are moved then."
    ),
    "broken_off": _("The connection broke off in the middle."),
}
