"""A session that has ended: the whole page goes to sign-in and comes back, and what was typed is not lost."""

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.sessions.models import Session
from django.http.response import HttpResponseBase as Response
from django.test import Client
from django.urls import reverse

from accounts.kept import LONGEST
from accounts.models import User
from partners.models import Partner
from tests.cast import PASSWORD, Cast, make_draft, sign_in

pytestmark = pytest.mark.django_db
KEPT = "/accounts/kept/"
LONG_AGO = {"account_authentication_methods": [{"method": "mfa", "type": "totp", "at": 0}]}


def htmx(page: str) -> dict[str, str]:
    return {"HX-Request": "true", "HX-Current-URL": f"http://testserver{page}"}


def browser_of(person: User, **options: Any) -> Client:
    """A browser that has shown its person a page."""
    client = sign_in(person, **options)
    assert client.get("/accounts/profile/").status_code == 200
    return client


def end_sessions() -> None:
    Session.objects.all().delete()


def next_of(url: str) -> str:
    return parse_qs(urlsplit(url).query)["next"][0]


def sign_in_again(client: Client, person: User, url: str) -> Any:
    return client.post(
        "/sign-in/", {"login": person.email, "password": PASSWORD, "next": next_of(url)}, follow=True
    )


def fields_of(page: str) -> dict[str, list[str]]:
    form = page.split('<form class="card pad narrow"')[1].split("</form>", maxsplit=1)[0]
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', form):
        found.setdefault(unescape(name), []).append(unescape(value))
    return found


def action_of(page: str) -> str:
    found = re.search(r'narrow" method="post" action="([^"]*)"', page)
    assert found
    return unescape(found[1])


# --- htmx -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["/keys/?q=tsubame&status=active", "/keys/"])
def test_a_piece_sends_the_whole_page_to_sign_in_and_back_to_that_page(cast: Cast, page: str) -> None:
    client = browser_of(cast.pm)
    end_sessions()
    answer = client.get("/keys/?q=tsub", headers=htmx(page))
    assert (answer.status_code, answer.content) == (200, b"")
    assert "Location" not in answer
    assert answer["HX-Redirect"].startswith("/sign-in/?")
    assert next_of(answer["HX-Redirect"]) == page
    assert "HX-Request" in answer["Vary"]


@pytest.mark.parametrize(
    "address", ["", "https://evil.example/keys/", "http://testserver//evil.example/", "//["]
)
def test_a_piece_of_an_unknown_page_leads_home(cast: Cast, address: str) -> None:
    answer = Client().get("/keys/", headers={"HX-Request": "true", "HX-Current-URL": address})
    assert next_of(answer["HX-Redirect"]) == "/"


def test_every_piece_of_the_portal_answers_so(cast: Cast) -> None:
    key, number = cast.key().public_id, cast.company.public_id
    draft = make_draft(cast.company, cast.requester)
    pieces = {
        reverse("keys:key-list"): "get",
        reverse("approvals:key-approvals-panel", args=[key]): "get",
        reverse("approvals:key-changes-panel", args=[key]): "get",
        reverse("approvals:partner-requests-panel", args=[number]): "get",
        reverse("approvals:request-path-panel", args=[draft.public_id]): "post",
    }
    for url, method in pieces.items():
        answer = getattr(Client(), method)(url, headers=htmx("/"))
        assert answer["HX-Redirect"].startswith("/sign-in/?"), url


def test_a_second_factor_that_is_asked_for_again_is_no_piece_either(cast: Cast) -> None:
    client = browser_of(cast.admin)
    session = client.session
    session.update(LONG_AGO)
    session.save()
    page = f"/accounts/staff/{cast.pm.public_id}/"
    answer = client.get(f"{page}deactivate/", headers=htmx(page))
    assert answer["HX-Redirect"].startswith("/accounts/second-factor/?")
    assert next_of(answer["HX-Redirect"]) == page


@pytest.mark.parametrize(
    ("role", "url", "status"), [("legal", "/keys/KB-9999/", 404), ("requester", "/audit/", 403)]
)
def test_a_refusal_in_a_panel_is_a_notice_and_no_page(cast: Cast, role: str, url: str, status: int) -> None:
    client = sign_in(cast.everyone[role])
    answer = client.get(url, headers=htmx("/"))
    text = answer.content.decode()
    assert answer.status_code == status
    assert 'role="alert"' in text
    assert "<html" not in text
    assert "<html" in client.get(url).content.decode()


