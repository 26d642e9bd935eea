"""The team's pages: who may see, invite, change, close; nobody their own; never without an administrator."""

import threading
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.links import password_link
from accounts.models import User
from accounts.roles import MATRIX, Permission, Role
from accounts.services import change_roles, deactivate_staff
from audit.actions import Action
from audit.models import Event
from core.actors import staff_actor
from core.errors import Conflict
from notifications.models import Message
from tests.cast import make_staff, sign_in

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture
def admin() -> User:
    return make_staff("Taro", "admin", address="taro@kagiban.example")


@pytest.fixture
def pm() -> User:
    return make_staff("Misaki", "pm", address="misaki@kagiban.example")


INVITATION = {
    "name": "Aoi",
    "email": "aoi@kagiban.example",
    "department": "Legal",
    "language": "ja",
    "roles": ["legal"],
}


@pytest.mark.parametrize("role", Role.values)
def test_every_role_sees_the_team_and_the_matrix(role: str) -> None:
    client = sign_in(make_staff("Somebody", role))
    assert client.get("/accounts/staff/").status_code == 200
    assert client.get("/accounts/permissions/").status_code == 200


def test_nobody_else_does(client: Client, pm: User) -> None:
    for path in ("/accounts/staff/", f"/accounts/staff/{pm.public_id}/", "/accounts/permissions/"):
        answer = client.get(path)
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith("/sign-in/?next=")


def test_the_matrix_page_shows_the_matrix_of_the_code(admin: User) -> None:
    page = sign_in(admin).get("/accounts/permissions/")
    for permission, cells in page.context["rows"]:
        assert cells == [permission in MATRIX[role] for role in Role]
    shown = page.content.decode().count('class="yes"')
    assert shown == sum(len(permissions) for permissions in MATRIX.values())
    assert len(page.context["rows"]) == len(Permission)


@pytest.mark.parametrize("role", [role for role in Role.values if role != Role.ADMIN])
def test_only_administrators_change_the_team(role: str, pm: User) -> None:
    client = sign_in(make_staff("Somebody", role))
    for path in ("roles/", "deactivate/", "invitation/"):
        assert client.post(f"/accounts/staff/{pm.public_id}/{path}", {"roles": ["admin"]}).status_code == 403
    assert client.post("/accounts/staff/invite/", INVITATION).status_code == 403
    pm.refresh_from_db()
    assert pm.roles == ["pm"]


def test_a_get_changes_nobody(admin: User, pm: User) -> None:
    client = sign_in(admin)
    for path in ("roles/", "invitation/"):
        assert client.get(f"/accounts/staff/{pm.public_id}/{path}").status_code == 405
    assert client.get(f"/accounts/staff/{pm.public_id}/deactivate/").status_code == 200
    assert not Event.objects.exists()


def test_a_stranger_s_number_is_404(admin: User) -> None:
    assert sign_in(admin).get("/accounts/staff/ST-9999/").status_code == 404


@pytest.mark.parametrize("path", ["roles/", "invitation/", "deactivate/"])
@pytest.mark.parametrize("referer", ["", "http://testserver{page}", "https://elsewhere.example{page}"])
def test_changing_the_team_needs_a_second_factor_given_lately(
    admin: User, pm: User, path: str, referer: str
) -> None:
    client = sign_in(admin, second_factor=False)
    session = client.session
    session["account_authentication_methods"] = [{"method": "mfa", "type": "totp", "at": 0}]
    session.save()
    page = f"/accounts/staff/{pm.public_id}/"
    User.objects.filter(pk=pm.pk).update(last_login=None, password="!")
    form = {"roles": ["pm", "legal"], "reason": "x", "confirm": pm.public_id}
    answer = client.post(f"{page}{path}", form, headers={"Referer": referer.format(page=page)})
    assert answer.status_code == 302
    back = page if referer.startswith("http://testserver") else "/"
    assert answer["Location"].endswith(urlencode({"next": "/accounts/kept/"})), "what was typed waits"
    kept = client.get("/accounts/kept/").content.decode()
    assert f'action="{page}{path}"' in kept
    assert f'href="{back}"' in kept, "back to the page that has the form"
    pm.refresh_from_db()
    assert (pm.roles, pm.is_active) == (["pm"], True)
    assert not Event.objects.exists()


def test_roles_change_at_once_and_the_event_says_which(admin: User, pm: User) -> None:
    theirs = sign_in(pm)
    answer = sign_in(admin).post(
        f"/accounts/staff/{pm.public_id}/roles/", {"roles": ["legal", "auditor"]}, follow=True
    )
    assert b"were saved" in answer.content
    event = Event.objects.get(action=Action.STAFF_ROLES_CHANGED)
    assert event.actor_ref == admin.public_id
    assert event.payload == {"added": ["auditor", "legal"], "removed": ["pm"]}
    assert theirs.get("/accounts/profile/").context["user"].roles == ["legal", "auditor"]


