"""A mail scanner opens every link, follows redirects and presses every button: nothing is decided (A3)."""

from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from django.conf import settings
from django.test import Client

from approvals.decisions.mails.steps import consent_requested, step_requested
from approvals.models import Decision, LinkOpening, Request, Step
from notifications.models import Message
from tests.cast import Cast, decide, open_step

pytestmark = pytest.mark.django_db


class Page(HTMLParser):
    """The links and the forms of a page, with what their inputs hold."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.forms: list[tuple[str, str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect what a bot could follow or send."""
        given: dict[str, Any] = dict(attrs)
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag == "form":
            self.forms.append((given.get("method", "get"), given.get("action", ""), {}))
        if tag in {"input", "button", "textarea"} and given.get("name") and self.forms:
            self.forms[-1][2].setdefault(given["name"], given.get("value") or "12345678")


def let_loose(client: Client, start: str, *, most: int = 120) -> list[str]:
    """Fetch `start`, then every link and every form found on the way, as far as they stay on this host."""
    seen: set[str] = set()
    waiting: list[tuple[str, str, dict[str, str]]] = [("get", start, {}), ("head", start, {})]
    visited: list[str] = []
    while waiting and len(visited) < most:
        method, url, data = waiting.pop(0)
        mark = f"{method} {url} {sorted(data)}"
        if mark in seen or urlsplit(url).path.startswith("/static/"):
            continue
        seen.add(mark)
        response = (
            getattr(client, method)(url, data, follow=True)
            if data
            else getattr(client, method)(url, follow=True)
        )
        visited.append(url)
        here = response.request["PATH_INFO"]
        page = Page(response.content.decode(errors="replace"))
        waiting += [("get", urljoin(here, link), {}) for link in page.links if not urlsplit(link).netloc]
        for form_method, action, fields in page.forms:
            waiting.append((form_method.lower(), urljoin(here, action or here), fields))
            waiting.append((form_method.lower(), urljoin(here, action or here), {}))
    return visited


def links_in_mail(request: Request, kind: str) -> list[str]:
    """The addresses that the mail of this kind would hold, without the host."""
    builder = step_requested if kind == "step_requested" else consent_requested
    mail = builder(Message.objects.filter(kind=kind).order_by("id")[0])
    assert mail is not None
    return [
        mail.context[name].removeprefix(settings.PORTAL_URL)
        for name in ("url", "approve_url", "changes_url", "reject_url")
    ]


@pytest.mark.parametrize("answer", range(4))
def test_a_scanner_of_staffs_mail_decides_nothing(cast: Cast, answer: int) -> None:
    request = cast.request()
    visited = let_loose(Client(), links_in_mail(request, "step_requested")[answer])
    assert len(visited) > 3
    assert not Decision.objects.exists()
    assert open_step(request).links.filter(used_at=None, died_at=None).count() == 2
    assert LinkOpening.objects.exists()
    decide(request, cast.pm)


@pytest.mark.parametrize("answer", range(4))
def test_a_scanner_of_the_rights_holders_mail_decides_nothing(cast: Cast, answer: int) -> None:
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    url = links_in_mail(request, "consent_requested")[answer]
    visited = let_loose(Client(), url)
    assert any(address.endswith("/code/") for address in visited)
    assert Decision.objects.count() == 1
    step = open_step(request)
    assert (step.role, step.state) == ("rights_holder", Step.State.OPEN)
    assert step.links.get().used_at is None


def test_openings_are_kept_within_bounds(cast: Cast) -> None:
    request = cast.request()
    url = links_in_mail(request, "step_requested")[0]
    client = Client()
    for _number in range(105):
        client.head(url)
    assert LinkOpening.objects.count() == 100
