"""Signing in: passwords, second factors, recovery codes, closed accounts; each step leaves its event (S1)."""

import base64
import hashlib
import hmac
import re
import struct
import time
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from accounts.links import password_link
from accounts.models import User
from audit.actions import Action
from audit.models import Event
from notifications.models import Message
from tests.cast import PASSWORD, make_staff, sign_in
from tests.clock import early_in

pytestmark = pytest.mark.django_db
SECRET = base64.b32encode(b"a secret of the tests").decode()


@pytest.fixture
def pm() -> User:
    return make_staff("Misaki", "pm", address="misaki@kagiban.example")


@pytest.fixture
def tech() -> User:
    return make_staff("Naoto", "tech", address="naoto@kagiban.example")


@pytest.fixture
def admin() -> User:
    return make_staff("Taro", "admin", address="taro@kagiban.example")


def code_of(secret: str, steps: int = 0) -> str:
    """The six digits that an authenticator app shows (RFC 6238), computed without the code under test.

    With some of its thirty seconds left to send it.
    """
    early_in(30)
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.new(key, struct.pack(">Q", int(time.time()) // 30 + steps), hashlib.sha1).digest()
    offset = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[offset : offset + 4])[0] & 0x7FFFFFFF) % 10**6:06d}"


def give_password(client: Client, user: User, password: str = PASSWORD) -> str:
    """Send the sign-in form; returns where it leads, or "" where it is shown again."""
    form = {"login": user.email, "password": password, "next": "/accounts/profile/"}
    answer = client.post("/sign-in/", form)
    return answer.headers.get("Location", "")


def new_secret(client: Client) -> str:
    """The secret that the page for a new app shows."""
    page = client.get("/sign-in/second-factor/app/add/").content.decode()
    found = re.search(r'<pre id="totp-secret"[^>]*>([A-Z2-7]+)</pre>', page)
    assert found
    return found.group(1)


def actions() -> list[str]:
    return list(Event.objects.order_by("id").values_list("action", flat=True))


def test_a_password_signs_in_and_is_audited(client: Client, pm: User) -> None:
    assert give_password(client, pm) == "/accounts/profile/"
    assert client.get("/accounts/profile/").status_code == 200
    event = Event.objects.get(action=Action.SIGNED_IN)
    assert event.actor_ref == pm.public_id
    assert event.payload == {"methods": ["password"]}


def test_a_wrong_password_is_audited_without_what_was_typed(client: Client, pm: User) -> None:
    assert give_password(client, pm, "hunter2hunter2") == ""
    event = Event.objects.get(action=Action.SIGN_IN_FAILED)
    assert event.objects_touched == [f"staff:{pm.public_id}"]
    assert b"hunter2" not in bytes(event.canonical)


def test_an_unknown_address_is_refused_with_the_same_words(client: Client, pm: User) -> None:
    known = client.post("/sign-in/", {"login": pm.email, "password": "not the password"})
    unknown = client.post("/sign-in/", {"login": "nobody@kagiban.example", "password": "not the password"})
    notice = re.compile(rb'role="alert">.*?</div>', re.DOTALL)
    found = [notice.search(answer.content) for answer in (known, unknown)]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].group() == found[1].group()


def test_many_wrong_passwords_lock_the_address_for_a_time(client: Client, pm: User) -> None:
    for _ in range(5):
        give_password(client, pm, "not the password")
    assert give_password(client, pm) == "", "the right password no longer helps"


def test_there_is_no_page_to_sign_up(client: Client) -> None:
    for path in ("/sign-in/signup/", "/accounts/signup/"):
        assert client.get(path).status_code == 404


def test_a_link_to_elsewhere_is_not_followed_after_signing_in(client: Client, pm: User) -> None:
    answer = client.post(
        "/sign-in/", {"login": pm.email, "password": PASSWORD, "next": "https://evil.example/"}
    )
    assert "evil.example" not in answer.headers["Location"]


@pytest.mark.parametrize("role", ["tech", "security", "coo", "admin"])
def test_these_roles_open_nothing_before_they_have_a_second_factor(client: Client, role: str) -> None:
    person = make_staff("Somebody", role)
    give_password(client, person)
    for path in ("/accounts/profile/", "/accounts/staff/", "/sign-in/password/change/"):
        answer = client.get(path)
        assert answer.status_code == 302, path
        assert answer.headers["Location"] == "/accounts/second-factor/", path
    assert b"/sign-in/second-factor/app/add/" in client.get("/accounts/second-factor/").content