def test_no_role_at_all_is_a_form_error(admin: User, pm: User) -> None:
    assert sign_in(admin).post(f"/accounts/staff/{pm.public_id}/roles/").status_code == 422


def test_nobody_changes_their_own_roles_nor_closes_their_own_account(admin: User) -> None:
    make_staff("Another", "admin")
    client = sign_in(admin)
    assert client.post(f"/accounts/staff/{admin.public_id}/roles/", {"roles": ["coo"]}).status_code == 409
    form = {"reason": "x", "confirm": admin.public_id}
    assert client.post(f"/accounts/staff/{admin.public_id}/deactivate/", form).status_code == 409


def test_an_invitation_goes_out_as_a_link_and_no_password_exists(admin: User) -> None:
    answer = sign_in(admin).post("/accounts/staff/invite/", INVITATION)
    aoi = User.objects.get(email="aoi@kagiban.example")
    assert answer.headers["Location"] == f"/accounts/staff/{aoi.public_id}/"
    assert not aoi.has_usable_password()
    assert aoi.state == "invited"
    event = Event.objects.get(action=Action.STAFF_INVITED)
    assert event.payload == {"roles": ["legal"]}
    message = Message.objects.get(kind="staff_invited")
    assert (message.recipient_ref, message.context) == (aoi.public_id, {})


def test_the_invited_set_a_password_by_the_link(admin: User) -> None:
    sign_in(admin).post("/accounts/staff/invite/", INVITATION)
    aoi = User.objects.get(email="aoi@kagiban.example")
    browser = Client()
    form = browser.get(password_link(aoi).removeprefix("http://127.0.0.1:8000"), follow=True)
    new = "a password nobody else knows"
    browser.post(form.redirect_chain[-1][0], {"password1": new, "password2": new})
    browser.post("/sign-in/", {"login": aoi.email, "password": new, "next": "/accounts/profile/"})
    assert browser.get("/accounts/profile/").status_code == 200
    again = sign_in(admin).post(f"/accounts/staff/{aoi.public_id}/invitation/")
    assert again.status_code == 409, "no second invitation for somebody who is here"


@pytest.mark.parametrize("address", ["MISAKI@kagiban.example", "misaki@Kagiban.Example"])
def test_an_address_is_invited_once_in_any_letter_case(admin: User, pm: User, address: str) -> None:
    answer = sign_in(admin).post("/accounts/staff/invite/", INVITATION | {"email": address})
    assert answer.status_code == 422
    assert "has this address already" in answer.content.decode()
    assert User.objects.count() == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [("email", "not an address"), ("name", ""), ("roles", ["king"]), ("language", "xx"), ("name", "x" * 500)],
)
def test_a_bad_invitation_says_where(admin: User, field: str, value: object) -> None:
    answer = sign_in(admin).post("/accounts/staff/invite/", INVITATION | {field: value})
    assert answer.status_code == 422
    assert field in answer.context["form"].errors
    assert f'id="id_{field}_error"' in answer.content.decode()
    assert not User.objects.filter(name=INVITATION["name"]).exists()


def test_closing_an_account_ends_every_session_at_once(admin: User, pm: User) -> None:
    theirs = sign_in(pm)
    assert theirs.get("/accounts/profile/").status_code == 200
    form = {"reason": "Left the company", "confirm": pm.public_id}
    sign_in(admin).post(f"/accounts/staff/{pm.public_id}/deactivate/", form)
    assert theirs.get("/accounts/profile/").status_code == 302
    pm.refresh_from_db()
    assert (pm.is_active, pm.roles, pm.has_usable_password()) == (False, [], False)
    assert pm.left_at is not None
    event = Event.objects.get(action=Action.STAFF_DEACTIVATED)
    assert event.payload == {"reason": "Left the company", "before": {"roles": ["pm"]}}


def test_the_wrong_number_closes_nothing(admin: User, pm: User) -> None:
    form = {"reason": "x", "confirm": admin.public_id}
    assert sign_in(admin).post(f"/accounts/staff/{pm.public_id}/deactivate/", form).status_code == 422
    pm.refresh_from_db()
    assert pm.is_active


def test_closing_twice_is_a_conflict(admin: User, pm: User) -> None:
    actor = staff_actor(admin)
    deactivate_staff(actor=actor, user=pm, reason="left", now=NOW)
    with pytest.raises(Conflict):
        deactivate_staff(actor=actor, user=pm, reason="left", now=NOW)
    with pytest.raises(Conflict):
        change_roles(actor=actor, user=pm, roles=["pm"], now=NOW)


