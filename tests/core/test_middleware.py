"""What pages say while a server is away, and what no cache may keep (S1, S3, O2)."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from tests.cast import PASSWORD, Cast, make_staff, sign_in


def test_nobody_guesses_passwords_while_tries_cannot_be_counted(cast: Cast, settings: Any) -> None:
    settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/0"}}
    client = Client(raise_request_exception=False)
    answer = client.post(reverse("account_login"), {"login": cast.pm.email, "password": PASSWORD})
    assert answer.status_code == 503
    assert answer["Retry-After"] == "10"
    assert "Not available at the moment" in answer.content.decode()
    assert "_auth_user_id" not in client.session
    assert sign_in(cast.pm).get("/").status_code == 200, "who is signed in goes on working"


@pytest.mark.django_db(transaction=True)
def test_without_the_database_a_page_says_to_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    client = sign_in(make_staff("Rin", "requester"), raise_request_exception=False)
    connection.close()
    with monkeypatch.context() as away:
        away.setitem(connection.settings_dict, "HOST", "127.0.0.1")
        away.setitem(connection.settings_dict, "PORT", "1")
        answer = client.get("/")
    connection.close()
    assert answer.status_code == 503
    assert client.get("/").status_code == 200


@pytest.mark.parametrize("url", ["/?q=%00", "/keys/%00", "/collect/%00", "/partners/?q=a%00b"])
def test_a_nul_in_an_address_is_a_bad_request(url: str, cast: Cast) -> None:
    assert sign_in(cast.pm).get(url).status_code == 400


def test_what_a_person_sees_stays_in_no_cache(cast: Cast) -> None:
    client = sign_in(cast.security)
    for name in ("home", "keys:key-list", "audit:event-list", "accounts:profile"):
        assert client.get(reverse(name))["Cache-Control"] == "private, no-store", name
