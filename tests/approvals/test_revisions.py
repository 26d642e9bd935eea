"""Changes wanted, resubmission, and what of the decisions stands (R5, A6)."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from approvals.changes.selectors.changes import present_terms
from approvals.changes.services.changing import Wish
from approvals.decisions.services.links import state_of
from approvals.models import Decision, Request, Standing, Step, StepLink
from approvals.path.access import why_may_not_decide
from approvals.requests.services.requests import expire_requests, submit_request, withdraw_request
from approvals.requests.services.revising import pull_back
from audit.models import Event
from core.actors import SYSTEM, staff_actor
from core.errors import Conflict, Invalid, NotAllowed
from keys.terms.settings import digest_of_settings
from keys.terms.terms import KeyTerms
from notifications.models import Message
from notifications.registry import builder_of
from notifications.rendering import render_mail
from partners.services import change_contact
from tests.cast import Cast, consent, decide, open_step
from tests.changes import ask_change, live_key


def resubmit(request: Request, terms: KeyTerms | None = None, **changes: object) -> Request:
    """The requester submits again, with these changes to the last revision."""
    request.refresh_from_db()
    last = KeyTerms.from_json(request.revisions.order_by("-number")[0].terms)
    return submit_request(
        actor=staff_actor(request.requester),
        by=request.requester,
        request=request,
        version=request.version,
        terms=replace(terms or last, **changes),  # type: ignore[arg-type]
        now=timezone.now(),
    )


def path(request: Request) -> list[tuple[str, str]]:
    """Role and state of the newest revision's steps."""
    newest = request.revisions.order_by("-number")[0]
    return [(step.role, step.state) for step in newest.steps.order_by("position")]


def test_changes_wanted_sends_the_request_back(cast: Cast) -> None:
    request = cast.request()
    decide(request, cast.pm)
    decide(request, cast.legal, "changes", reason="The licence checklist is not for this contract.")
    request.refresh_from_db()
    assert request.state == Request.State.CHANGES_WANTED
    assert request.draft["name"] == "Delivery status"
    assert path(request) == [("pm", "approved"), ("legal", "changes_wanted"), ("tech", "cancelled")]
    assert not StepLink.objects.filter(step__request=request, used_at=None, died_at=None).exists()
    message = Message.objects.get(kind="request_changes_wanted")
    built = builder_of(message.kind)(message)
    assert built is not None
    mail = render_mail(message, built)
    for text in (str(mail.body), str(mail.alternatives[0][0])):
        assert "The licence checklist is not for this contract." in text
        assert "Sakura Ito (Legal)" in text
        assert f"/requests/{request.public_id}/edit/" in text
    events = set(
        Event.objects.filter(objects_touched__contains=[f"request:{request.public_id}"]).values_list(
            "action", flat=True
        )
    )
    assert {"step.changes_wanted", "request.sent_back"} <= events


def test_changes_need_a_reason(cast: Cast) -> None:
    request = cast.request()
    with pytest.raises(Invalid):
        decide(request, cast.pm, "changes", reason=" ")


def test_only_legal_is_asked_again_when_the_contract_changes(cast: Cast) -> None:
    request = cast.request()
    first = decide(request, cast.pm)
    asked = decide(request, cast.legal, "changes")
    contract = cast.terms(cast.edge)
    resubmit(request, contract)
    assert path(request) == [("pm", "stands"), ("legal", "open"), ("tech", "waiting")]
    standing = Standing.objects.get(decision=first)
    newest = request.revisions.get(number=2)
    assert bytes(standing.digest) == bytes(newest.digest) != bytes(first.digest)
    first.refresh_from_db()
    asked.refresh_from_db()
    assert first.fallen_at is None
    assert asked.fell_with == newest
    decide(request, cast.legal)
    decide(request, cast.tech)
    request.refresh_from_db()
    assert request.state == Request.State.APPROVED
    issued = Event.objects.get(action="key.issued")
    assert issued.payload["decisions"][0] == str(first.uid)
    assert len(issued.payload["decisions"]) == 3


def test_who_approved_what_was_changed_is_asked_again(cast: Cast) -> None:
    request = cast.request()
    first = decide(request, cast.pm)
    decide(request, cast.legal, "changes")
    resubmit(request, rpm=50, scopes=("catalog:read",))
    assert path(request) == [("pm", "open"), ("legal", "waiting"), ("tech", "waiting")]
    first.refresh_from_db()
    assert first.fallen_at is not None
    fell = Event.objects.get(action="step.fell")
    assert fell.payload["fields"] == ["rpm"]
    decide(request, cast.pm)
    decide(request, cast.legal)
    assert open_step(request).role == "tech"


