"""The audit log's pages, through HTTP (L3)."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import translation

from accounts.models import User
from accounts.roles import Permission
from audit.actions import COMMON, FIELDS, Action
from audit.models import Event
from audit.selectors import lines_of, timeline_of
from audit.services import record
from audit.wording import FIELD_WORDS, GROUPS, SENTENCES, actions_in, look_of
from core.actors import SYSTEM, Actor, staff_actor
from tests.cast import make_staff, sign_in

LIST = reverse("audit:event-list")
EXPORT = reverse("audit:event-export")
NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)


def put(action: Action, actor: Actor, *objects: str, now: datetime = NOW, **payload: Any) -> Event:
    with transaction.atomic():
        return record(action, actor=actor, objects=objects, payload=payload, now=now)


@pytest.fixture
def security(db: None) -> User:
    return make_staff("Takeshi Watanabe", "security")


@pytest.fixture
def events(security: User) -> dict[str, Event]:
    actor = staff_actor(security, ip="192.0.2.7", user_agent="Firefox")
    changed = {"before": {"rpm": 100}, "after": {"rpm": 500}}
    return {
        "revoked": put(Action.KEY_REVOKED, actor, "key:KB-0412", reason_code="leaked", note="=1+1"),
        "changed": put(
            Action.KEY_CHANGED, actor, "key:KB-0413", now=NOW + timedelta(days=1), fields=["rpm"], **changed
        ),
        "expired": put(Action.KEY_EXPIRED, SYSTEM("keys.expire_keys"), "key:KB-0412"),
        "step": put(Action.STEP_APPROVED, actor, "request:KR-1042", step="legal", revision=1),
    }


def sentences(client: Client, **query: str) -> list[str]:
    answer = client.get(LIST, query)
    assert answer.status_code == 200
    return [line.sentence for line in answer.context["lines"]]


@pytest.mark.django_db
def test_only_those_who_may_see_the_log_see_it() -> None:
    event = put(Action.KEY_EXPIRED, SYSTEM("x"), "key:KB-1")
    pages = [LIST, *(reverse(f"audit:event-{page}", args=[event.uid]) for page in ("detail", "bytes"))]
    insiders = {"legal", "security", "coo", "ops", "auditor", "admin"}
    for role in ("requester", "pm", "legal", "tech", "security", "coo", "ops", "auditor", "admin"):
        client = sign_in(make_staff(role, role))
        for page in pages:
            assert client.get(page).status_code == (200 if role in insiders else 403), (role, page)
            assert client.post(page).status_code == 405
    for page in pages:
        assert Client().get(page).status_code == 302


def test_the_list_tells_what_happened_newest_first(security: User, events: dict[str, Event]) -> None:
    found = sentences(sign_in(security))
    assert found[:4] == [
        "Takeshi Watanabe approved the step “Legal” of request KR-1042.",
        "Key KB-0412 expired.",
        "Takeshi Watanabe changed key KB-0413.",
        "Takeshi Watanabe revoked key KB-0412.",
    ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"action": "key.revoked"}, {"revoked"}),
        ({"action": "group:keys"}, {"revoked", "changed", "expired"}),
        ({"action": "group:requests"}, {"step"}),
        ({"actor": "watanabe"}, {"revoked", "changed", "step"}),
        ({"actor": "keys.expire_keys"}, {"expired"}),
        ({"thing": "key:KB-0412"}, {"revoked", "expired"}),
        ({"thing": "kb-0412"}, {"revoked", "expired"}),
        ({"thing": "KR-1042", "action": "group:keys"}, set()),
        ({"since": "2026-11-21"}, {"changed"}),
        ({"until": "2026-11-20"}, {"revoked", "expired", "step"}),
        ({"since": "2026-11-20", "until": "2026-11-21"}, {"revoked", "changed", "expired", "step"}),
        ({"q": "leaked"}, {"revoked"}),
        ({"q": "%"}, set()),
    ],
)
def test_filters_narrow_the_list(
    security: User, events: dict[str, Event], query: dict[str, str], expected: set[str]
) -> None:
    answer = sign_in(security).get(LIST, query)
    uids = {event.uid for event in answer.context["page"].rows}
    assert {name for name, event in events.items() if event.uid in uids} == expected
    assert len(answer.context["chips"]) == len(query)


def test_a_chip_removes_its_filter_only(security: User, events: dict[str, Event]) -> None:
    answer = sign_in(security).get(LIST, {"action": "group:keys", "q": "leaked", "cursor": "x"})
    assert answer.context["chips"] == [("Keys", "?q=leaked"), ("Text: leaked", "?action=group%3Akeys")]


def test_actions_are_chosen_in_words(security: User, events: dict[str, Event]) -> None:
    answer = sign_in(security).get(LIST, {"action": "key.revoked"})
    assert '<option value="key.revoked" selected>… revoked key …</option>' in answer.content.decode()
    assert answer.context["chips"] == [("… revoked key …", "?")]


def test_what_cannot_be_read_is_said_and_filters_nothing(security: User, events: dict[str, Event]) -> None:
    client = sign_in(security)
    answer = client.get(LIST, {"since": "yesterday", "action": "key.nonsense"})
    assert answer.status_code == 200
    assert set(answer.context["form"].errors) == {"since", "action"}
    assert len(answer.context["lines"]) >= 4
    answer = client.get(LIST, {"since": "2026-11-21", "until": "2026-11-20"})
    assert set(answer.context["form"].errors) == {"until"}


def test_pages_follow_one_another(security: User) -> None:
    for number in range(120):
        put(Action.KEY_EXPIRED, SYSTEM("x"), f"key:KB-{number:04d}")
    client = sign_in(security)
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = client.get(LIST, {"action": "key.expired", "cursor": cursor})
        seen += [line.sentence for line in answer.context["lines"]]
        cursor = answer.context["page"].next_cursor
    assert seen == [f"Key KB-{number:04d} expired." for number in reversed(range(120))]


def test_the_number_of_queries_does_not_grow_with_the_rows(security: User) -> None:
    client = sign_in(security)

    def n_queries() -> int:
        with CaptureQueriesContext(connection) as queries:
            client.get(LIST)
        return len(queries)

    put(Action.KEY_REVOKED, staff_actor(security), "key:KB-1")
    few = n_queries()
    for number in range(40):
        put(Action.KEY_REVOKED, staff_actor(make_staff(f"P{number}", "ops")), f"key:KB-{number}")
    assert n_queries() == few


def test_an_events_page_shows_all_of_it_and_its_proof(security: User, events: dict[str, Event]) -> None:
    client = sign_in(security)
    page = client.get(reverse("audit:event-detail", args=[events["changed"].uid])).content.decode()
    for text in ("192.0.2.7", "Firefox", "<del>100</del>", "<ins>500</ins>", "Digest fits"):
        assert text in page
    assert bytes(events["changed"].digest).hex() in page
    assert client.get(reverse("audit:event-detail", args=[uuid4()])).status_code == 404


def test_the_bytes_are_what_was_hashed(security: User, events: dict[str, Event]) -> None:
    answer = sign_in(security).get(reverse("audit:event-bytes", args=[events["step"].uid]))
    assert answer.content == bytes(events["step"].canonical)


def test_a_timeline_is_one_things_events(security: User, events: dict[str, Event]) -> None:
    with translation.override("en"):
        assert [line.event.action for line in timeline_of("key:KB-0412")] == ["key.expired", "key.revoked"]
        assert timeline_of("key:KB-0412")[1].detail == "Leaked — =1+1"
    assert len(timeline_of("key:KB-0412", limit=1)) == 1
    assert timeline_of("key:KB-041") == []


def test_an_export_is_an_event_and_holds_what_the_list_shows(
    security: User, events: dict[str, Event]
) -> None:
    client = sign_in(security)
    answer = client.post(f"{EXPORT}?action=group:keys", {"format": "jsonl"})
    lines = b"".join(answer.streaming_content).splitlines()  # type: ignore[attr-defined]  # a streamed response
    assert answer["Content-Type"] == "application/jsonl; charset=utf-8"
    assert [json.loads(line)["event"]["action"] for line in lines] == [
        "key.expired",
        "key.changed",
        "key.revoked",
    ]
    assert json.loads(lines[2])["sha256"] == bytes(events["revoked"].digest).hex()
    assert bytes(events["revoked"].canonical) in lines[2]
    event = Event.objects.get(action="export.made")
    assert event.payload == {"kind": "jsonl", "rows": 3, "filters": {"action": "group:keys"}}
    assert event.actor_ref == security.public_id


def test_a_csv_is_safe_in_a_spreadsheet(security: User) -> None:
    security.name = "=HYPERLINK(0)"
    security.save(update_fields=["name"])
    put(Action.KEY_REVOKED, staff_actor(security), "key:KB-0412", reason_code="leaked")
    answer = sign_in(security).post(f"{EXPORT}?action=key.revoked", {"format": "csv"})
    text = b"".join(answer.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["actor_name"] == "'=HYPERLINK(0)"
    assert row["objects"] == "key:KB-0412"
    assert json.loads(row["payload"]) == {"reason_code": "leaked"}


def test_a_long_export_comes_whole(security: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.exports.CHUNK", 7)
    for number in range(30):
        put(Action.KEY_EXPIRED, SYSTEM("x"), f"key:KB-{number:04d}")
    answer = sign_in(security).post(f"{EXPORT}?action=key.expired", {"format": "csv"})
    text = b"".join(answer.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    assert [row["objects"] for row in csv.DictReader(io.StringIO(text))] == [
        f"key:KB-{number:04d}" for number in reversed(range(30))
    ]


@pytest.mark.django_db
def test_who_may_see_but_not_export_and_the_other_way_round() -> None:
    assert not make_staff("A", "admin").may(Permission.EXPORT)
    assert sign_in(make_staff("A", "admin")).post(EXPORT, {"format": "csv"}).status_code == 403
    assert sign_in(make_staff("P", "pm")).post(EXPORT, {"format": "csv"}).status_code == 403
    ops = sign_in(make_staff("O", "ops"))
    assert ops.post(EXPORT, {"format": "xlsx"}).status_code == 422
    assert ops.get(EXPORT).status_code == 405
    assert not Event.objects.filter(action="export.made").exists()


def test_every_action_has_its_sentence_its_look_and_its_group() -> None:
    assert set(SENTENCES) == set(Action)
    grouped = [action for group in GROUPS for action in actions_in(group)]
    assert sorted(grouped) == sorted(action.value for action in Action)
    for action in Action:
        assert look_of(action.value).icon


@pytest.mark.django_db
def test_every_field_has_words_and_every_sentence_can_be_made(security: User) -> None:
    fields = COMMON.union(*FIELDS.values()) - {"before", "after"}
    assert fields <= set(FIELD_WORDS)
    made = [
        Event(action=action, actor_kind="staff", actor_ref="ST-1", objects_touched=[], payload={})
        for action in Action
    ]
    for line in lines_of(made):
        assert "%(" not in line.sentence


@pytest.mark.django_db
def test_an_action_of_another_version_is_shown_by_its_name() -> None:
    strange = Event(action="moon.landed", actor_kind="system", actor_ref="x", objects_touched=[], payload={})
    (line,) = lines_of([strange])
    assert (line.sentence, line.icon) == ("moon.landed", "info")


def test_a_key_without_a_request_concerns_no_nameless_one(security: User) -> None:
    put(Action.KEY_ISSUED, SYSTEM("tests"), "key:KB-0001", "request:", "partner:PT-0001")
    page = sign_in(security).get(LIST)
    assert [thing.ref for thing in page.context["lines"][0].things] == ["key:KB-0001", "partner:PT-0001"]


def test_text_finds_the_events_of_a_thing_by_its_number(security: User) -> None:
    put(Action.KEY_SUSPENDED, staff_actor(security), "key:KB-0412", reason="A drill.")
    put(Action.KEY_SUSPENDED, staff_actor(security), "key:KB-0413", reason="The twin of KB-0412.")
    put(Action.KEY_SUSPENDED, staff_actor(security), "key:KB-0414", reason="Another drill.")
    page = sign_in(security).get(LIST, {"q": " kb-0412"})
    assert [line.event.objects_touched for line in page.context["lines"]] == [
        ["key:KB-0413"],
        ["key:KB-0412"],
    ]
