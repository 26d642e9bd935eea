"""Sessions stand sealed in the database (S3)."""

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse

from accounts.models import User
from core.sessions import SessionStore
from tests.cast import make_staff, sign_in

pytestmark = pytest.mark.django_db


def test_the_secret_of_an_app_that_is_being_set_up_is_sealed() -> None:
    user: User = make_staff("Naoto Takahashi", "tech")
    client: Client = sign_in(user)
    page = client.get(reverse("mfa_activate_totp"))
    assert page.status_code == 200, page.headers
    secret = client.session["mfa.totp.secret"]
    assert len(secret) >= 16
    row = Session.objects.get(session_key=client.session.session_key)
    assert secret not in row.session_data
    assert Session.objects.filter(session_data__startswith="1.").exists()
    assert SessionStore(row.session_key).load()["mfa.totp.secret"] == secret


@pytest.mark.parametrize(
    "text", ["", "1.", "9.abcd", "1.AAAAAAAAAAAAAAAAAAAAAAAAAAAA", "eyJhIjoxfQ:1abc:sig", "1.é"]
)
def test_a_session_that_was_changed_is_empty(text: str) -> None:
    assert SessionStore().decode(text) == {}
    assert SessionStore().decode(SessionStore().encode({"a": 1})) == {"a": 1}
