"""What is not kept of a mail: API keys that somebody pasted, and personal links of our own mails (S4)."""

import re
from functools import cache

from django.conf import settings

from core.parsing import clean_text
from keys.secrets.form import contains_secret, mask_all

_TOKEN = r"[A-Za-z0-9_-]{20,}"  # noqa: S105 - the form of one
_PAGES = "decide|consent|collect|receipt"


def mask_text(text: str) -> str:
    """The text without the random parts of keys and without the tokens of our links."""
    return _links(settings.PORTAL_URL).sub(r"\1…", mask_all(text))


def is_clean(text: str) -> bool:
    """Whether nothing stands in it that `mask_text` would mask."""
    return not contains_secret(text) and mask_text(text) == text


def as_read(text: str) -> str:
    """Text as a reader sees it: a key in full-width letters, or with invisible spaces in it, is a key."""
    return clean_text(text, lines=True)


def tidy(text: str, *, length: int, lines: bool = False) -> str:
    """Text of a mail as it may be kept: no control characters, no secrets, not longer than `length`."""
    # Cut before it is cleaned, for the time that takes, and after, for what masking added.
    return mask_text(clean_text(text[: 2 * length], lines=lines))[:length].strip()


@cache
def _links(portal_url: str) -> re.Pattern[str]:
    """Links of ours with a token, and those of mails on any host: a link scanner may have rewritten them."""
    return re.compile(rf"(/(?:{_PAGES})/|{re.escape(portal_url)}/[a-z/-]{{3,60}}/){_TOKEN}")
