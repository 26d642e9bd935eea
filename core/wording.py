"""Dates, money and durations as people write them, in the language and zone that are active (O4)."""

from datetime import date, datetime, timedelta
from decimal import Decimal

from django.utils import timezone
from django.utils.translation import get_language, gettext, ngettext, ngettext_lazy

from core.days import NO_END

WEEKDAYS_JA = "月火水木金土日"
WEEKDAYS_EN = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS_EN = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MINUTE, HOUR, DAY = 60, 3600, 86400


def is_japanese() -> bool:
    """Whether Japanese is the language of this page or mail."""
    return (get_language() or "ja").startswith("ja")


def date_text(day: date) -> str:
    """`2026年11月25日（水）` or `25 Nov 2026`; of a contract without one, that there is no end."""
    if day == NO_END:
        return gettext("no end agreed")
    if is_japanese():
        return f"{day.year}年{day.month}月{day.day}日（{WEEKDAYS_JA[day.weekday()]}）"
    return f"{day.day} {MONTHS_EN[day.month - 1]} {day.year}"


def when_text(moment: datetime) -> str:
    """`2026年11月25日（水）17:00 JST` or `25 Nov 2026, 17:00 JST`."""
    local = timezone.localtime(moment)
    clock = f"{local:%H:%M} {zone_text(local)}"
    return f"{date_text(local.date())}{clock}" if is_japanese() else f"{date_text(local.date())}, {clock}"


def short_text(moment: datetime) -> str:
    """`11月25日 17:00` or `25 Nov, 17:00`; with the year where it is not this one."""
    local = timezone.localtime(moment)
    year = local.year != timezone.localtime().year
    if is_japanese():
        return f"{f'{local.year}年' if year else ''}{local.month}月{local.day}日 {local:%H:%M}"
    return f"{local.day} {MONTHS_EN[local.month - 1]}{f' {local.year}' if year else ''}, {local:%H:%M}"


def due_text(moment: datetime) -> str:
    """`11月25日（水）18:00` or `Wed 25 Nov, 18:00`; with the year where it is not this one."""
    local = timezone.localtime(moment)
    year = local.year != timezone.localtime().year
    if is_japanese():
        day = f"{f'{local.year}年' if year else ''}{local.month}月{local.day}日"
        return f"{day}（{WEEKDAYS_JA[local.weekday()]}）{local:%H:%M}"
    day = f"{local.day} {MONTHS_EN[local.month - 1]}{f' {local.year}' if year else ''}"
    return f"{WEEKDAYS_EN[local.weekday()]} {day}, {local:%H:%M}"


def zone_text(local: datetime) -> str:
    """`JST`, or `UTC+08` for a zone that has no letters of its own."""
    name = local.tzname() or ""
    return f"UTC{name}" if name[:1] in "+-" else name


_PAST = {
    MINUTE: ngettext_lazy("%(n)d minute ago", "%(n)d minutes ago", "n"),
    HOUR: ngettext_lazy("%(n)d hour ago", "%(n)d hours ago", "n"),
    DAY: ngettext_lazy("%(n)d day ago", "%(n)d days ago", "n"),
}
_TO_COME = {
    MINUTE: ngettext_lazy("in %(n)d minute", "in %(n)d minutes", "n"),
    HOUR: ngettext_lazy("in %(n)d hour", "in %(n)d hours", "n"),
    DAY: ngettext_lazy("in %(n)d day", "in %(n)d days", "n"),
}
_LEFT = {
    MINUTE: ngettext_lazy("%(n)d minute left", "%(n)d minutes left", "n"),
    HOUR: ngettext_lazy("%(n)d hour left", "%(n)d hours left", "n"),
    DAY: ngettext_lazy("%(n)d day left", "%(n)d days left", "n"),
}
_OVERDUE = {
    MINUTE: ngettext_lazy("overdue by %(n)d minute", "overdue by %(n)d minutes", "n"),
    HOUR: ngettext_lazy("overdue by %(n)d hour", "overdue by %(n)d hours", "n"),
    DAY: ngettext_lazy("overdue by %(n)d day", "overdue by %(n)d days", "n"),
}


def ago_text(moment: datetime, now: datetime) -> str:
    """`2 minutes ago`, `in 3 days`, `just now`. The past is rounded down, the future to the nearest."""
    seconds = int((moment - now).total_seconds())
    if abs(seconds) < MINUTE:
        return gettext("just now")
    n, unit = span_of(seconds)
    return str((_PAST if seconds < 0 else _TO_COME)[unit] % {"n": n})


def span_of(seconds: int) -> tuple[int, int]:
    """How many of which unit: what is to come is rounded, so that 71 hours 59 minutes are three days."""
    half = 1 if seconds > 0 else 0
    size = abs(seconds)
    for unit, most in ((MINUTE, 60), (HOUR, 24)):
        n = (size + half * unit // 2) // unit
        if n < most:
            return n, unit
    return (size + half * DAY // 2) // DAY, DAY


def left_text(moment: datetime, now: datetime) -> str:
    """How long until a due time: `2 days left`, `5 hours left`; after it `overdue by 3 hours`."""
    seconds = int((moment - now).total_seconds())
    n, unit = span_of(seconds)
    return str((_OVERDUE if seconds <= 0 else _LEFT)[unit] % {"n": max(n, 1)})


def duration_text(length: timedelta) -> str:
    """`40 minutes`, `5 hours`, `3 days`: whole units, rounded, in the unit that says most."""
    seconds = length.total_seconds()
    if seconds < MINUTE:
        return gettext("less than a minute")
    if seconds < 1.5 * HOUR:
        n = round(seconds / MINUTE)
        return ngettext("%(n)d minute", "%(n)d minutes", n) % {"n": n}
    if seconds < 2 * DAY:
        n = round(seconds / HOUR)
        return ngettext("%(n)d hour", "%(n)d hours", n) % {"n": n}
    n = round(seconds / DAY)
    return ngettext("%(n)d day", "%(n)d days", n) % {"n": n}


def days_left_text(day: date, today: date) -> str:
    """`130 days left`, `today`, `3 days late`."""
    days = (day - today).days
    if days == 0:
        return gettext("today")
    if days > 0:
        return ngettext("%(n)d day left", "%(n)d days left", days) % {"n": days}
    return ngettext("%(n)d day late", "%(n)d days late", -days) % {"n": -days}


def money_text(amount: Decimal | int, currency: str = "JPY") -> str:
    """`¥600,000`, `$1,200.00` (`US$1,200.00` in Japanese), else `EUR 1,200.00`."""
    if currency == "JPY":
        return f"¥{amount:,.0f}" if amount >= 0 else f"−¥{-amount:,.0f}"
    sign = {"USD": "US$" if is_japanese() else "$"}.get(currency, f"{currency}\N{NO-BREAK SPACE}")
    return f"{sign}{amount:,.2f}" if amount >= 0 else f"−{sign}{-amount:,.2f}"
