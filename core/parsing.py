"""Reading what people write: amounts, dates, addresses, text (R1, "Bad input").

Japanese offices write `５００，００１`, `50万円`, `令和8年11月21日`. A reader either knows exactly what was
meant or says how to write it; it never guesses, because a wrong amount may miss an approval (A1).
"""

import re
import unicodedata
from datetime import date
from decimal import Decimal
from ipaddress import IPv6Network
from typing import Final

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from core.addresses import MAPPED, Network, parse_network

MAX_YEN: Final = 999_999_999_999
MAX_USD: Final = Decimal("9999999999.99")
REIWA_BEGAN: Final = date(2019, 5, 1)
# The widest range that a key may be bound to; a wider one binds it to nothing.
SHORTEST_PREFIX: Final = {4: 8, 6: 16}

# Full-width ASCII (U+FF01…U+FF5E), the ideographic space and the full-width yen sign. Not NFKC, which would
# also turn ⑤ and ² into digits, and so 5² into 52.
_NARROW = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: " ", 0xFFE5: "¥"}
# Letters and marks by their category that show nothing: Hangul and Khmer fillers, the Braille blank, the
# grapheme joiner, Mongolian selectors. Variation selectors stay: Japanese names need them (葛󠄀).
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
# Letters, numbers, punctuation, symbols, and what is nobody's yet; not marks, spaces and joiners alone.
_SHOWN = "LNPS"
_WIDE_LETTERS = re.compile("[０-９Ａ-Ｚａ-ｚｦ-ﾟ]+")
_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)"
_WHOLE = re.compile(_DIGITS).fullmatch
_YEN = re.compile(rf"(?:¥|\\|JPY)? ?({_DIGITS}) ?(?:円|JPY)?", re.IGNORECASE).fullmatch
_YEN_UNITS = re.compile(rf"¥? ?(?:({_DIGITS})億)?(?:({_DIGITS})万)?({_DIGITS})? ?円?").fullmatch
_YEN_FRACTION = re.compile(rf"¥? ?({_DIGITS})\.([0-9]+)(億|万) ?円?").fullmatch
_USD = re.compile(
    rf"(?:US\$|\$|USD)? ?({_DIGITS})(?:\.([0-9]{{1,2}}))? ?(?:USD|ドル)?", re.IGNORECASE
).fullmatch
_NEGATIVE = re.compile(r"^[¥$\\ ]*[-−‐‑–—△▲]|^\(.*\)$").search  # accountants write △500 and (500)
_DATE = re.compile(r"([0-9]{4})(?:-|/|\.|年)([0-9]{1,2})(?:-|/|\.|月)([0-9]{1,2})日?").fullmatch
_REIWA = re.compile(
    r"(?:令和|令|R)([0-9]{1,2}|元)(?:-|/|\.|年)([0-9]{1,2})(?:-|/|\.|月)([0-9]{1,2})日?", re.IGNORECASE
).fullmatch


def narrow(text: str) -> str:
    """Full-width ASCII made half-width and the ends stripped: for numbers, dates, addresses and codes."""
    return text.translate(_NARROW).strip()


def digits_of(text: str) -> str:
    """The digits of a code that somebody typed: of any width, with spaces or dashes between them."""
    return "".join(character for character in narrow(text) if character in "0123456789")


