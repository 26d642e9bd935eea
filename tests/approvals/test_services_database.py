"""What the screen forbids the database refuses, also from raw SQL (A4, A6, A10)."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from approvals.models import Request, Revision, Step
from tests.cast import Cast, consent, decide, open_step

pytestmark = pytest.mark.django_db


def write_decision(request: Request, step: Step, **changes: Any) -> None:
    """Insert a decision past the services, as somebody with the database's password could."""
    values: dict[str, Any] = {
        "uid": "00000000-0000-4000-8000-000000000001",
        "request_id": request.pk,
        "requester_id_copy": request.requester_id,
        "step_id": step.pk,
        "staff_id": None,
        "contact_id": None,
        "outcome": "approve",
        "reason": "",
        "digest": bytes(step.revision.digest),
        "checklist": [],
        "signed_name": "",
        "signed_capacity": "",
        "via_link_id": None,
        "decided_at": request.created_at,
    } | changes
    columns, marks = ", ".join(values), ", ".join(["%s"] * len(values))
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO approvals_decision ({columns}) VALUES ({marks})", list(values.values()))


def refused(act: Callable[[], None]) -> str:
    with pytest.raises(DatabaseError) as error, transaction.atomic():
        act()
    return str(error.value)


def test_the_helper_writes_what_is_allowed(cast: Cast) -> None:
    request = cast.request()
    write_decision(request, open_step(request), staff_id=cast.pm.pk)
    assert request.decisions.get().staff == cast.pm


def test_ones_own_request(cast: Cast) -> None:
    request = cast.request(by=cast.pm)
    step = open_step(request)
    assert "not_own" in refused(lambda: write_decision(request, step, staff_id=cast.pm.pk))


def test_ones_own_request_with_a_false_copy_of_the_requester(cast: Cast) -> None:
    request = cast.request(by=cast.pm)
    step = open_step(request)
    text = refused(lambda: write_decision(request, step, staff_id=cast.pm.pk, requester_id_copy=cast.pm2.pk))
    assert "requester_is_true" in text


def test_two_steps_of_one_request(cast: Cast) -> None:
    request = cast.request()
    decide(request, cast.pm)
    step = open_step(request)
    assert "one_step_each" in refused(lambda: write_decision(request, step, staff_id=cast.pm.pk))


@pytest.mark.parametrize("position", [1, 3])
def test_a_step_that_is_not_open(cast: Cast, position: int) -> None:
    request = cast.request()
    decide(request, cast.pm)
    step = request.steps.get(position=position)
    assert "not open" in refused(lambda: write_decision(request, step, staff_id=cast.tech.pk))


def test_a_step_of_another_request(cast: Cast) -> None:
    request, other = cast.request(), cast.request()
    step = open_step(other)
    assert "not open" in refused(lambda: write_decision(request, step, staff_id=cast.pm.pk))


def test_one_decision_more_than_the_step_needs(cast: Cast) -> None:
    request = cast.request()
    step = open_step(request)
    write_decision(request, step, staff_id=cast.pm.pk)
    text = refused(
        lambda: write_decision(
            request, step, staff_id=cast.pm2.pk, uid="00000000-0000-4000-8000-000000000002"
        )
    )
    assert "all its decisions" in text


def test_other_terms(cast: Cast) -> None:
    request = cast.request()
    step = open_step(request)
    text = refused(lambda: write_decision(request, step, staff_id=cast.pm.pk, digest=bytes(32)))
    assert "other terms" in text


def test_staff_on_the_rights_holders_step(cast: Cast) -> None:
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    step = open_step(request)
    assert "not ask this person" in refused(lambda: write_decision(request, step, staff_id=cast.legal.pk))


def test_another_contact(cast: Cast) -> None:
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    step = open_step(request)
    other = cast.star.contacts.exclude(purposes__contains=["consent"])[0]
    signed = {"signed_name": "X", "signed_capacity": "Y"}
    assert "not ask" in refused(lambda: write_decision(request, step, contact_id=other.pk, **signed))


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"outcome": "reject"}, "reject_has_reason"),
        ({"contact": True}, "consent_is_signed"),
        ({"contact": True, "signed_name": "X"}, "consent_is_signed"),
        ({"contact": True, "staff": True, "signed_name": "X", "signed_capacity": "Y"}, "one_person"),
    ],
)
def test_half_a_decision(cast: Cast, changes: dict[str, Any], constraint: str) -> None:
    consented = "contact" in changes
    request = cast.request(cast.star_contract if consented else None)
    if consented:
        decide(request, cast.pm)
    step = open_step(request)
    values = {name: value for name, value in changes.items() if name not in {"contact", "staff"}}
    values["contact_id"] = step.contact_id
    values["staff_id"] = cast.pm2.pk if "staff" in changes or not consented else None
    assert constraint in refused(lambda: write_decision(request, step, **values))


@pytest.mark.parametrize("table", ["approvals_revision", "approvals_decision"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET digest = '\\x00'", "DELETE FROM {}"])
def test_history_is_not_rewritten(cast: Cast, table: str, statement: str) -> None:
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    consent(request)
    with connection.cursor() as cursor:
        text = refused(lambda: cursor.execute(statement.format(table)))
    assert "never changed" in text
    assert Revision.objects.count() == 1


def test_a_request_has_one_open_step(cast: Cast) -> None:
    request = cast.request()
    with connection.cursor() as cursor:
        text = refused(
            lambda: cursor.execute(
                "UPDATE approvals_step SET state = 'open', opened_at = now() "
                "WHERE request_id = %s AND position = 2",
                [request.pk],
            )
        )
    assert "one_open_step" in text


def test_an_approved_request_has_its_key(cast: Cast) -> None:
    request = cast.request()
    with connection.cursor() as cursor:
        text = refused(
            lambda: cursor.execute(
                "UPDATE approvals_request SET state = 'approved', ended_at = now() WHERE id = %s",
                [request.pk],
            )
        )
    assert "key_iff_approved" in text