@pytest.mark.parametrize("role", ["requester", "pm", "legal", "ops", "auditor"])
def test_other_roles_may_work_without_one(client: Client, role: str) -> None:
    give_password(client, make_staff("Somebody", role))
    assert client.get("/accounts/profile/").status_code == 200


def test_setting_up_an_app_opens_the_portal_and_seals_the_secret(client: Client, tech: User) -> None:
    give_password(client, tech)
    secret = new_secret(client)
    answer = client.post("/sign-in/second-factor/app/add/", {"code": code_of(secret)})
    assert answer.headers["Location"] == "/sign-in/second-factor/recovery-codes/"
    assert client.get("/accounts/staff/").status_code == 200
    stored = Authenticator.objects.get(user=tech, type="totp").data["secret"]
    assert secret not in stored
    assert stored.startswith("1."), "sealed under the first version of FIELD_SECRET"
    assert Action.SECOND_FACTOR_ADDED in actions()
    assert Action.RECOVERY_CODES_MADE in actions()


def test_a_wrong_first_code_changes_nothing(client: Client, tech: User) -> None:
    give_password(client, tech)
    client.get("/sign-in/second-factor/app/add/")
    client.post("/sign-in/second-factor/app/add/", {"code": "000000"})
    assert not Authenticator.objects.exists()
    assert Action.SECOND_FACTOR_ADDED not in actions()


def test_the_second_factor_is_asked_at_sign_in(client: Client, tech: User) -> None:
    TOTP.activate(tech, SECRET)
    assert give_password(client, tech).startswith("/sign-in/second-factor/code/")
    assert client.get("/accounts/profile/").status_code == 302, "not signed in yet"
    client.post("/sign-in/second-factor/code/", {"code": "123456"})
    assert actions()[-1] == Action.SIGN_IN_FAILED
    client.post("/sign-in/second-factor/code/", {"code": code_of(SECRET)})
    assert client.get("/accounts/profile/").status_code == 200
    assert Event.objects.get(action=Action.SIGNED_IN).payload == {"methods": ["password", "totp"]}


def test_a_password_is_no_second_factor_again(admin: User) -> None:
    """Where the second factor is demanded again, a password is neither offered nor enough (S2)."""
    TOTP.activate(admin, SECRET)
    client = sign_in(admin, second_factor=False)
    act = "/accounts/staff/invite/"
    asked = client.get(act)["Location"]
    assert asked.startswith("/sign-in/second-factor/")
    page = client.get(asked).content.decode()
    assert 'name="code"' in page
    assert "Use your password" not in page
    assert reverse("account_reauthenticate") not in page
    url = reverse("account_reauthenticate")
    given = client.post(f"{url}?next={act}", {"password": PASSWORD, "next": act})
    assert given["Location"] == act
    assert client.get(act)["Location"] == asked, "the password was right, and is still no second factor"
    client.post(asked, {"code": code_of(SECRET), "next": act})
    assert client.get(act).status_code == 200


def test_a_passkey_is_offered_beside_the_code(admin: User) -> None:
    TOTP.activate(admin, SECRET)
    Authenticator.objects.create(user=admin, type=Authenticator.Type.WEBAUTHN, data={"name": "Laptop"})
    page = sign_in(admin).get(reverse("mfa_reauthenticate")).content.decode()
    assert "Another way" in page
    assert reverse("mfa_reauthenticate_webauthn") in page
    assert "Use your password" not in page


def test_a_code_works_once(client: Client, tech: User) -> None:
    TOTP.activate(tech, SECRET)
    code = code_of(SECRET)
    give_password(client, tech)
    client.post("/sign-in/second-factor/code/", {"code": code})
    other = Client()
    give_password(other, tech)
    other.post("/sign-in/second-factor/code/", {"code": code})
    assert other.get("/accounts/profile/").status_code == 302


