"""What a first visit loads, and that nothing moves while it does (UX)."""

import random
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page

from keys.models import KeyUseDay
from keys.terms.terms import office_day
from tests.browser.people import DESKTOP, PHONE, Visitor
from tests.cast import Cast
from tests.key_stories import reveal

pytestmark = pytest.mark.django_db(transaction=True)
MOST_BYTES = 40_000
# The page, one style sheet, two scripts, the icons, the browser's own icon.
MOST_REQUESTS = 6
N_KEYS = 27  # a full page of the registry, and another one
NAMES = ("配送追跡", "在庫照会", "Fan club", "決済", "Ticket sales", "気象", "地図", "Catalogue", "翻訳")
# Slow enough that the page is drawn before its scripts are there: what they move is seen.
TRAIN = {"offline": False, "latency": 100, "downloadThroughput": 40_000, "uploadThroughput": 40_000}
WATCH_SHIFTS = """
window.shifts = []
new PerformanceObserver(list => window.shifts.push(...list.getEntries().map(entry =>
    ({value: entry.value, what: entry.sources.map(source => source.node?.outerHTML?.slice(0, 80))})
))).observe({type: "layout-shift", buffered: true})
"""
# Bodies as they came over the wire, compressed; what came from the browser's cache did not come.
LOADED = """
[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
    .filter(entry => entry.transferSize).map(entry => [entry.name, entry.encodedBodySize])
"""


@pytest.mark.parametrize("device", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("path", ["/", "/keys/"])
def test_a_first_visit_is_light_and_nothing_moves(
    cast: Cast, guests: Visitor, path: str, device: dict[str, Any]
) -> None:
    fill_registry(cast)
    page = guests.browser(cast.ops, language="ja", **device)
    sizes = loaded(page, path)
    assert all(sizes.values()), sizes
    assert sum(sizes.values()) <= MOST_BYTES, sizes
    assert len(sizes) <= MOST_REQUESTS, sizes
    assert page.evaluate("window.shifts") == []


def test_a_second_page_loads_nothing_but_itself(cast: Cast, guests: Visitor) -> None:
    page = guests.browser(cast.ops)
    loaded(page, "/")
    assert list(loaded(page, "/keys/")) == [f"{guests.base}/keys/"]


def fill_registry(cast: Cast) -> None:
    """Keys of many names whose use goes up and down: the less they are alike, the less is compressed."""
    dice = random.Random(28)
    days, today = [], office_day(timezone.now())
    for number in range(N_KEYS):
        ends = today + timedelta(days=dice.randrange(20, 300))
        name = f"{dice.choice(NAMES)}{dice.choice(NAMES)}{number}"
        key = cast.key(name=name, expires_on=ends.isoformat())
        if number % 3:
            reveal(key)
        for back in range(30):
            day = today - timedelta(days=back)
            days.append(KeyUseDay(key=key, day=day, n_allowed=dice.randrange(9_000)))
    KeyUseDay.objects.bulk_create(days)


def loaded(page: Page, path: str) -> dict[str, int]:
    """The bytes that a page and all of its parts took, by address."""
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", TRAIN)
    page.add_init_script(WATCH_SHIFTS)
    page.goto(path)
    page.wait_for_load_state("networkidle")
    return dict(page.evaluate(LOADED))