def test_an_unlisted_field_concerns_everybody(cast: Cast) -> None:
    request = cast.request()
    decide(request, cast.pm)
    decide(request, cast.legal)
    decide(request, cast.tech, "changes")
    resubmit(request, scopes=("catalog:read", "catalog:write"))
    assert path(request) == [("pm", "open"), ("legal", "waiting"), ("tech", "waiting")]


def test_who_asked_for_changes_is_asked_again_even_when_nothing_changed(cast: Cast) -> None:
    request = cast.request()
    decide(request, cast.pm)
    decide(request, cast.legal, "changes")
    resubmit(request)
    assert path(request) == [("pm", "stands"), ("legal", "open"), ("tech", "waiting")]


def test_crossing_the_threshold_adds_the_coo(cast: Cast) -> None:
    request = cast.request(cast.edge)
    decide(request, cast.pm)
    decide(request, cast.legal, "changes")
    resubmit(request, cast.terms(cast.big))
    assert path(request) == [("pm", "stands"), ("legal", "open"), ("tech", "waiting"), ("coo", "waiting")]
    assert Event.objects.get(action="step.added").payload["step"] == "coo"


def test_falling_under_the_threshold_removes_the_coo(cast: Cast) -> None:
    request = cast.request(cast.big)
    for who in (cast.pm, cast.legal, cast.tech):
        decide(request, who)
    decide(request, cast.coo, "changes")
    resubmit(request, cast.terms(cast.edge))
    assert path(request) == [("pm", "stands"), ("legal", "open"), ("tech", "stands")]
    assert Event.objects.get(action="step.dropped").payload["step"] == "coo"
    decide(request, cast.legal)
    request.refresh_from_db()
    assert request.state == Request.State.APPROVED


def test_somebody_looks_at_every_revision(cast: Cast) -> None:
    request = cast.request(cast.big)
    for who in (cast.pm, cast.legal, cast.tech):
        decide(request, who)
    request.refresh_from_db()
    pull_back(
        actor=SYSTEM("t"), by=cast.requester, request=request, version=request.version, now=timezone.now()
    )
    # A path without the COO in which nothing else moved would ask nobody.
    resubmit(request)
    assert path(request) == [("pm", "stands"), ("legal", "stands"), ("tech", "stands"), ("coo", "open")]


def test_consent_stands_or_falls_too(cast: Cast) -> None:
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    given = consent(request)
    decide(request, cast.legal, "changes")
    resubmit(request, rotation_days=60)
    assert path(request)[:3] == [("pm", "stands"), ("rights_holder", "stands"), ("legal", "open")]
    decide(request, cast.legal, "changes")
    resubmit(request, purpose="Shows fans when the star is on tour.")
    assert path(request)[0] == ("pm", "open")
    given.refresh_from_db()
    assert given.fallen_at is not None
    decide(request, cast.pm)
    consent(request, "changes")
    request.refresh_from_db()
    assert request.state == Request.State.CHANGES_WANTED


def test_a_changed_address_is_seen_again(cast: Cast) -> None:
    request = cast.request()
    decide(request, cast.pm)
    decide(request, cast.legal, "changes")
    recipient = cast.company.contacts.get(purposes__contains=["technical"])
    names = ("name", "purposes", "title", "phone", "language", "is_active")
    same: dict[str, Any] = {name: getattr(recipient, name) for name in names}
    change_contact(
        actor=staff_actor(cast.pm2),
        by=cast.pm2,
        contact=recipient,
        email="other@partner.example",
        now=timezone.now(),
        **same,
    )
    resubmit(request)
    assert path(request)[0] == ("pm", "open")


def test_four_eyes_hold_over_revisions(cast: Cast) -> None:
    cast.pm.roles = ["pm", "legal"]
    cast.pm.save(update_fields=["roles"])
    request = cast.request()
    decide(request, cast.pm)
    decide(request, cast.legal, "changes")
    resubmit(request, rpm=50)
    decide(request, cast.pm2)
    assert why_may_not_decide(cast.pm, open_step(request)) == "decided_another_step"
    with pytest.raises(NotAllowed):
        decide(request, cast.pm)
    step = open_step(request)
    with pytest.raises(DatabaseError, match="one_step_each"), transaction.atomic():
        Decision.objects.create(
            request=request,
            requester_id_copy=request.requester_id,
            step=step,
            staff=cast.pm,
            outcome="approve",
            digest=step.revision.digest,
            decided_at=timezone.now(),
        )


def test_a_stale_link_of_the_older_revision_is_dead(cast: Cast) -> None:
    request = cast.request()
    link = StepLink.objects.get(step__request=request, staff=cast.pm2)
    decide(request, cast.pm, "changes")
    resubmit(request, rpm=50)
    link = StepLink.objects.select_related("step__request").get(pk=link.pk)
    assert state_of(link, now=timezone.now()) == "closed"


