"""No change without its event, no event without its change, and none is ever changed (L1, L2)."""

import hashlib
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from audit.actions import Action
from audit.models import Event, PersonKey
from audit.selectors import check_event
from audit.services import AuditError, read_where, record
from core.actors import SYSTEM, Actor

NOW = datetime(2026, 11, 21, 3, 0, 0, 123456, tzinfo=UTC)
STAFF = Actor(
    kind="staff", ref="ST-0001", ip="192.0.2.7", user_agent="Firefox", request_id="abcdef0123456789"
)


def make_event(action: Action = Action.KEY_REVOKED, **fields: Any) -> Event:
    values: dict[str, Any] = {
        "actor": STAFF,
        "objects": ["key:KB-0412"],
        "payload": {"reason_code": "leaked"},
        "now": NOW,
    }
    with transaction.atomic():
        return record(action, **(values | fields))


@pytest.mark.django_db
def test_an_event_holds_its_canonical_bytes_and_their_digest() -> None:
    event = Event.objects.get(pk=make_event().pk)
    canonical = bytes(event.canonical)
    assert hashlib.sha256(canonical).digest() == bytes(event.digest)
    body = json.loads(canonical)
    assert body["at"] == "2026-11-21T03:00:00.123456+00:00"
    assert body["actor"] == {"kind": "staff", "ref": "ST-0001"}
    assert canonical == json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert check_event(event).holds


@pytest.mark.django_db
def test_values_become_plain_data() -> None:
    payload = {
        "before": {"when": NOW, "day": date(2026, 11, 21), "amount": Decimal("1.50")},
        "after": {"scopes": {"b", "a"}, "digest": b"\x01\x02"},
    }
    event = make_event(Action.KEY_CHANGED, payload=payload)
    event.refresh_from_db()
    assert event.payload == {
        "before": {"when": "2026-11-21T03:00:00.123456+00:00", "day": "2026-11-21", "amount": "1.50"},
        "after": {"scopes": ["a", "b"], "digest": "0102"},
    }


@pytest.mark.django_db
def test_a_field_that_the_action_does_not_know_is_refused() -> None:
    with pytest.raises(AuditError, match="secret"):
        make_event(payload={"secret": "kb_live_x"})
    assert not Event.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_event_outside_a_transaction_is_refused() -> None:
    with pytest.raises(AuditError, match="transaction"):
        record(Action.KEY_REVOKED, actor=STAFF, objects=["key:KB-1"], now=NOW)
    assert not Event.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_rolled_back_leaves_no_event() -> None:
    with transaction.atomic():
        record(Action.KEY_REVOKED, actor=STAFF, objects=["key:KB-1"], now=NOW)
        transaction.set_rollback(True)
    assert not Event.objects.exists()


@pytest.mark.django_db
def test_address_and_browser_are_sealed_and_can_be_erased() -> None:
    event = make_event()
    assert b"192.0.2.7" not in bytes(event.canonical)
    assert "Firefox" not in event.sealed
    assert read_where(event) == {"ip": "192.0.2.7", "user_agent": "Firefox"}
    PersonKey.objects.filter(person_ref="ST-0001").delete()
    assert read_where(event) == {}
    assert check_event(event).holds
    assert read_where(make_event(actor=SYSTEM("keys.expire_keys"))) == {}


REFUSED = {
    "update": "UPDATE audit_event SET action = 'key.issued'",
    "update of nothing but a copy": "UPDATE audit_event SET payload = '{}'",
    "delete": "DELETE FROM audit_event",
    "truncate": "TRUNCATE audit_event",
    "truncate, cascading": "TRUNCATE audit_event CASCADE",
}


@pytest.mark.django_db
@pytest.mark.parametrize("statement", REFUSED.values(), ids=list(REFUSED))
@pytest.mark.parametrize("role", ["origin", "replica"])
def test_the_database_refuses_every_change(statement: str, role: str) -> None:
    make_event()
    with connection.cursor() as cursor:
        # A session that calls itself a replica skips ordinary triggers; these are ENABLE ALWAYS.
        cursor.execute(f"SET LOCAL session_replication_role = {role}")
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            cursor.execute(statement)
    assert Event.objects.get().action == "key.revoked"


@pytest.mark.django_db
def test_django_itself_can_neither_save_nor_delete_an_event() -> None:
    event = make_event()
    event.action = "key.issued"
    for change in (event.save, event.delete, Event.objects.all().delete):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            change()


@pytest.mark.django_db
def test_a_digest_that_does_not_fit_is_refused() -> None:
    event = make_event()
    forged = Event(
        occurred_at=NOW,
        action="key.revoked",
        actor_kind="staff",
        actor_ref="ST-0001",
        objects_touched=["key:KB-0001"],
        payload={},
        canonical=b"{}",
        digest=bytes(event.digest),
    )
    with pytest.raises(IntegrityError, match="audit_event_digest"), transaction.atomic():
        forged.save(force_insert=True)


@pytest.mark.django_db
def test_a_row_whose_columns_lie_is_found() -> None:
    event = make_event()
    event.actor_ref = "ST-0666"
    event.payload = {}
    check = check_event(event)
    assert not check.holds
    assert list(check.wrong) == ["actor", "payload"]
