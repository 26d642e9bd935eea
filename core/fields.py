"""Form fields shared by all forms; what they accept and refuse is in `core.parsing` (R1)."""

import re
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from core import days
from core.mail_addresses import ascii_domain
from core.parsing import (
    clean_text,
    narrow,
    parse_date,
    parse_usd,
    parse_whole_number,
    parse_yen,
    read_network,
)

_LOCAL_PART = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]+").fullmatch


class _ParsedField(forms.Field):
    """A text input whose value is read by `parse`; an empty value is None."""

    parse: Callable[[str], Any]

    def to_python(self, value: Any) -> Any:
        """The parsed value; a value that is none of text passes as it is (initial data)."""
        if value is None or (isinstance(value, str) and not narrow(value)):
            return None
        return type(self).parse(value) if isinstance(value, str) else value


class YenField(_ParsedField):
    """Whole yen, as people write them; cleaned to int, shown with thousands separators."""

    parse = staticmethod(parse_yen)

    def __init__(self, *, min_value: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.min_value = min_value
        self.widget.attrs.setdefault("inputmode", "text")
        self.widget.attrs.setdefault("autocomplete", "off")

    def validate(self, value: Any) -> None:
        """The usual, and the least amount."""
        super().validate(value)
        if value is not None and value < self.min_value:
            raise ValidationError(
                _("Write at least %(least)s yen."), code="min_value", params={"least": f"{self.min_value:,}"}
            )

    def prepare_value(self, value: Any) -> Any:
        """`500,000` for the int; what was typed stays as it was typed."""
        return f"{value:,}" if isinstance(value, int) else value


class UsdField(_ParsedField):
    """US dollars with two places; cleaned to Decimal."""

    parse = staticmethod(parse_usd)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.widget.attrs.setdefault("inputmode", "decimal")
        self.widget.attrs.setdefault("autocomplete", "off")

    def prepare_value(self, value: Any) -> Any:
        """`1,200.50` for the Decimal."""
        return f"{value:,.2f}" if isinstance(value, (Decimal, int)) else value


class PercentField(UsdField):
    """A share in per cent with up to two decimals, 100 at most; cleaned to Decimal."""

    def to_python(self, value: Any) -> Any:
        """The usual, without a per cent sign."""
        return super().to_python(
            value.replace("%", "").replace("％", "") if isinstance(value, str) else value
        )

    def validate(self, value: Any) -> None:
        """The usual, and the range."""
        super().validate(value)
        if value is not None and not 0 < value <= 100:
            raise ValidationError(_("Write a share between 0 and 100, for example 99 or 99.5."))

    def prepare_value(self, value: Any) -> Any:
        """`99` or `99.5` for the Decimal."""
        return f"{value.normalize():f}" if isinstance(value, Decimal) else value


class WholeNumberField(_ParsedField):
    """A whole number between `min_value` and `max_value`; cleaned to int."""

    parse = staticmethod(parse_whole_number)

    def __init__(self, *, min_value: int = 0, max_value: int = 2_147_483_647, **options: Any) -> None:
        super().__init__(**options)
        self.min_value, self.max_value = min_value, max_value
        self.widget.attrs.setdefault("inputmode", "numeric")
        self.widget.attrs.setdefault("autocomplete", "off")

    def validate(self, value: Any) -> None:
        """The usual, and the range."""
        super().validate(value)
        if value is not None and not self.min_value <= value <= self.max_value:
            raise ValidationError(
                _("Write a number from %(least)s to %(most)s."),
                code="range",
                params={"least": f"{self.min_value:,}", "most": f"{self.max_value:,}"},
            )

    def prepare_value(self, value: Any) -> Any:
        """`1,000` for the int."""
        return f"{value:,}" if isinstance(value, int) else value


# --- dates -----------------------------------------------------------------------------------------


class DayInput(forms.TextInput):
    """A text field for a day as people write it, and beside it the browser's own calendar."""

    template_name = "django/forms/widgets/day.html"


class DateField(_ParsedField):
    """A day, as people write it; cleaned to date, shown as 2026-11-21."""

    parse = staticmethod(parse_date)
    widget = DayInput

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.widget.attrs.setdefault("autocomplete", "off")

    def validate(self, value: Any) -> None:
        """The usual, and the calendar's bounds: 9999-12-31 is a habit for "no end", no day to count with."""
        super().validate(value)
        if value is not None and not days.is_within(value):
            raise ValidationError(
                _("Write a day from %(first)s to %(last)s."),
                code="range",
                params={"first": days.FIRST.isoformat(), "last": days.LAST.isoformat()},
            )

    def prepare_value(self, value: Any) -> Any:
        """ISO 8601 for the date."""
        return value.isoformat() if isinstance(value, date) else value


# --- lists -----------------------------------------------------------------------------------------


class _ListField(forms.Field):
    """A text area with one item a line; cleaned to a list without duplicates, in the order given."""

    widget = forms.Textarea(attrs={"rows": 4})
    separators = re.compile(r"\n")

    def __init__(self, *, max_items: int = 100, **options: Any) -> None:
        super().__init__(**options)
        self.max_items = max_items

    def to_python(self, value: Any) -> list[str]:
        """All items read, or one error for each item that can't be."""
        if isinstance(value, (list, tuple)):
            return [str(item) for item in value]
        parts = self.separators.split(str(value or "").replace("\r\n", "\n").replace("\r", "\n"))
        items: dict[str, None] = {}
        errors: list[ValidationError] = []
        for part in filter(None, (narrow(part) for part in parts)):
            try:
                items[self.read_item(part)] = None
            except ValidationError as error:
                errors.append(error)
        if len(items) + len(errors) > self.max_items:
            raise ValidationError(
                _("Write at most %(most)s entries."), code="too_many", params={"most": self.max_items}
            )
        if errors:
            raise ValidationError(errors)
        return list(items)

    def read_item(self, text: str) -> str:
        """One item in its canonical form. Raises ValidationError."""
        raise NotImplementedError

    def prepare_value(self, value: Any) -> Any:
        """One item a line."""
        return "\n".join(map(str, value)) if isinstance(value, (list, tuple)) else value


class CidrListField(_ListField):
    """IPv4 and IPv6 addresses or networks, one a line or with commas; cleaned to canonical networks."""

    separators = re.compile(r"[\n,，、;；\s]+")

    def read_item(self, text: str) -> str:
        """The canonical network."""
        return read_network(text)


class NetworkField(forms.CharField):
    """One IPv4 or IPv6 address or network, cleaned to its canonical form."""

    def clean(self, value: Any) -> str:
        """The canonical network; empty where none is needed and none was given."""
        text: str = super().clean(value)
        return read_network(text) if text else ""


class TextListField(_ListField):
    """Short texts, one a line or separated by commas; `allowed` names the only ones that are taken."""

    separators = re.compile(r"[\n,，、]+")

    def __init__(self, *, max_length: int = 60, allowed: Sequence[str] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.max_length, self.allowed = max_length, allowed

    def read_item(self, text: str) -> str:
        """The clean text."""
        text = clean_text(text)
        if len(text) > self.max_length:
            raise ValidationError(
                _("“%(text)s…” is longer than %(most)s characters."),
                code="max_length",
                params={"text": text[:20], "most": self.max_length},
            )
        if self.allowed is not None and text not in self.allowed:
            raise ValidationError(_("“%(text)s” is not known here."), code="unknown", params={"text": text})
        return text


# --- text ------------------------------------------------------------------------------------------


class _UncutField(forms.CharField):
    """Text whose length the server judges: a browser would cut off what is pasted, and say nothing."""

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:
        """The usual, without `maxlength`."""
        return {name: value for name, value in super().widget_attrs(widget).items() if name != "maxlength"}


class LineField(_UncutField):
    """One line of text for people, cleaned by `clean_text`."""

    def to_python(self, value: Any) -> str:
        """Clean before the length is measured."""
        return clean_text(super().to_python(value) or "")


class ParagraphField(_UncutField):
    """Text of several lines, cleaned by `clean_text`."""

    widget = forms.Textarea(attrs={"rows": 4})

    def to_python(self, value: Any) -> str:
        """Clean before the length is measured: to a browser a line break is one character, to a form two."""
        return clean_text(super().to_python(value) or "", lines=True)


class EmailField(_UncutField, forms.EmailField):
    """An e-mail address in lower case, ASCII only: safe in a header, and equal when it is the same."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("max_length", 254)
        super().__init__(**options)
        self.widget.attrs.setdefault("autocomplete", "off")

    def to_python(self, value: Any) -> str:
        """Half-width, lower case, the domain in its ASCII form."""
        local, at, domain = narrow(str(super().to_python(value) or "")).lower().rpartition("@")
        try:
            return f"{local}{at}{ascii_domain(domain)}"
        except ValueError:
            return f"{local}{at}{domain}"

    def validate(self, value: str) -> None:
        """The usual, without quoted local parts, which may carry line ends, and without literals ([::1])."""
        super().validate(value)
        local, _at, domain = value.rpartition("@")
        if value and not (value.isascii() and _LOCAL_PART(local) and _is_domain(domain)):
            raise ValidationError(_("Write an e-mail address like name@example.jp."), code="invalid")


def _is_domain(domain: str) -> bool:
    try:
        return ascii_domain(domain) == domain
    except ValueError:
        return False
