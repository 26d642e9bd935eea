"""A request's story: sentences with who, when and why, as far as the reader may see (L3)."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone, translation
from pytest_django.fixtures import DjangoAssertNumQueries

from accounts.models import User
from approvals.decisions.services.consent import send_code
from approvals.deputies.services.deputies import add_role_deputy, give_delegation
from approvals.models import Request
from approvals.path.services.path import PURPOSE
from approvals.requests.selectors.story import story_of
from approvals.requests.services.requests import save_draft
from core.actors import SYSTEM, staff_actor
from core.links import token_of
from tests.approvals.test_not_me import look, press
from tests.cast import Cast, consent, decide, make_draft, open_step, sign_in

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    with translation.override("en"):
        yield


def told(request: Request, reader: User) -> list[str]:
    """The sentences, oldest first."""
    return [entry.sentence for day in story_of(request, reader=reader) for entry in day.entries][::-1]


def test_it_tells_who_did_what_and_why(cast: Cast) -> None:
    request = cast.request()
    decide(request, cast.pm)
    decide(request, cast.legal, "reject", reason="The licence has ended.")
    assert told(request, cast.requester) == [
        "Rin Nakamura began this request.",
        "Rin Nakamura submitted it. It needs: PM → Legal → Tech.",
        "PM was asked: Misaki Sato, Ken Suzuki.",
        "Misaki Sato approved it as PM.",
        "Legal was asked: Sakura Ito.",
        "Sakura Ito rejected it as Legal. With that it ended.",
    ]
    entries = story_of(request, reader=cast.requester)[0].entries[::-1]
    assert entries[-1].why == "The licence has ended."
    assert entries[-1].aside == "Answered after less than a minute."
    assert entries[2].aside.startswith("Answer due by ")


def test_it_tells_in_whose_place_somebody_answered(cast: Cast) -> None:
    now = timezone.now()
    give_delegation(
        actor=staff_actor(cast.pm),
        giver=cast.pm,
        deputy=cast.legal,
        role="pm",
        starts_at=now,
        ends_at=now + timedelta(days=2),
        now=now,
    )
    add_role_deputy(actor=staff_actor(cast.admin), role="legal", staff=cast.pm2, now=now)
    request = cast.request()
    decide(request, cast.legal)
    step = open_step(request)
    step.escalated_at = step.deputies_at = now
    step.save(update_fields=["escalated_at", "deputies_at"])
    decide(request, cast.pm2)
    lines = told(request, cast.requester)
    assert "Sakura Ito (for Misaki Sato) approved it as PM." in lines
    assert "Ken Suzuki (deputy, by escalation) approved it as Legal." in lines


def test_it_tells_what_security_found_of_a_doubtful_answer(cast: Cast) -> None:
    request = cast.request()
    for verdict in ("stands", "again"):
        press(decide(request, cast.pm if verdict == "stands" else cast.legal))
        assert look(request, cast.security, verdict) == 302
    lines = told(request, cast.requester)
    who = cast.security.name
    assert f"{who} looked into the doubtful answer of PM: it stands." in lines
    assert (
        lines[-1] == f"{who} found the answer of Legal void. It went back to the requester, to be asked anew."
    )


def test_a_rights_holder_consents_in_their_capacity(cast: Cast) -> None:
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    contact = open_step(request).contact
    assert contact is not None
    consent(request)
    lines = told(request, cast.requester)
    assert "The rights-holder was asked to consent." in lines
    assert f"A link went to {contact.name}." in lines
    assert f"{contact.name} consented, signing as Star." in lines


def test_who_may_see_the_log_reads_more_and_finds_each_event(cast: Cast) -> None:
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    step = open_step(request)
    token = token_of(bytes(step.links.get().nonce), purpose=PURPOSE)
    send_code(actor=SYSTEM("tests"), token=token, now=timezone.now())
    assert any("confirmation code" in line for line in told(request, cast.auditor))
    assert not any("confirmation code" in line for line in told(request, cast.requester))
    entries = [entry for day in story_of(request, reader=cast.requester) for entry in day.entries]
    assert {entry.event for entry in entries} == {None}
    assert "/audit/" not in story_in(sign_in(cast.requester).get(f"/requests/{request.public_id}/"))
    assert "/audit/" in story_in(sign_in(cast.auditor).get(f"/requests/{request.public_id}/"))


def story_in(response: Any) -> str:
    text: str = response.content.decode()
    return text[text.index('id="timeline-title"') :]


def test_days_stand_apart_and_savings_of_a_draft_together(cast: Cast) -> None:
    draft = make_draft(cast.company, cast.requester, {"name": "Parcels"})
    now = timezone.now() + timedelta(days=1)
    for _n in range(2):
        draft = save_draft(
            actor=staff_actor(cast.requester),
            by=cast.requester,
            request=draft,
            version=draft.version,
            draft={"name": "Parcels"},
            title="Parcels",
            now=now,
        )
    days = story_of(draft, reader=cast.requester)
    assert [len(day.entries) for day in days] == [1, 2]
    assert days[0].entries[0].sentence == "Rin Nakamura worked on the draft and saved it 2 times."
    assert days[0].day > days[1].day


def test_it_costs_the_same_however_much_happened(
    cast: Cast, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    consent(request)
    decide(request, cast.legal)
    with django_assert_num_queries(4):
        story_of(request, reader=cast.auditor)
