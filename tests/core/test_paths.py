"""Addresses of pages: one form each, and other spellings lead there."""

from collections.abc import Iterator

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from keys.models import Delivery
from tests.cast import Cast, sign_in
from tests.key_stories import link_of

pytestmark = pytest.mark.django_db

# Asked by probes, which follow no redirect and are configured with these very words everywhere.
PROBES = {"healthz", "readyz"}


def routes(resolver: URLResolver, before: str = "") -> Iterator[str]:
    """Every address that the portal knows, as it is written in urls.py."""
    for entry in resolver.url_patterns:
        route = before + str(entry.pattern)
        if isinstance(entry, URLPattern):
            yield route
        else:
            yield from routes(entry, route)


def test_every_address_ends_with_a_slash() -> None:
    found = set(routes(get_resolver()))
    assert len(found) > 140
    assert {route for route in found if route and not route.rstrip("$").endswith("/")} == PROBES


def test_a_page_is_found_without_its_slash_and_in_small_letters(cast: Cast) -> None:
    key, client = cast.key(), sign_in(cast.pm)
    path = reverse("keys:key-detail", args=[key.public_id])
    assert path == f"/keys/{key.public_id}/"
    assert client.get(path).status_code == 200
    for written in (path[:-1], path.lower(), path[:-1].lower(), path.replace("KB", "Kb")):
        address, n_hops = f"{written}?a=1&b=%2F", 0
        while (answer := client.get(address)).status_code == 308:
            address, n_hops = answer["Location"], n_hops + 1
        assert (answer.status_code, address) == (200, f"{path}?a=1&b=%2F")
        assert 1 <= n_hops <= 2


@pytest.mark.parametrize(
    "name", ["partners:partner-detail", "accounts:staff-detail", "keys:workspace-limits"]
)
def test_numbers_of_all_kinds_are_read_in_small_letters(cast: Cast, name: str) -> None:
    workspace = cast.key().workspace
    number = {"partners": workspace.partner.public_id, "accounts": cast.pm.public_id}.get(
        name.partition(":")[0], workspace.public_id
    )
    path, client = reverse(name, args=[number]), sign_in(cast.admin)
    answer = client.get(path.lower())
    assert (answer.status_code, answer["Location"]) == (308, path)


def test_a_redirect_tells_nobody_what_there_is(cast: Cast) -> None:
    """Nothing is looked up for it, so it is the same for a stranger and for a number that nothing has."""
    key = cast.key()
    for client in (Client(), sign_in(cast.pm)):
        for number in (key.public_id, "KB-9999"):
            answer = client.get(f"/keys/{number.lower()}/")
            assert (answer.status_code, answer["Location"]) == (308, f"/keys/{number}/")
    for junk in ("KB", "KB-", "KB-1x", "KBX-1", "KB-1/x", "0126", "KB-9999"):
        assert sign_in(cast.pm).get(f"/keys/{junk}/").status_code == 404


def test_a_link_and_a_form_from_before_lose_nothing(cast: Cast) -> None:
    """Mails of yesterday name the old form, and a page that is open at an update posts to it."""
    key = cast.key()
    old = f"/collect/{link_of(key)}"
    shown = Client().get(f"{old}?lang=en")
    assert (shown.status_code, shown["Location"]) == (308, f"{old}/?lang=en")
    assert "no-store" in shown["Cache-Control"]
    assert Client().get(old, follow=True).status_code == 200
    told = Client().post(old)
    assert (told.status_code, told["Location"]) == (308, f"{old}/")
    assert Delivery.objects.get(key=key).revealed_at is None
    assert Client().post(old, follow=True).status_code == 200
    assert Delivery.objects.get(key=key).revealed_at is not None


def test_a_form_of_another_spelling_is_taken_as_it_is(cast: Cast) -> None:
    key = cast.key()
    answer = sign_in(cast.security).post(
        f"/keys/{key.public_id.lower()}/suspend/", {"reason": "Under inquiry."}
    )
    assert answer.status_code == 302
    key.refresh_from_db()
    assert key.status == "suspended"


@pytest.mark.parametrize(
    "path", ["//evil.example/keys", "//evil.example/keys/kb-0126/", "//keys/kb-0126", "//"]
)
def test_no_spelling_leads_to_another_host(cast: Cast, path: str) -> None:
    assert sign_in(cast.pm).get("/", PATH_INFO=path).status_code == 404
