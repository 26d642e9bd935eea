"""The pieces of a page: `{% load kagiban %}`. Each is described in docs/ui.md."""

import functools
import itertools
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django import template
from django.forms import BoundField
from django.http import HttpRequest
from django.template.context import Context
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from core import wording
from core.badges import TONES, look_of
from core.days import NO_END
from core.mail_addresses import readable_address
from core.paging import count_text

register = template.Library()

NOTICE_ICONS = {"info": "info", "ok": "ok", "warn": "warning", "bad": "alert"}
MESSAGE_TONES = {"success": "ok", "warning": "warn", "error": "bad"}


register.filter("mail_address", readable_address)


# --- numbers --------------------------------------------------------------------------------------


# Of a count by `core.paging.capped_count`.
register.filter("capped", count_text)


# --- icons and badges ---------------------------------------------------------------------------


@register.simple_tag
def icon(name: str, size: int = 18, label: str = "") -> SafeString:
    """One icon of the sprite. Without a label it is decoration and hidden from screen readers."""
    if not label:
        return _decoration(name, size)
    return _svg(name, size, format_html('role="img" aria-label="{}"', label))


@functools.lru_cache(maxsize=256)  # a page has dozens of a few
def _decoration(name: str, size: int) -> SafeString:
    return _svg(name, size, SafeString('aria-hidden="true"'))


def _svg(name: str, size: int, described: SafeString) -> SafeString:
    return format_html(
        '<svg width="{0}" height="{0}" {1}><use href="{2}#{3}"/></svg>',
        str(size),
        described,
        static("img/icons.svg"),
        name,
    )


@register.simple_tag
def badge(kind: str, state: str, text: str = "", size: str = "") -> SafeString:
    """A state in words, with its icon and tone from `core.badges`; `text` replaces the words."""
    look = look_of(kind, state)
    return pill(text or look.text, look.tone, look.icon, size)


@register.simple_tag
def pill(text: str | Promise, tone: str = "mute", icon_name: str = "", size: str = "") -> SafeString:
    """A badge with words of its own: `{% pill _("2 of 3") "info" "clock" %}`."""
    if tone not in TONES:
        raise template.TemplateSyntaxError(f"unknown tone: {tone}")
    return format_html(
        '<span class="badge{}" data-tone="{}">{}{}</span>',
        f" {size}" if size else "",
        tone,
        icon(icon_name, 15) if icon_name else "",
        text,
    )


@register.filter
def tone_of(state: str, kind: str) -> str:
    """The tone of a state: `<li class="step" data-tone="{{ step.state|tone_of:"step" }}">`."""
    return look_of(kind, state).tone


@register.filter
def icon_of(state: str, kind: str) -> str:
    """The icon's name of a state."""
    return look_of(kind, state).icon


@register.filter
def state_text(state: str, kind: str) -> str:
    """The words of a state, without a badge."""
    return str(look_of(kind, state).text)


@register.filter
def message_tone(tag: str) -> str:
    """The tone of a Django message by its level tag."""
    return MESSAGE_TONES.get(tag, "info")


# --- times --------------------------------------------------------------------------------------


@register.simple_tag
def when(value: datetime | date | None, style: str = "long") -> SafeString | str:
    """A time in the person's zone as `<time>`. Styles: long, short, date, iso (a date), time."""
    if value is None:
        return "—"
    if not isinstance(value, datetime):
        if value == NO_END:
            return wording.date_text(value)
        text = value.isoformat() if style == "iso" else wording.date_text(value)
        return format_html('<time datetime="{}">{}</time>', value.isoformat(), text)
    local = timezone.localtime(value)
    text = {
        "long": lambda: wording.when_text(value),
        "short": lambda: wording.short_text(value),
        "date": lambda: wording.date_text(local.date()),
        "iso": lambda: local.date().isoformat(),
        "time": lambda: f"{local:%H:%M}",
    }[style]()
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', value.isoformat(), wording.when_text(value), text
    )


@register.simple_tag
def ago(value: datetime | None, empty: str = "—") -> SafeString | str:
    """How long ago, or in how long: `<time>` whose words app.js keeps up to date."""
    if value is None:
        return empty
    return format_html(
        '<time datetime="{}" title="{}" data-ago>{}</time>',
        value.isoformat(),
        wording.when_text(value),
        wording.ago_text(value, timezone.now()),
    )


@register.simple_tag
def countdown(value: datetime) -> SafeString:
    """A due time: its date, and how long is left, whose last day ticks in the page as hh:mm:ss."""
    return format_html(
        '<span class="due"><span class="nowrap">{}</span> '
        '<time class="clock" datetime="{}" title="{}" data-countdown="{}" data-late="{}">{}</time></span>',
        wording.due_text(value),
        value.isoformat(),
        wording.when_text(value),
        gettext("{time} left"),
        gettext("overdue"),
        wording.left_text(value, timezone.now()),
    )


