"""What every page is made of: no template breaks the CSP, every icon exists, words are right."""

import itertools
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.template import Context, Template, TemplateSyntaxError
from django.template.loader import get_template
from django.test import Client, RequestFactory
from django.utils import timezone, translation

from core import wording
from core.badges import LOOKS, TONES

ROOT = Path(settings.BASE_DIR)
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
PAGES = [path for path in TEMPLATES if "emails" not in path.parts]
ICONS = set(re.findall(r'<symbol id="([a-z-]+)"', (ROOT / "static/img/icons.svg").read_text()))
NOON = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)  # 17:00 in Tokyo

CODE = {
    "accounts",
    "approvals",
    "audit",
    "core",
    "intake",
    "keys",
    "notifications",
    "partners",
    "templates",
    "verifier",
}

FORBIDDEN = {
    "a style attribute": re.compile(r"<[^>]*\sstyle\s*=", re.IGNORECASE),
    "an event handler": re.compile(r"<[a-z][^>]*\son[a-z]+\s*=\s*[\"']", re.IGNORECASE),
    "hx-on": re.compile(r"\bhx-on\b"),
    "a javascript: address": re.compile(r"javascript:", re.IGNORECASE),
    "hx-vals by script": re.compile(r"hx-[a-z]+=[\"']js:"),
    "an inline style sheet": re.compile(r"<style\b", re.IGNORECASE),
    "an inline script": re.compile(r"<script(?![^>]*\ssrc=)", re.IGNORECASE),
    "something from elsewhere": re.compile(r"(?:src|href)=[\"'](?:https?:)?//", re.IGNORECASE),
    "an image in the page": re.compile(r"\bdata:image", re.IGNORECASE),
}


def render(source: str, **context: Any) -> str:
    return Template("{% load kagiban %}" + source).render(Context(context)).strip()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT / "templates")))
def test_no_page_needs_what_the_csp_forbids(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = [what for what, pattern in FORBIDDEN.items() if pattern.search(text)]
    assert not found


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT / "templates")))
def test_every_template_compiles_and_its_icons_exist(path: Path) -> None:
    get_template(str(path.relative_to(ROOT / "templates")))
    named = set(re.findall(r'{% icon "([^"]+)"', path.read_text(encoding="utf-8")))
    assert named <= ICONS


def test_every_icon_of_the_sprite_is_drawn_somewhere() -> None:
    """Each visitor loads all of them."""
    sources = [
        path
        for folder in ROOT.iterdir()
        if folder.is_dir() and folder.name in CODE
        for path in folder.rglob("*")
    ]
    text = "".join(
        path.read_text(encoding="utf-8") for path in sources if path.suffix in {".py", ".html", ".js"}
    )
    assert {name for name in ICONS if f'"{name}"' not in text and f"'{name}'" not in text} == set()


@pytest.mark.parametrize("script", sorted((ROOT / "static/js").glob("*.js")), ids=lambda path: path.name)
def test_no_script_evaluates_text_or_styles_elements(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert not re.search(r"\beval\(|new Function|\.innerHTML|\.style\b|setTimeout\(['\"]", text)


def test_every_state_has_an_icon_and_a_tone() -> None:
    for kind, looks in LOOKS.items():
        for state, look in looks.items():
            assert look.icon in ICONS, (kind, state)
            assert look.tone in TONES, (kind, state)


def test_vendored_parts_carry_their_licences() -> None:
    for folder in (ROOT / "static/vendor").iterdir():
        assert (folder / "LICENSE").is_file(), folder.name


def test_a_badge_says_its_state_and_never_guesses() -> None:
    html = render('{% badge "key" "active" %}')
    assert 'data-tone="ok"' in html
    assert "#ok" in html
    with pytest.raises(KeyError):
        render('{% badge "key" "nonsense" %}')
    with pytest.raises(TemplateSyntaxError):
        render('{% pill "x" "purple" %}')


def test_text_in_a_badge_is_escaped() -> None:
    assert "<b>" not in render('{% badge "key" "active" text=words %}', words="<b>")


@pytest.mark.parametrize(
    ("language", "zone", "shown"),
    [
        ("ja", "Asia/Tokyo", "2026年11月25日（水）17:00 JST"),
        ("en", "Asia/Tokyo", "25 Nov 2026, 17:00 JST"),
        ("en", "Asia/Singapore", "25 Nov 2026, 16:00 UTC+08"),
        ("ja", "America/New_York", "2026年11月25日（水）03:00 EST"),
    ],
)
def test_times_as_people_write_them(language: str, zone: str, shown: str) -> None:
    with translation.override(language), timezone.override(zone):
        html = render("{% when at %}", at=NOON)
    assert f">{shown}</time>" in html
    assert 'datetime="2026-11-25T08:00:00+00:00"' in html


def test_a_time_that_is_not_there_is_a_dash() -> None:
    assert render("{% when nothing %}{% ago nothing %}", nothing=None) == "——"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-30, "just now"),
        (-60, "1 minute ago"),
        (-3_599, "59 minutes ago"),
        (-3_600, "1 hour ago"),
        (-2 * 86_400, "2 days ago"),
        (90, "in 2 minutes"),
        (3_590, "in 1 hour"),
        (5 * 3_600, "in 5 hours"),
        (86_400, "in 1 day"),
        (72 * 3_600 - 1, "in 3 days"),
        (-72 * 3_600 + 1, "2 days ago"),
    ],
)
def test_how_long_ago(seconds: int, words: str) -> None:
    with translation.override("en"):
        assert wording.ago_text(NOON + timedelta(seconds=seconds), NOON) == words


