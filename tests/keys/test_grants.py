"""Letting a key act in another workspace of its partner (V2)."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.core import mail
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import Event
from core.actors import staff_actor
from core.errors import Invalid
from keys.hotstore import publish as hotstore
from keys.models import Key, WorkspaceGrant
from keys.status.services import revoke_key
from keys.terms.terms import office_day
from keys.workspaces.services.grants import MAX_GRANTS, end_due_grants, grant_workspace
from notifications.models import Message
from notifications.services.delivery import sweep_outbox
from partners.models import Workspace
from partners.services import change_workspace
from tests.cast import Cast, sign_in
from tests.dataplane import LiveKey, authorize, change, make_gateway, make_live_key, verify

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def live(cast: Cast) -> LiveKey:
    return make_live_key(partner=cast.company, owner=cast.requester)


@pytest.fixture
def other(cast: Cast) -> Workspace:
    return cast.company.workspaces.create(public_id="WS-9001", code="elsewhere", name="Elsewhere")


def ask(client: Client, live: LiveKey, workspace: str = "WS-9001", days: int = 3, **changes: str) -> int:
    day = office_day(timezone.now()) + timedelta(days=days)
    sent = {"workspace": workspace, "ends_on": day.isoformat(), "reason": "One migration.", **changes}
    status: int = client.post(reverse("keys:grant-add", args=[live.key.public_id]), sent).status_code
    return status


def test_as_many_places_as_may_be_with_names_as_long_as_may_be(cast: Cast, live: LiveKey) -> None:
    gateway, by, now = make_gateway(), cast.security, timezone.now()
    codes = [str(number) * 60 for number in range(MAX_GRANTS)]
    for number, code in enumerate(codes):
        place = cast.company.workspaces.create(public_id=f"WS-91{number:02d}", code=code, name=code)
        grant_workspace(
            actor=staff_actor(by), by=by, key=live.key, workspace=place.public_id, reason="Migration.",
            ends_on=office_day(now) + timedelta(days=3), now=now,
        )  # fmt: skip
        assert verify(gateway, live.text, workspace=code).code == "VALID"
    assert {verify(gateway, live.text, workspace=code).code for code in codes} == {"VALID"}
    assert verify(gateway, live.text, workspace="9" * 60).code == "WRONG_WORKSPACE"
    key = Key.objects.get(pk=live.key.pk)
    revoke_key(
        actor=staff_actor(by), by=by, key=key, reason="leaked", note="", typed_number=key.public_id, now=now
    )
    assert verify(gateway, live.text).code == "REVOKED"


def test_a_granted_key_acts_there_from_the_next_check_on_and_the_verdict_says_so(
    cast: Cast, live: LiveKey, other: Workspace
) -> None:
    gateway, client = make_gateway(), sign_in(cast.security)
    assert verify(gateway, live.text, workspace="elsewhere").code == "WRONG_WORKSPACE"
    assert ask(client, live) == 302
    for name in ("elsewhere", "WS-9001"):
        answer = verify(gateway, live.text, workspace=name)
        assert (answer.code, answer.json["acting_in"]) == ("VALID", "WS-9001")
    own = verify(gateway, live.text, workspace=live.key.workspace.code)
    assert (own.code, "acting_in" in own.json) == ("VALID", False)
    assert own.json["granted_workspaces"][0]["code"] == "elsewhere"
    through = authorize(gateway, live.text, QUERY_STRING="workspace=elsewhere")
    assert through.headers["X-Acting-Workspace"] == "WS-9001"
    assert through.headers["X-Workspace"] == live.key.workspace.public_id
    assert "X-Acting-Workspace" not in authorize(gateway, live.text).headers
    page = client.get(reverse("keys:key-detail", args=[live.key.public_id])).content.decode()
    assert "Elsewhere" in page
    event = Event.objects.get(action="key.granted")
    assert event.payload["workspace"] == "WS-9001"
    assert event.payload["reason"] == "One migration."
    told = set(Message.objects.filter(kind="workspace_granted").values_list("recipient_ref", flat=True))
    assert {cast.pm.public_id, cast.pm2.public_id, cast.requester.public_id} <= told


def test_taken_back_it_is_refused_on_the_next_check(cast: Cast, live: LiveKey, other: Workspace) -> None:
    gateway, client = make_gateway(), sign_in(cast.security)
    ask(client, live)
    assert verify(gateway, live.text, workspace="elsewhere").code == "VALID"
    grant = WorkspaceGrant.objects.get()
    page = reverse("keys:grant-end", args=[live.key.public_id, grant.uid])
    assert client.post(page, {"reason": " "}).status_code == 422
    assert client.post(page, {"reason": "Done."}).status_code == 302
    assert verify(gateway, live.text, workspace="elsewhere").code == "WRONG_WORKSPACE"
    assert client.post(page, {"reason": "Again."}).status_code == 409
    shown = client.get(reverse("keys:grant-list", args=[live.key.public_id])).content.decode()
    assert "One migration." in shown
    assert "Done." in shown
    assert Event.objects.filter(action="key.grant_ended").count() == 1
    assert Message.objects.filter(kind="workspace_grant_ended").exists()


def test_it_ends_by_itself_whatever_stands_in_the_store(cast: Cast, live: LiveKey, other: Workspace) -> None:
    gateway = make_gateway()
    ask(sign_in(cast.security), live)
    now = timezone.now()
    WorkspaceGrant.objects.update(granted_at=now - timedelta(days=1), ends_at=now + timedelta(seconds=100))
    found = hotstore.read(live.key.family, now=now)
    assert found
    record = found.policy.packed(b"the run!", now=now, ttl=300)
    assert int.from_bytes(record[16:20], "little") - now.timestamp() < 102
    WorkspaceGrant.objects.update(ends_at=now - timedelta(seconds=1))
    hotstore.publish_key(live.key.public_id)
    assert verify(gateway, live.text, workspace="elsewhere").code == "WRONG_WORKSPACE"


def test_what_may_not_be_granted(cast: Cast, live: LiveKey, other: Workspace) -> None:
    client = sign_in(cast.security)
    foreign = cast.star.workspaces.order_by("id")[0]
    assert ask(client, live, foreign.public_id) == 422
    assert ask(client, live, live.key.workspace.public_id) == 422
    assert ask(client, live, days=-1) == 422
    assert ask(client, live, days=400) == 422
    assert ask(client, live, reason=" ") == 422
    assert ask(client, live) == 302
    assert ask(client, live) == 409
    with pytest.raises(Invalid):
        grant_workspace(
            actor=staff_actor(cast.security),
            by=cast.security,
            key=live.key,
            workspace=foreign.public_id,
            ends_on=office_day(timezone.now()),
            reason="Not even past the form.",
            now=timezone.now(),
        )
    assert WorkspaceGrant.objects.count() == 1


def test_a_workspace_in_which_others_keys_may_act_is_not_closed(
    cast: Cast, live: LiveKey, other: Workspace
) -> None:
    ask(sign_in(cast.security), live)
    with pytest.raises(Invalid):
        change_workspace(
            actor=staff_actor(cast.pm),
            by=cast.pm,
            workspace=other,
            name=other.name,
            time_zone=other.time_zone,
            is_active=False,
            now=timezone.now(),
        )


def test_only_security_grants(cast: Cast, live: LiveKey, other: Workspace) -> None:
    for user in (cast.pm, cast.tech, cast.requester):
        assert ask(sign_in(user), live) == 403
    assert not WorkspaceGrant.objects.exists()
    assert len(mail.outbox) == 0


def test_of_an_end_by_date_the_same_people_hear_once(cast: Cast, live: LiveKey, other: Workspace) -> None:
    ask(sign_in(cast.security), live)
    grant = WorkspaceGrant.objects.get()
    assert end_due_grants(now=grant.ends_at - timedelta(seconds=1)) == 0
    assert end_due_grants(now=grant.ends_at) == 1
    assert end_due_grants(now=grant.ends_at) == 0
    event = Event.objects.get(action="key.grant_ended")
    assert (event.actor_kind, event.actor_ref) == ("system", "keys.end_grants")
    assert event.payload == {"workspace": "WS-9001", "ends_at": grant.ends_at.isoformat()}
    first, last = (
        set(Message.objects.filter(kind=kind).values_list("recipient_ref", flat=True))
        for kind in ("workspace_granted", "workspace_grant_ended")
    )
    assert first == last
    assert {cast.pm.public_id, cast.requester.public_id} <= last
    sweep_outbox(now=grant.ends_at)
    [letter] = [
        one.body for one in mail.outbox if cast.requester.email in one.to[0] and "no longer" in one.body
    ]
    assert "Elsewhere (elsewhere)" in letter
    assert "ended by itself" in letter
    assert "One migration." in letter
    assert "taken back" not in letter


def test_what_was_taken_back_or_went_with_its_key_has_no_second_end(
    cast: Cast, live: LiveKey, other: Workspace
) -> None:
    client = sign_in(cast.security)
    ask(client, live)
    taken = WorkspaceGrant.objects.get()
    client.post(reverse("keys:grant-end", args=[live.key.public_id, taken.uid]), {"reason": "Done."})
    ask(client, live)
    running = WorkspaceGrant.objects.get(taken_back_at=None)
    change(live.key, status="revoked", revoke_reason="leaked", ended_at=timezone.now())
    n_mails = Message.objects.filter(kind="workspace_grant_ended").count()
    assert end_due_grants(now=running.ends_at) == 1
    assert Event.objects.filter(action="key.grant_ended").count() == 2
    assert Message.objects.filter(kind="workspace_grant_ended").count() == n_mails


def test_two_sweeps_at_once_tell_once(cast: Cast, live: LiveKey, other: Workspace) -> None:
    ask(sign_in(cast.security), live)
    now = WorkspaceGrant.objects.get().ends_at

    def sweep(_number: int) -> int:
        try:
            return end_due_grants(now=now)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(sweep, range(4))) == 1
    assert Event.objects.filter(action="key.grant_ended").count() == 1