def test_a_mistake_of_ours_in_a_panel_is_a_notice_too(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    client = sign_in(cast.pm, raise_request_exception=False)
    monkeypatch.setattr("keys.registry.views.registry.registry.registry_page", fail)
    answer = client.get("/keys/", headers=htmx("/keys/"))
    assert answer.status_code == 500
    assert "<html" not in answer.content.decode()
    assert "Something went wrong on our side" in answer.content.decode()
    assert "<html" in client.get("/keys/").content.decode()


# --- what was typed -------------------------------------------------------------------------------


def test_a_form_that_was_sent_too_late_waits_for_its_person(cast: Cast) -> None:
    client = browser_of(cast.pm)
    typed = {"name": "  Seabird\r\nLogistics <b>&amp;", "kind": "company", "tags": ["a", "b"]}
    end_sessions()
    answer = client.post(
        "/partners/register/", typed, headers={"Referer": "http://testserver/partners/register/?x=1"}
    )
    assert answer.status_code == 302
    assert next_of(answer["Location"]) == KEPT
    assert (
        "what you typed is kept"
        in client.get(answer["Location"], headers={"Accept-Language": "en"}).content.decode()
    )
    page = sign_in_again(client, cast.pm, answer["Location"]).content.decode()
    assert action_of(page) == "/partners/register/"
    assert 'href="/partners/register/?x=1"' in page
    fields = fields_of(page)
    fields.pop("csrfmiddlewaretoken")
    assert fields == {"name": [typed["name"]], "kind": ["company"], "tags": ["a", "b"]}
    assert not Partner.objects.filter(name__startswith="Seabird").exists(), "nothing is sent unasked"


def test_the_long_form_comes_back_from_its_panel_and_is_saved_with_a_click(cast: Cast) -> None:
    draft = make_draft(cast.company, cast.requester)
    page = f"/requests/{draft.public_id}/edit"
    client = browser_of(cast.requester)
    shown = client.get(reverse("approvals:request-edit", args=[draft.public_id]))
    page = shown.request["PATH_INFO"]
    typed = {"version": draft.version, "name": "Typed for forty minutes", "purpose": "一行目\r\n二行目"}
    end_sessions()
    panel = reverse("approvals:request-path-panel", args=[draft.public_id])
    answer = client.post(panel, typed, headers=htmx(page))
    assert next_of(answer["HX-Redirect"]) == KEPT
    kept = sign_in_again(client, cast.requester, answer["HX-Redirect"]).content.decode()
    assert action_of(kept) == page
    client.post(page, fields_of(kept))
    draft.refresh_from_db()
    assert draft.draft["name"] == "Typed for forty minutes"
    assert draft.draft["purpose"] == "一行目\n二行目"


def test_nobody_else_sees_what_was_typed(cast: Cast) -> None:
    client = browser_of(cast.pm)
    end_sessions()
    answer = client.post("/partners/register/", {"name": "Seabird"})
    page = sign_in_again(client, cast.legal, answer["Location"])
    assert page.redirect_chain[-1][0] == "/"
    assert "Seabird" not in page.content.decode()


@pytest.mark.parametrize("cookie", ["", "ST-0001", "ST-0001:1abc:forged"])
def test_a_stranger_stores_nothing_here(cast: Cast, cookie: str) -> None:
    client = Client()
    client.cookies["person"] = cookie
    answer = client.post("/partners/register/", {"name": "x" * 1000})
    assert next_of(answer["Location"]) == "/"
    assert not Session.objects.exists()


def test_too_much_is_not_kept_and_the_page_comes_back(cast: Cast) -> None:
    client = browser_of(cast.pm)
    end_sessions()
    referer = {"Referer": "http://testserver/partners/register/"}
    answer = client.post("/partners/register/", {"name": "x" * LONGEST}, headers=referer)
    assert next_of(answer["Location"]) == "/partners/register/"


def test_what_was_typed_before_a_second_factor_waits_as_well(cast: Cast) -> None:
    client = browser_of(cast.admin)
    session = client.session
    session.update(LONG_AGO)
    session.save()
    page = f"/accounts/staff/{cast.pm.public_id}/"
    form = {"reason": "Left the company", "confirm": cast.pm.public_id}
    answer = client.post(f"{page}deactivate/", form, headers={"Referer": f"http://testserver{page}"})
    assert next_of(answer["Location"]) == KEPT
    kept = client.get(KEPT).content.decode()
    assert action_of(kept) == f"{page}deactivate/"
    assert fields_of(kept)["reason"] == ["Left the company"]


# --- a sign-in in another window ------------------------------------------------------------------


def stale(
    person: User, headers: dict[str, str], path: str = "/partners/register/"
) -> tuple[Client, Response]:
    """A form whose token is of the time before a sign-in in another window."""
    client = sign_in(person, enforce_csrf_checks=True)
    client.get(path)
    answer = client.post(path, {"name": "Seabird", "csrfmiddlewaretoken": "x" * 64}, headers=headers)
    return client, answer


def test_a_form_of_ours_that_is_too_old_waits_with_a_fresh_token(cast: Cast) -> None:
    client, answer = stale(cast.pm, {"Origin": "http://testserver"})
    assert answer.status_code == 302
    assert answer["Location"] == KEPT
    fields = fields_of(client.get(KEPT).content.decode())
    assert fields["name"] == ["Seabird"]
    assert client.post("/partners/register/", fields).status_code == 422, (
        "judged as a form, not refused as old"
    )


@pytest.mark.parametrize("origin", [{}, {"Origin": "null"}, {"Origin": "https://evil.example"}])
def test_a_form_from_elsewhere_is_refused_and_not_kept(cast: Cast, origin: dict[str, str]) -> None:
    client, answer = stale(cast.pm, origin)
    assert answer.status_code == 403
    assert "accounts.kept_form" not in client.session


def test_a_password_is_never_kept(cast: Cast) -> None:
    client = sign_in(cast.pm, enforce_csrf_checks=True)
    form = {"oldpassword": PASSWORD, "password1": "x", "csrfmiddlewaretoken": "x" * 64}
    answer = client.post("/sign-in/password/change/", form, headers={"Origin": "http://testserver"})
    assert answer.status_code == 403
    assert "accounts.kept_form" not in client.session


def test_there_is_no_page_where_nothing_waits(cast: Cast) -> None:
    assert sign_in(cast.pm).get(KEPT)["Location"] == "/"
