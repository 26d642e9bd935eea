"""法人番号: the 13 digits under which Japan's public register knows a company."""

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from core.parsing import narrow


def check_digit(twelve: str) -> str:
    """The first digit of a corporate number, from the twelve behind it (Ministry of Finance ordinance, 2014).

    9 minus (the sum of the digits, every second one from the right doubled, modulo 9).
    """
    total = sum(int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(twelve)))
    return str(9 - total % 9)


def parse_corporate_number(text: str) -> str:
    """13 digits, or `""` for an empty text; hyphens and full-width are fine. Raises ValidationError."""
    number = narrow(text).replace("-", "").replace(" ", "")
    if not number:
        return ""
    if len(number) != 13 or not (number.isascii() and number.isdigit()):
        raise ValidationError(_("A corporate number has 13 digits."), code="invalid")
    if number[0] != check_digit(number[1:]):
        raise ValidationError(
            _("This corporate number can't exist: its check digit is wrong. Look for a typing mistake."),
            code="check_digit",
        )
    return number