@pytest.mark.parametrize(
    ("seconds", "japanese", "english"),
    [
        (20, "あと1分", "1 minute left"),
        (5 * 3_600, "あと5時間", "5 hours left"),
        (72 * 3_600 - 1, "あと3日", "3 days left"),
        (-1, "1分超過", "overdue by 1 minute"),
        (-26 * 3_600, "1日超過", "overdue by 1 day"),
    ],
)
def test_how_long_until_a_due_time(seconds: int, japanese: str, english: str) -> None:
    for language, words in (("ja", japanese), ("en", english)):
        with translation.override(language):
            assert wording.left_text(NOON + timedelta(seconds=seconds), NOON) == words


def test_a_due_time_always_shows_its_date() -> None:
    due = datetime(2031, 11, 26, 9, tzinfo=UTC)
    for language, words in (("ja", "2031年11月26日（水）18:00"), ("en", "Wed 26 Nov 2031, 18:00")):
        with translation.override(language):
            assert f">{words}</span>" in render("{% countdown due %}", due=due)


@pytest.mark.parametrize(("days", "words"), [(130, "130 days left"), (0, "today"), (-3, "3 days late")])
def test_how_many_days_are_left(days: int, words: str) -> None:
    today = date(2026, 11, 21)
    with translation.override("en"):
        assert wording.days_left_text(today + timedelta(days=days), today) == words


@pytest.mark.parametrize(
    ("amount", "currency", "japanese", "english"),
    [
        (500_001, "JPY", "¥500,001", "¥500,001"),
        (Decimal("1200.5"), "USD", "US$1,200.50", "$1,200.50"),
        (Decimal(-3), "USD", "−US$3.00", "−$3.00"),
        (Decimal(7), "EUR", "EUR\xa07.00", "EUR\xa07.00"),
    ],
)
def test_money_has_its_currency(amount: Decimal | int, currency: str, japanese: str, english: str) -> None:
    for language, shown in (("ja", japanese), ("en", english)):
        with translation.override(language):
            assert wording.money_text(amount, currency) == shown


@pytest.mark.parametrize("values", [[], [0], [0, 0, 0], [5], list(range(30)), [10**9, 0]])
def test_a_sparkline_is_small_and_stays_in_its_box(values: list[int]) -> None:
    html = render('{% sparkline values "30 days: 12 calls" alarm=True %}', values=values)
    assert len(html) < 700
    assert 'role="img" aria-label="30 days: 12 calls"' in html
    first, steps = re.findall(r'class="l" d="M-2 26V(\d+)h2l([^"]+)h2V26"', html)[0]
    moves = list(map(int, re.findall(r"-?\d+", steps)))
    assert set(moves[::2]) == {1}
    assert f'viewBox="-1 0 {len(moves) // 2 + 2} 24"' in html
    assert all(0 < y < 24 for y in itertools.accumulate([int(first), *moves[1::2]]))


def test_a_sparkline_has_its_highest_value_on_top_and_nothing_on_the_ground() -> None:
    html = render('{% sparkline values "Use" %}', values=[0, 10, 5, 0])
    assert '<path class="l" d="M-2 26V23h2l1-21 1 11 1 10h2V26"/>' in html


@pytest.mark.parametrize(
    ("value", "limit", "share"), [(62, 100, 0.62), (5, 0, 0), (200, 100, 1), (-5, 10, 0)]
)
def test_a_meter_stays_between_nothing_and_all(value: int, limit: int, share: float) -> None:
    html = render('{% meter value limit "Use" text="x" %}', value=value, limit=limit)
    assert f'value="{share:.3f}"' in html


def test_a_chip_takes_one_value_away_and_goes_to_the_first_page() -> None:
    request = RequestFactory().get("/keys/?status=active&status=revoked&q=a&cursor=xyz")
    source = '{% querystring_without "status" "active" %}|{% querystring_without "q" "a" %}'
    with_one, without_search = render(source, request=request).split("|")
    assert with_one == "?status=revoked&amp;q=a"
    assert "cursor" not in without_search
    assert "q=" not in without_search


@pytest.mark.django_db
def test_a_page_that_is_not_there_says_so_in_our_look(client: Client) -> None:
    answer = client.get("/no/such/page/")
    assert answer.status_code == 404
    assert "app.css" in answer.content.decode()
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.django_db
def test_a_foreign_form_is_refused_with_words() -> None:
    answer = Client(enforce_csrf_checks=True).post("/accounts/theme/", {"theme": "dark"})
    assert answer.status_code == 403
    assert "csrf" not in re.sub(r"<[^>]*>", "", answer.content.decode()).lower()
    assert not answer.cookies.get("theme")
