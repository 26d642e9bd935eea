"""What is not kept of a mail: API keys that somebody pasted, and personal links of our own mails (S4).

A link is known by its token, not by its spelling: mail gateways rewrite links (`%2Fcollect%2F…`, Safe Links,
Proofpoint), mail programs break and quote them. So whatever could be a token is undone of its encodings and
looked up by its hash (intake.tokens).
"""

import re
from base64 import urlsafe_b64decode
from binascii import Error as NotBase64
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from html import unescape
from typing import Final
from urllib.parse import quote, unquote

from django.conf import settings

from core.links import TOKEN_LENGTH
from core.parsing import clean_text
from keys.secrets.form import contains_secret, mask_all

_PAGES = "decide|consent|collect|receipt|not-me|withdraw"
_SLASH = "(?:/|%2[Ff]|%252[Ff])"
_RUN: Final = re.compile(rf"[A-Za-z0-9_-]{{{TOKEN_LENGTH},}}", re.ASCII)
_BASE64_RUN: Final = re.compile(r"[A-Za-z0-9+/_-]{60,}={0,2}", re.ASCII)
# Where a line ends within a link: quoted-printable's soft break, and the marks of a quoted answer.
_BREAK: Final = r"(?:=?\r?\n[ \t]*(?:[>|][ \t]?)*)"
_HEX: Final = re.compile(r"=([0-9A-Fa-f]{2})", re.ASCII)
# Proofpoint's urldefense v2 writes `-` for `%` and `_` for `/`.
_PROOFPOINT: Final = str.maketrans("-_", "%/")


@dataclass(frozen=True)
class Masks:
    """What is masked: keys, links of ours by their form, and these tokens however they are written."""

    tokens: frozenset[str] = frozenset()

    def text(self, text: str) -> str:
        """The text without the random parts of keys and without tokens."""
        text = _links(settings.PORTAL_URL).sub(r"\1…", mask_all(text))
        if self.tokens:
            text = self._written.sub("…", text)
            text = _BASE64_RUN.sub(lambda run: "…" if self._stands_in(_undone(run[0])) else run[0], text)
        return text

    def is_clean(self, text: str) -> bool:
        """Whether nothing stands in it that `text` would mask, or would not find for its encoding."""
        return not contains_secret(text) and self.text(text) == text and not self._stands_in(text)

    def tidy(self, text: str, *, length: int, lines: bool = False) -> str:
        """Text of a mail as it may be kept: no control characters, no secrets, not longer than `length`."""
        # Cut before it is cleaned, for the time that takes, and after, for what masking added.
        return self.text(clean_text(text[: 2 * length], lines=lines))[:length].strip()

    def _stands_in(self, text: str) -> bool:
        return bool(self.tokens) and not self.tokens.isdisjoint(candidates(text))

    @cached_property
    def _written(self) -> re.Pattern[str]:
        return re.compile("|".join(f"{_BREAK}?".join(map(_any_form, token)) for token in sorted(self.tokens)))


def mask_text(text: str) -> str:
    """The text without the random parts of keys and without links of ours in their plain form."""
    return Masks().text(text)


def as_read(text: str) -> str:
    """Text as a reader sees it: a key in full-width letters, or with invisible spaces in it, is a key."""
    return clean_text(text, lines=True)


def candidates(text: str) -> set[str]:
    """Whatever could be a token of ours in this text, by length and letters, in any of its encodings."""
    return {run[0][:TOKEN_LENGTH] for form in _forms(text) for run in _RUN.finditer(form)}


def _forms(text: str) -> Iterator[str]:
    """The text with what mail programs and gateways did to its links undone."""
    for base in dict.fromkeys((text, re.sub(_BREAK, "", text))):
        once = unquote(base)
        yield from dict.fromkeys(
            (
                base,
                once,
                unquote(once),
                unescape(base),
                _HEX.sub(lambda match: chr(int(match[1], 16)), base),
                unquote(base.translate(_PROOFPOINT)),
                *map(_undone, _BASE64_RUN.findall(base)),
            )
        )


def _undone(run: str) -> str:
    """What a run of Base64 says; empty for what is none."""
    data = run.rstrip("=").replace("+", "-").replace("/", "_")
    try:
        return urlsafe_b64decode(data + "=" * (-len(data) % 4)).decode("latin-1")
    except (NotBase64, ValueError):
        return ""


def _any_form(character: str) -> str:
    code = f"{ord(character):02x}"
    return rf"(?:{re.escape(character)}|(?i:(?:%|%25|=|-){code}))"


@cache
def _links(portal_url: str) -> re.Pattern[str]:
    """Links of ours with a token, and those of mails on any host: a link scanner may have rewritten them."""
    token = r"[A-Za-z0-9_:.%=-]{20,}"  # noqa: S105 - the form of one
    portal = "|".join(dict.fromkeys(re.escape(form) for form in (portal_url, quote(portal_url, safe=""))))
    return re.compile(
        rf"({_SLASH}(?:{_PAGES}){_SLASH}|(?:{portal}){_SLASH}[a-z/%F2-]{{3,60}}{_SLASH}){token}", re.ASCII
    )