def test_the_last_administrator_stays(admin: User, pm: User) -> None:
    with pytest.raises(Conflict):
        change_roles(actor=staff_actor(pm), user=admin, roles=["pm"], now=NOW)
    with pytest.raises(Conflict):
        deactivate_staff(actor=staff_actor(pm), user=admin, reason="left", now=NOW)


@pytest.mark.django_db(transaction=True)
def test_two_administrators_who_remove_each_other_leave_one() -> None:
    pair = [make_staff("One", "admin"), make_staff("Two", "admin")]
    start, outcomes = threading.Barrier(2), []

    def remove(actor: User, other: User) -> None:
        start.wait()
        try:
            change_roles(actor=staff_actor(actor), user=other, roles=["pm"], now=NOW)
            outcomes.append("done")
        except Conflict:
            outcomes.append("conflict")
        finally:
            connection.close()

    threads = [threading.Thread(target=remove, args=(a, b)) for a, b in (pair, pair[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["conflict", "done"]
    assert User.objects.with_role("admin").count() == 1


def test_the_list_is_filtered_by_the_address_bar(admin: User, pm: User) -> None:
    gone = make_staff("Gone", "ops")
    deactivate_staff(actor=staff_actor(admin), user=gone, reason="left", now=NOW)
    client = sign_in(admin)

    def names(query: str) -> list[str]:
        return [row.name for row in client.get(f"/accounts/staff/{query}").context["rows"]]

    assert names("") == ["Taro", "Misaki"]
    assert names("?state=left") == ["Gone"]
    assert names("?state=all") == ["Taro", "Misaki", "Gone"]
    assert names("?role=pm") == ["Misaki"]
    assert names("?role=nonsense&q=taro%40") == ["Taro"]


def test_the_list_asks_the_database_no_more_for_more_people(admin: User) -> None:
    client = sign_in(admin)

    def n_queries() -> int:
        with CaptureQueriesContext(connection) as caught:
            client.get("/accounts/staff/")
        return len(caught)

    before = n_queries()
    for number in range(8):
        make_staff(f"Person {number}", "pm")
    assert n_queries() == before


def test_the_profile_changes_words_and_clocks_only(pm: User) -> None:
    client = sign_in(pm)
    form = {"name": "Misaki T.", "department": "Sales", "language": "en", "time_zone": "Europe/Berlin"}
    answer = client.post("/accounts/profile/", form | {"roles": ["admin"]}, follow=True)
    assert "Your profile was saved." in answer.content.decode()
    pm.refresh_from_db()
    assert (pm.name, pm.time_zone, pm.roles) == ("Misaki T.", "Europe/Berlin", ["pm"])
    event = Event.objects.get(action=Action.STAFF_PROFILE_CHANGED)
    assert "Misaki" not in bytes(event.canonical).decode(), "the event names fields, not their values"


def test_an_unknown_time_zone_is_refused(pm: User) -> None:
    form = {"name": "M", "language": "en", "time_zone": "Mars/Olympus"}
    assert sign_in(pm).post("/accounts/profile/", form).status_code == 422


def test_the_language_is_switched_by_post_only_and_kept(client: Client, pm: User) -> None:
    assert client.get("/accounts/language/").status_code == 405
    answer = client.post("/accounts/language/", {"language": "en", "next": "/sign-in/"})
    assert answer.headers["Location"] == "/sign-in/"
    assert b'<html lang="en"' in client.get("/sign-in/").content
    theirs = sign_in(pm)
    theirs.post("/accounts/language/", {"language": "ja", "next": "/accounts/profile/"})
    pm.refresh_from_db()
    assert pm.language == "ja"


@pytest.mark.parametrize("path", ["language", "theme"])
@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "javascript:alert(1)", ""])
def test_a_switch_never_leads_elsewhere(client: Client, path: str, target: str) -> None:
    answer = client.post(f"/accounts/{path}/", {"language": "en", "theme": "dark", "next": target})
    assert answer.headers["Location"] == "/"


def test_an_unknown_language_or_theme_changes_nothing(client: Client) -> None:
    for path, form in (("language", {"language": "xx"}), ("theme", {"theme": "<script>"})):
        answer = client.post(f"/accounts/{path}/", form)
        assert not answer.cookies


def test_the_theme_is_rendered_at_once(client: Client) -> None:
    client.post("/accounts/theme/", {"theme": "dark"})
    assert b'data-theme="dark"' in client.get("/sign-in/").content


def test_times_are_shown_in_the_persons_zone(pm: User) -> None:
    User.objects.filter(pk=pm.pk).update(time_zone="America/New_York", joined_at=NOW - timedelta(days=30))
    page = sign_in(pm).get(f"/accounts/staff/{pm.public_id}/").content.decode()
    assert "EST" in page or "EDT" in page