@register.filter
def when_text(value: datetime) -> str:
    """A time in words, for mails and `{% blocktranslate with … %}`."""
    return wording.when_text(value)


@register.filter
def duration_text(value: timedelta) -> str:
    """A length of time in words."""
    return wording.duration_text(value)


@register.filter
def date_text(value: date | datetime) -> str:
    """A date in words."""
    return wording.date_text(timezone.localtime(value).date() if isinstance(value, datetime) else value)


@register.filter
def days_left(value: date | datetime) -> str:
    """`130 days left`, `today`, `3 days late`."""
    day = timezone.localtime(value).date() if isinstance(value, datetime) else value
    return wording.days_left_text(day, timezone.localdate())


# --- numbers ------------------------------------------------------------------------------------


@register.filter
def money(amount: Decimal | int | None, currency: str = "JPY") -> str:
    """`{{ contract.monthly_jpy|money }}`, `{{ key.budget|money:"USD" }}`. None is —."""
    return "—" if amount is None else wording.money_text(amount, currency)


@register.simple_tag
def sparkline(values: Sequence[int], label: str, alarm: bool = False) -> SafeString:
    """A line of numbers, oldest first, as SVG. `label` is what a screen reader says.

    `alarm` puts a red dot on the last value. A list has dozens of these, so each is written as steps between
    whole pixels: half of what its points take, compressed.
    """
    height = 24
    numbers = list(values) or [0, 0]
    if len(numbers) == 1:
        numbers *= 2
    top = max(numbers) or 1
    heights = [height - 1 - round((height - 3) * value / top) for value in numbers]
    steps = "".join(
        f"{'l' if not i else ' '}1 {b - a}" for i, (a, b) in enumerate(itertools.pairwise(heights))
    )
    # From below the picture's left edge to below its right one: what is filled reaches the ground.
    line = f"M-2 26V{heights[0]}h2{steps.replace(' -', '-')}h2V26"
    last = len(numbers) - 1
    return format_html(
        '<svg class="spark{}" width="96" height="24" viewBox="-1 0 {} 24" preserveAspectRatio="none"'
        ' role="img" aria-label="{}"><path class="l" d="{}"/>{}</svg>',
        "" if any(numbers) else " flat",
        last + 2,
        label,
        line,
        format_html('<path class="x" d="M{} {}h0"/>', last, heights[-1]) if alarm else "",
    )


@register.simple_tag
def meter(value: Decimal | float, limit: Decimal | float, label: str, text: str = "") -> SafeString:
    """Use against a limit: amber from 80 %, red from 90 %. `text` stands below it (`62% / ¥300,000`)."""
    share = min(max(float(value) / float(limit), 0.0), 1.0) if limit else 0.0
    return format_html(
        '<span class="meter"><meter min="0" max="1" low="0.8" high="0.9" optimum="0" value="{}" '
        'aria-label="{}"></meter>{}</span>',
        f"{share:.3f}",
        label,
        format_html("<span>{}</span>", text) if text else "",
    )


# --- forms and links ----------------------------------------------------------------------------


@register.simple_tag
def field(bound: BoundField, prefix: str = "", suffix: str = "", wide: bool = False) -> SafeString:
    """`{{ form.x.as_field_group }}` with words before or after the input, or over all columns."""
    context = {"field": bound, "prefix": prefix, "suffix": suffix, "wide": wide}
    return SafeString(render_to_string("django/forms/field.html", context))


@register.simple_tag(takes_context=True)
def querystring_without(context: Context, name: str, value: Any) -> str:
    """This page's query string without one value of a filter, and from its first page (chips)."""
    request: HttpRequest = context["request"]
    query = request.GET.copy()
    kept = [item for item in query.getlist(name) if item != str(value)]
    query.setlist(name, kept)
    query.pop("cursor", None)
    if not kept:
        del query[name]
    return f"?{query.urlencode()}" if query else "?"


# --- blocks --------------------------------------------------------------------------------------


@register.simple_block_tag
def notice(content: str, tone: str = "info", role: str = "") -> SafeString:
    """`{% notice "warn" %}…{% endnotice %}`: tones as in NOTICE_ICONS; `role="alert"` for news."""
    return format_html(
        '<div class="notice" data-tone="{}"{}>{}<div>{}</div></div>',
        tone,
        format_html(' role="{}"', role) if role else "",
        icon(NOTICE_ICONS[tone], 20),
        content,
    )