def clean_text(text: str, *, lines: bool = False) -> str:
    """Text for people: NFC, letters and digits half-width, half-width kana full-width, nothing invisible.

    Japanese punctuation stays as it was written. Control characters, surrogates, zero-width spaces and
    direction overrides (with which a name can pretend to be another) are dropped. `lines` keeps line breaks
    and tabs; otherwise all white space becomes one space. What shows nothing at all is empty.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    # Before anything is put together: what stood on both sides of it would be looked at too late.
    text = "".join(
        char for char in text if not _is_invisible(char) or (char in "\n\t" if lines else char.isspace())
    )
    text = _WIDE_LETTERS.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)
    text = unicodedata.normalize("NFC", text)
    if not any(unicodedata.category(char)[0] in _SHOWN for char in text):
        return ""
    return text.strip() if lines else " ".join(text.split())


def _is_invisible(char: str) -> bool:
    # Joiners (U+200C, U+200D) shape emoji and some scripts: they stay.
    is_control = unicodedata.category(char) in {"Cc", "Cs", "Cf", "Zl", "Zp"} and char not in "\u200c\u200d"
    return is_control or char in _BLANK


# --- money and numbers -----------------------------------------------------------------------------


def parse_yen(text: str) -> int:
    """`500,000`, `５００，００１`, `¥500,000`, `500,000円`, `50万円`, `1.5万円`, `1億2000万円` → whole yen.

    Raises ValidationError for a negative amount, a fraction of a yen and anything that could be read in two
    ways.
    """
    text = narrow(text)
    if _NEGATIVE(text):
        raise ValidationError(
            _("An amount can't be negative. Write it like 500,000 or 50万円."), code="negative"
        )
    plain = _YEN(text)
    amount = _number(plain[1]) if plain else _yen_in_units(text)
    if amount is None:
        if re.search(r"[0-9]\.[0-9]", text):
            raise ValidationError(
                _("Write whole yen without a decimal point, for example 500,000 or 50万円."), code="fraction"
            )
        raise ValidationError(
            _("This is not an amount in yen. Write it like 500,000 or 50万円."), code="invalid"
        )
    if amount > MAX_YEN:
        raise ValidationError(_("This amount is too large. Is it really in yen?"), code="too_large")
    return amount


def _yen_in_units(text: str) -> int | None:
    fraction = _YEN_FRACTION(text)
    if fraction:
        whole, decimals, unit = fraction.groups()
        # Three decimals may be a European thousands point (1.500万), and a comma beside a point is no better.
        if len(decimals) == 3 or "," in whole:
            return None
        exact = Decimal(f"{whole}.{decimals}") * (10**8 if unit == "億" else 10**4)
        return int(exact) if exact == int(exact) else None
    units = _YEN_UNITS(text)
    if units is None or not (units[1] or units[2]):
        return None
    hundred_millions, ten_thousands, ones = (_number(part or "0") for part in units.groups())
    # Below a larger unit only what fits under it: 1億20000万 has no one meaning.
    if units[1] and ten_thousands >= 10_000:
        return None
    if ones >= (10_000 if units[2] else 10**8):
        return None
    return hundred_millions * 10**8 + ten_thousands * 10**4 + ones


def parse_usd(text: str) -> Decimal:
    """`1,234.50`, `$1234.5`, `１２３４` → dollars with two places. Raises ValidationError."""
    text = narrow(text)
    if _NEGATIVE(text):
        raise ValidationError(
            _("An amount can't be negative. Write it like 1,200 or 1,200.50."), code="negative"
        )
    match = _USD(text)
    if match is None:
        raise ValidationError(
            _("This is not an amount in US dollars. Write it like 1,200 or 1,200.50."), code="invalid"
        )
    amount = Decimal(f"{_number(match[1])}.{match[2] or '0'}")
    if amount > MAX_USD:
        raise ValidationError(_("This amount is too large."), code="too_large")
    return amount.quantize(Decimal("0.01"))


def parse_whole_number(text: str) -> int:
    """`1000`, `1,000`, `１０００` → 1000; `-5` is a whole number, too. Raises ValidationError."""
    text = narrow(text)
    digits = text.removeprefix("-").removeprefix("\N{MINUS SIGN}")
    if not _WHOLE(digits) or len(text) > 20:
        raise ValidationError(_("Write a whole number, for example 100 or 1,000."), code="invalid")
    return _number(digits) if digits == text else -_number(digits)


def _number(digits: str) -> int:
    return int(digits.replace(",", "")) if len(digits) <= 40 else 10**40


# --- dates and networks ----------------------------------------------------------------------------


def parse_date(text: str) -> date:
    """`2026-11-21`, `2026/11/21`, `2026年11月21日`, `令和8年11月21日`, `R8.11.21` → date.

    Raises ValidationError.
    """
    text = re.sub(r"\s", "", narrow(text))
    western, reiwa = _DATE(text), _REIWA(text)
    if western is None and reiwa is None:
        raise ValidationError(
            _("Write the date like 2026-11-21, 2026年11月21日 or R8.11.21."), code="invalid"
        )
    try:
        found = _western_day(western) if western else _reiwa_day(reiwa)
    except ValueError:
        raise ValidationError(
            _("There is no such day. Write the date like 2026-11-21, 2026年11月21日 or R8.11.21."),
            code="no_such_day",
        ) from None
    return found


def _western_day(match: re.Match[str]) -> date:
    return date(int(match[1]), int(match[2]), int(match[3]))


def _reiwa_day(match: re.Match[str] | None) -> date:
    if match is None:
        raise ValueError
    year = 1 if match[1] == "元" else int(match[1])
    day = date(2018 + year, int(match[2]), int(match[3]))
    if year < 1 or day < REIWA_BEGAN:
        raise ValueError
    return day


def read_network(text: str) -> str:
    """`203.0.113.7` → `203.0.113.7/32`; a network in its canonical form. Raises ValidationError.

    Refuses host bits that are set (and proposes the network), and ranges so wide that they bind nothing.
    """
    text = narrow(text)
    try:
        # An IPv6 zone (fe80::1%eth0) has a meaning on one machine only.
        network = parse_network(text.replace("%", " no zone "))
    except ValueError:
        raise ValidationError(
            _("“%(text)s” is no IP address or range. Write it like 203.0.113.7 or 203.0.113.0/24."),
            code="invalid",
            params={"text": text[:60]},
        ) from None
    if network.prefixlen < SHORTEST_PREFIX[network.version] or _is_around_ipv4(network):
        raise ValidationError(
            _("“%(text)s” is so wide that it protects nothing. Write the addresses that really call."),
            code="too_wide",
            params={"text": text[:60]},
        )
    try:
        parse_network(text, strict=True)
    except ValueError:
        raise ValidationError(
            _("“%(text)s” does not begin where its range begins. Did you mean %(proposal)s?"),
            code="host_bits",
            params={"text": text[:60], "proposal": str(network)},
        ) from None
    return str(network)


def _is_around_ipv4(network: Network) -> bool:
    """Whether a range of IPv6 lies around the addresses that stand for those of IPv4."""
    return isinstance(network, IPv6Network) and network.supernet_of(MAPPED)


# --- searching -------------------------------------------------------------------------------------

LONGEST_SEARCH: Final = 120
MOST_WORDS: Final = 6
# As Japanese keyboards write it: full width, and with any of the lines that look like a hyphen.
_NUMBER = re.compile(r"([A-Za-z]{2})[-‐‑‒–—―−ー]([0-9]{1,12})", re.ASCII).fullmatch


def search_words(text: str) -> list[str]:
    """The words of a search, all of which have to be found; `ＫＢ－０１１６` as it is kept, `KB-0116`.

    More words than MOST_WORDS are left out.
    """
    words = clean_text(text[:LONGEST_SEARCH]).split()[:MOST_WORDS]
    return [_as_number(word) for word in words]


def _as_number(word: str) -> str:
    match = _NUMBER(narrow(word))
    return f"{match[1].upper()}-{match[2]}" if match else word