def signs_in(user: User, code: str) -> bool:
    """Whether somebody gets in with this code."""
    client = Client()
    give_password(client, user)
    client.post("/sign-in/second-factor/code/", {"code": code})
    return client.get("/accounts/profile/").status_code == 200


@pytest.mark.parametrize(("steps", "is_taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_code_may_be_a_step_late_or_early(tech: User, steps: int, is_taken: bool) -> None:
    TOTP.activate(tech, SECRET)
    assert signs_in(tech, code_of(SECRET, steps)) is is_taken


def test_a_used_code_and_those_before_it_are_never_taken_again(tech: User) -> None:
    TOTP.activate(tech, SECRET)
    # All of one moment, whatever time the sign-ins take.
    last, code, following = (code_of(SECRET, steps) for steps in (-1, 0, 1))
    assert signs_in(tech, code)
    cache.clear()  # as when thirty seconds have passed for django-allauth, or the cache was emptied
    for used in (code, last):
        assert not signs_in(tech, used)
    assert actions()[-1] == Action.SIGN_IN_FAILED
    assert signs_in(tech, following)
    cache.clear()
    for used in (following, code, last):
        assert not signs_in(tech, used)


def test_a_used_code_is_not_taken_where_it_is_asked_for_again(admin: User) -> None:
    TOTP.activate(admin, SECRET)
    code = code_of(SECRET)
    assert signs_in(admin, code)
    cache.clear()
    client = sign_in(admin, second_factor=False)
    asked = client.get("/accounts/staff/invite/")["Location"]
    client.post(asked, {"code": code})
    assert client.get("/accounts/staff/invite/")["Location"] == asked


def test_the_code_that_set_an_app_up_is_used(client: Client, tech: User) -> None:
    give_password(client, tech)
    secret = new_secret(client)
    code = code_of(secret)
    client.post("/sign-in/second-factor/app/add/", {"code": code})
    assert Authenticator.objects.filter(user=tech, type="totp").exists()
    assert not signs_in(tech, code)
    assert signs_in(tech, code_of(secret, 1))


WIDE = str.maketrans("0123456789-", "０１２３４５６７８９－")


@pytest.mark.parametrize("pattern", ["{} {}", " {}\u3000{} ", "{}-{}", "{}ー{}"])
def test_codes_are_read_as_people_type_them(tech: User, pattern: str) -> None:
    TOTP.activate(tech, SECRET)
    code = code_of(SECRET).translate(WIDE)
    assert signs_in(tech, pattern.format(code[:3], code[3:]))


def test_a_first_code_and_a_recovery_code_are_read_so_too(client: Client, tech: User) -> None:
    give_password(client, tech)
    secret = new_secret(client)
    client.post("/sign-in/second-factor/app/add/", {"code": f"{code_of(secret).translate(WIDE)}\u3000"})
    page = client.get("/sign-in/second-factor/recovery-codes/").content.decode()
    code = re.findall(r"<li>(\d{8})</li>", page)[0]
    assert signs_in(tech, f"{code[:4]}-{code[4:]}".translate(WIDE))


@pytest.mark.parametrize(
    "typed", ["ｍｉｓａｋｉ＠ｋａｇｉｂａｎ．ｅｘａｍｐｌｅ", "\u3000Misaki@kagiban.example "]
)
def test_an_address_is_read_as_people_type_it(client: Client, pm: User, typed: str) -> None:
    client.post("/sign-in/", {"login": typed, "password": PASSWORD})
    assert client.get("/accounts/profile/").status_code == 200
    Client().post("/sign-in/password/forgotten/", {"email": typed})
    assert Message.objects.filter(recipient_ref=pm.public_id).exists()


def test_a_recovery_code_signs_in_once(client: Client, tech: User) -> None:
    TOTP.activate(tech, SECRET)
    known = sign_in(tech)
    known.post("/sign-in/second-factor/recovery-codes/new/")
    page = known.get("/sign-in/second-factor/recovery-codes/").content.decode()
    codes = re.findall(r"<li>(\d{8})</li>", page)
    assert len(codes) == 10
    for attempt, status in ((Client(), 200), (Client(), 302)):
        give_password(attempt, tech)
        attempt.post("/sign-in/second-factor/code/", {"code": codes[0]})
        assert attempt.get("/accounts/profile/").status_code == status
    assert Action.RECOVERY_CODE_USED in actions()


def test_the_last_second_factor_stays_where_a_role_demands_it(tech: User) -> None:
    TOTP.activate(tech, SECRET)
    sign_in(tech).post("/sign-in/second-factor/app/remove/")
    assert Authenticator.objects.filter(user=tech, type="totp").exists()


def test_without_such_a_role_it_may_go(pm: User) -> None:
    TOTP.activate(pm, SECRET)
    sign_in(pm).post("/sign-in/second-factor/app/remove/")
    assert not Authenticator.objects.filter(user=pm, type="totp").exists()
    assert Action.SECOND_FACTOR_REMOVED in actions()


def test_changing_factors_long_after_signing_in_asks_who_it_is(pm: User) -> None:
    client = sign_in(pm)
    session = client.session
    session["account_authentication_methods"] = [{"method": "password", "at": time.time() - 3_600}]
    session.save()
    answer = client.get("/sign-in/second-factor/app/add/")
    assert answer.headers["Location"].startswith("/sign-in/again/")


def test_signing_out_needs_a_post_and_is_audited(pm: User) -> None:
    client = sign_in(pm)
    assert client.get("/sign-in/out/").status_code == 200
    assert client.get("/accounts/profile/").status_code == 200, "a GET changed nothing"
    client.post("/sign-in/out/")
    assert client.get("/accounts/profile/").status_code == 302
    assert Action.SIGNED_OUT in actions()


def test_a_closed_account_does_not_sign_in(client: Client, pm: User) -> None:
    User.objects.filter(pk=pm.pk).update(is_active=False, roles=[])
    give_password(client, pm)
    assert client.get("/accounts/profile/").status_code == 302


def test_other_devices_can_be_signed_out(client: Client, pm: User) -> None:
    give_password(client, pm)
    other = Client()
    give_password(other, pm)
    assert client.post("/sign-in/sessions/").status_code == 302
    assert other.get("/accounts/profile/").status_code == 302
    assert client.get("/accounts/profile/").status_code == 200
    assert Action.SESSION_ENDED in actions()


def test_a_password_link_sets_a_password_once(client: Client, pm: User) -> None:
    path = password_link(pm).removeprefix("http://127.0.0.1:8000")
    form = client.get(path, follow=True)
    action = form.redirect_chain[-1][0]
    new = "an entirely new password"
    client.post(action, {"password1": new, "password2": new})
    pm.refresh_from_db()
    assert pm.check_password(new)
    assert Action.PASSWORD_CHANGED in actions()
    again = Client(headers={"Accept-Language": "en"}).get(path, follow=True)
    assert b"no longer good" in again.content


def test_asking_for_a_link_says_the_same_for_strangers(client: Client, pm: User) -> None:
    for address in (pm.email, "nobody@kagiban.example"):
        answer = client.post("/sign-in/password/forgotten/", {"email": address})
        assert answer.headers["Location"] == "/sign-in/password/forgotten/sent/"


def test_passkey_options_are_given_for_signing_in(client: Client) -> None:
    answer = client.get("/sign-in/passkey/", headers={"Accept": "application/json"})
    assert answer.json()["request_options"]["publicKey"]["challenge"]


def test_too_many_attempts_from_one_place_get_their_own_page(client: Client, settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"login": "1/m/ip"}
    form = {"login": "nobody@kagiban.example", "password": "not the password"}
    client.post("/sign-in/", form, headers={"Accept-Language": "en"})
    answer = client.post("/sign-in/", form, headers={"Accept-Language": "en"})
    assert answer.status_code == 429
    assert b"Too many attempts" in answer.content


def test_a_public_page_speaks_the_language_that_the_browser_asks_for(client: Client) -> None:
    assert b'<html lang="en"' in client.get("/sign-in/", headers={"Accept-Language": "en-GB"}).content
    assert b'<html lang="ja"' in client.get("/sign-in/", headers={"Accept-Language": "fr"}).content


def test_someone_signed_in_reads_their_own_language(client: Client) -> None:
    person = make_staff("Misaki", "pm", language="ja")
    give_password(client, person)
    assert b'<html lang="ja"' in client.get("/accounts/profile/", headers={"Accept-Language": "en"}).content
