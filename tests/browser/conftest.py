"""Chromium, and the product's processes, for the tests that look at pages as people do."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

if TYPE_CHECKING:
    from tests.browser.people import Visitor
    from tests.product import Product, Stage

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
# What a window opens for its address bar, which nobody sees here: two pages more for each browser of a test.
UNSEEN = ("WebUIOmniboxPopup", "WebUIOmniboxAimPopup")
# The last list counts alone, so these are Playwright's own (chromiumSwitches.ts) that matter to a test.
DISABLED = (
    "AimEnabled", "AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable", "HttpsUpgrades", "LensOverlay", "MediaRouter",
    "NetworkTimeServiceQuerying", "OptimizationHints", "PaintHolding", "PreconnectToSearch",
    "ThirdPartyStoragePartitioning",
)  # fmt: skip
# There is no GPU to find: without it Chromium need not play one.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", f"--disable-features={','.join((*DISABLED, *UNSEEN))}"]
# pytest reads this file before Django's set-up: what imports models is imported by the fixtures.


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """The system's Chromium, started once; each test opens browsers of its own in it."""
    # Playwright runs a loop in this thread, on which Django refuses its (here harmless) blocking queries.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    # What is there in time is not waited for: only a busy machine needs so long.
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture(scope="package")
def stage(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator["Stage"]:
    """Where portal, verifier and worker run, from the first test that needs them to the last in a row."""
    from tests.product import Stage

    with Stage(tmp_path_factory.mktemp("product")) as stage:
        yield stage


@pytest.fixture(autouse=True)
def _alone(request: pytest.FixtureRequest, stage: "Stage") -> None:
    """No worker takes the tasks of a test that has none."""
    if "product" not in request.fixturenames:
        stage.clear()


@pytest.fixture
def product(stage: "Stage", transactional_db: None) -> Iterator["Product"]:
    """The running product with an empty mailbox."""
    product = stage.product()
    product.forget()
    yield product
    product.settle()


@pytest.fixture
def guests(chromium: Browser, product: "Product") -> Iterator["Visitor"]:
    """Browsers that visit the running product."""
    from tests.browser.people import Visitor

    visitor = Visitor(chromium, product.base)
    yield visitor
    visitor.close()
    assert not visitor.troubles


@pytest.fixture
def visitor(chromium: Browser, live_server: Any) -> Iterator["Visitor"]:
    """Browsers that visit the portal alone, served by this process."""
    from tests.browser.people import Visitor

    visitor = Visitor(chromium, live_server.url)
    yield visitor
    visitor.close()
    assert not visitor.troubles