def test_a_sent_back_request_is_withdrawn_or_expires(cast: Cast) -> None:
    first, second = cast.request(), cast.request(name="Other")
    for request in (first, second):
        decide(request, cast.pm, "changes")
        request.refresh_from_db()
    withdraw_request(
        actor=SYSTEM("t"), by=cast.requester, request=first, version=first.version, now=timezone.now()
    )
    assert expire_requests(now=timezone.now() + timedelta(days=29)) == 0
    assert expire_requests(now=timezone.now() + timedelta(days=31)) == 1
    states = [Request.objects.get(pk=request.pk).state for request in (first, second)]
    assert states == ["withdrawn", "expired"]


def test_pulling_back_tells_those_who_were_asked(cast: Cast) -> None:
    request = cast.request()
    request.refresh_from_db()
    pull_back(
        actor=staff_actor(cast.requester),
        by=cast.requester,
        request=request,
        version=request.version,
        now=timezone.now(),
    )
    told = set(Message.objects.filter(kind="request_paused").values_list("recipient_ref", flat=True))
    assert told == {cast.pm.public_id, cast.pm2.public_id}
    with pytest.raises(Conflict):
        pull_back(
            actor=SYSTEM("t"), by=cast.requester, request=request, version=request.version, now=timezone.now()
        )
    resubmit(request, rpm=50)
    assert path(request)[0] == ("pm", "open")


# --- the database, whoever writes ---------------------------------------------------------------------------


def raw(sql: str, *values: int | bytes) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, values)


def test_a_decision_falls_only_with_a_newer_revision_and_once(cast: Cast) -> None:
    request = cast.request()
    first = decide(request, cast.pm)
    current = request.revisions.get()
    with pytest.raises(DatabaseError, match="newer revision"):
        raw("UPDATE approvals_decision SET fallen_at = now(), fell_with_id = %s", current.pk)
    with pytest.raises(DatabaseError, match="never changed"):
        raw("UPDATE approvals_decision SET reason = 'other'")
    with pytest.raises(DatabaseError, match="never changed"):
        raw("DELETE FROM approvals_decision")
    decide(request, cast.legal, "changes")
    resubmit(request, rotation_days=60)
    newest = request.revisions.get(number=2)
    with pytest.raises(DatabaseError, match="stands on this revision"):
        raw(
            "UPDATE approvals_decision SET fallen_at = now(), fell_with_id = %s WHERE id = %s",
            newest.pk,
            first.pk,
        )
    with pytest.raises(DatabaseError, match="never changed"):
        raw("UPDATE approvals_decision SET fallen_at = NULL, fell_with_id = NULL WHERE fallen_at IS NOT NULL")
    with pytest.raises(DatabaseError, match="never changed"):
        raw("DELETE FROM approvals_standing")


def test_nothing_stands_that_was_not_approved_for_this_role(cast: Cast) -> None:
    request = cast.request()
    first = decide(request, cast.pm)
    asked = decide(request, cast.legal, "changes")
    resubmit(request, rotation_days=60)
    newest = request.revisions.get(number=2)
    tech = newest.steps.get(role="tech")
    pm = newest.steps.get(role="pm")
    insert = (
        "INSERT INTO approvals_standing (decision_id, step_id, digest, carried_at) VALUES (%s,%s,%s,now())"
    )
    with pytest.raises(DatabaseError, match="another role"):
        raw(insert, first.pk, tech.pk, bytes(newest.digest))
    with pytest.raises(DatabaseError, match="no approval in force"):
        raw(insert, asked.pk, tech.pk, bytes(newest.digest))
    with pytest.raises(DatabaseError, match="another role or on a later revision"):
        raw(insert, first.pk, pm.pk, bytes(first.digest))
    assert Step.objects.get(pk=tech.pk).state == Step.State.WAITING


def test_a_change_of_a_key_is_sent_back_and_submitted_again(cast: Cast) -> None:
    key, _text = live_key(cast)
    request = ask_change(key, cast.requester, rpm=200, rph=2_000)
    decide(request, cast.pm, "changes", reason="Half of that is enough.")
    request.refresh_from_db()
    assert (request.state, request.change.state) == ("changes_wanted", "draft")
    last = KeyTerms.from_json(request.revisions.get().terms)
    submit_request(
        actor=staff_actor(cast.requester),
        by=cast.requester,
        request=request,
        version=request.version,
        terms=replace(last, rpm=150, rph=1_500),
        wish=Wish(digest_of_settings(present_terms(key)), "They need a little more."),
        now=timezone.now(),
    )
    request.change.refresh_from_db()
    assert request.change.state == "in_review"
    for who in (cast.pm, cast.legal, cast.tech):
        decide(request, who)
    key.refresh_from_db()
    assert key.rpm == 150
