"""The mails about one's own account: what they say, and that their links work and stand nowhere else."""

import re

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from accounts.services import invite_staff, request_password_link
from core.actors import staff_actor
from notifications.models import Message
from notifications.registry import builder_of
from notifications.rendering import render_mail
from tests.cast import PASSWORD, make_staff, sign_in

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture
def admin() -> User:
    return make_staff("Taro", "admin")


def mail_of(kind: str) -> tuple[str, str, str]:
    """Subject, text and HTML of the one message of its kind."""
    message = Message.objects.get(kind=kind)
    mail = builder_of(kind)(message)
    assert mail is not None
    finished = render_mail(message, mail)
    return str(finished.subject), str(finished.body), str(finished.alternatives[0][0])


def invite(admin: User, language: str = "en") -> User:
    return invite_staff(
        actor=staff_actor(admin),
        email="aoi@kagiban.example",
        name="Aoi",
        department="",
        roles=["legal"],
        language=language,
        now=NOW,
    )


def test_an_invitation_has_its_link_in_text_and_html_and_nowhere_else(admin: User) -> None:
    invite(admin)
    subject, text, html = mail_of("staff_invited")
    found = re.search(r"http://\S+/sign-in/password/new/\S+", text)
    assert found
    assert found.group() in html
    assert "account" in subject
    token = found.group().rstrip("/").rpartition("-")[2]
    assert token not in str(list(Message.objects.values()))


def test_nobody_is_invited_who_is_here_already(admin: User) -> None:
    aoi = invite(admin)
    aoi.set_password(PASSWORD)
    aoi.save(update_fields=["password"])
    assert builder_of("staff_invited")(Message.objects.get(kind="staff_invited")) is None


def test_a_forgotten_password_is_answered_by_mail(client: Client, admin: User) -> None:
    client.post("/sign-in/password/forgotten/", {"email": admin.email})
    _, text, _ = mail_of("password_link")
    assert "/sign-in/password/new/" in text


def test_a_password_link_goes_to_nobody_who_left(admin: User) -> None:
    pm = make_staff("Misaki", "pm")
    request_password_link(actor=staff_actor(pm), user=pm, now=NOW)
    User.objects.filter(pk=pm.pk).update(is_active=False, roles=[])
    assert builder_of("password_link")(Message.objects.get(kind="password_link")) is None


def test_a_changed_password_is_told_to_its_owner(admin: User) -> None:
    new = "an entirely new password"
    form = {"oldpassword": PASSWORD, "password1": new, "password2": new}
    sign_in(make_staff("Misaki", "pm")).post("/sign-in/password/change/", form)
    _, text, html = mail_of("account_changed")
    for part in (text, html):
        assert "password of your account was changed" in part
        assert "tell an administrator" in part
        assert new not in part
