"""Delegation while away, deputies for escalated steps: who may, who is asked, in whose name (A4, A5)."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override

from accounts.models import User
from accounts.second_factor import SecondFactorNeeded
from accounts.services import change_roles, deactivate_staff
from approvals.deputies.services.deputies import (
    add_role_deputy,
    end_delegation,
    give_delegation,
    keep_delegations,
    keep_standing_deputies,
    name_standing_deputy,
    remove_role_deputy,
)
from approvals.deputies.services.reminding import keep_time
from approvals.models import Decision, Delegation, Request, RoleDeputy, StandingDeputy, Step
from approvals.path.services.watching import watch_steps
from approvals.requests.selectors.requests import steps_for
from audit.models import Event
from audit.selectors import lines_of
from core.actors import SYSTEM, staff_actor
from core.business_time import add_business_hours
from core.errors import Conflict, DomainError, Invalid, NotAllowed
from notifications.models import Message
from notifications.registry import builder_of
from notifications.rendering import render_mail
from tests.approvals.test_services_deciding import answer_on, say
from tests.cast import Cast, decide, make_draft, make_staff, open_step, sign_in

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    with override("en"):
        yield


def give(giver: User, deputy: User, role: str, **options: Any) -> Delegation:
    now = options.pop("now", timezone.now())
    values = {"starts_at": now, "ends_at": now + timedelta(days=7)} | options
    return give_delegation(actor=staff_actor(giver), giver=giver, deputy=deputy, role=role, now=now, **values)


def asked(step: Step) -> set[User]:
    return {link.staff for link in step.links.select_related("staff") if link.staff}


def at_legal(cast: Cast, **options: Any) -> Request:
    request = cast.request(**options)
    decide(request, cast.pm)
    return request


def escalated(cast: Cast, request: Request) -> Step:
    """The open step, its time up: seen by the sweep in office hours."""
    step = open_step(request)
    assert step.due_at is not None
    keep_time(now=step.due_at)
    return open_step(request)


# --- delegation -----------------------------------------------------------------------------------------


def test_the_deputy_is_asked_in_the_givers_place_and_decides_in_their_name(cast: Cast) -> None:
    deputy = make_staff("Deputy", "tech")
    delegation = give(cast.legal, deputy, "legal")
    request = at_legal(cast)
    step = open_step(request)
    assert asked(step) == {deputy}
    assert list(steps_for(deputy)) == [step]
    decision = say(step, deputy)
    assert (decision.staff, decision.on_behalf_of, decision.delegation) == (deputy, cast.legal, delegation)
    event = Event.objects.filter(action="step.approved").latest("id")
    assert event.payload["on_behalf_of"] == cast.legal.public_id
    assert "Deputy (for Sakura Ito) approved" in lines_of([event])[0].sentence
    page = sign_in(cast.requester).get(reverse("approvals:request-detail", args=[request.public_id]))
    assert "Deputy (for Sakura Ito)" in page.content.decode()


def test_pages_name_the_deputy_and_not_the_person_who_is_away_as_asked(cast: Cast) -> None:
    draft = make_draft(cast.company, cast.requester)
    give(cast.legal, make_staff("Deputy", "tech"), "legal")
    request = cast.request()
    words, client = "Deputy (for Sakura Ito, who is away)", sign_in(cast.requester)
    form = client.get(reverse("approvals:request-edit", args=[draft.public_id])).content.decode()
    assert f'<span class="sub">{words}</span>' in form
    url = reverse("approvals:request-detail", args=[request.public_id])
    assert f'<span class="sub">Will be asked: {words}</span>' in client.get(url).content.decode()
    decide(request, cast.pm)
    assert f'<span class="sub">Asked: {words}</span>' in client.get(url).content.decode()


def test_what_waits_already_is_put_before_the_deputy_and_goes_back(cast: Cast) -> None:
    deputy = make_staff("Deputy", "tech")
    request = at_legal(cast)
    assert asked(open_step(request)) == {cast.legal}
    delegation = give(cast.legal, deputy, "legal")
    assert watch_steps(now=timezone.now()) == 1
    assert asked(open_step(request)) == {cast.legal, deputy}
    later = at_legal(cast)
    assert asked(open_step(later)) == {deputy}
    end_delegation(actor=staff_actor(cast.legal), by=cast.legal, delegation=delegation, now=timezone.now())
    watch_steps(now=timezone.now())
    assert asked(open_step(later)) == {deputy, cast.legal}
    with pytest.raises(NotAllowed):
        say(open_step(later), deputy)


def test_who_is_away_may_still_decide(cast: Cast) -> None:
    give(cast.legal, make_staff("Deputy", "tech"), "legal")
    request = at_legal(cast)
    assert say(open_step(request), cast.legal).basis == Decision.Basis.OWN


def test_a_delegation_grants_one_role_and_nothing_else(cast: Cast) -> None:
    deputy = make_staff("Deputy", "tech")
    give(cast.legal, deputy, "legal")
    with pytest.raises(NotAllowed):
        say(open_step(cast.request()), deputy)
    assert deputy.roles == ["tech"]


@pytest.mark.parametrize("four_eyes", ["deputy asked", "giver asked", "giver decided", "deputy decided"])
def test_four_eyes_hold_for_giver_and_deputy(cast: Cast, four_eyes: str) -> None:
    giver = make_staff("Giver", "pm", "legal", "requester")
    deputy = make_staff("Deputy", "tech", "pm", "requester")
    give(giver, deputy, "legal")
    by = {"deputy asked": deputy, "giver asked": giver}.get(four_eyes)
    request = cast.request(by=by)
    first = {"giver decided": giver, "deputy decided": deputy}.get(four_eyes, cast.pm)
    decide(request, first)
    step = open_step(request)
    with pytest.raises(NotAllowed):
        say(step, deputy)
    assert step not in list(steps_for(deputy))


def test_a_giver_does_not_decide_after_their_deputy(cast: Cast) -> None:
    giver = make_staff("Giver", "pm", "legal")
    deputy = make_staff("Deputy", "security")
    give(giver, deputy, "pm")
    request = cast.request()
    say(open_step(request), deputy)
    with pytest.raises(NotAllowed):
        say(open_step(request), giver)


def test_a_deputy_for_tech_needs_a_second_factor_to_be_one_and_to_decide(cast: Cast) -> None:
    deputy = cast.security
    with pytest.raises(Invalid, match="second factor"):
        give(cast.tech, deputy, "tech")
    TOTP.activate(deputy, generate_totp_secret())
    TOTP.activate(cast.pm2, generate_totp_secret())
    with pytest.raises(Invalid, match="identity check"):
        give(cast.tech, cast.pm2, "tech")
    give(cast.tech, deputy, "tech")
    request = at_legal(cast)
    decide(request, cast.legal)
    step = open_step(request)
    with pytest.raises(SecondFactorNeeded):
        say(step, deputy, second_factor_at=None)
    assert say(step, deputy).on_behalf_of == cast.tech


def test_who_can_not_be_a_deputy(cast: Cast) -> None:
    for nobody in (cast.legal, cast.ops, cast.requester, cast.left):
        with pytest.raises(Invalid):
            give(cast.legal, nobody, "legal")
    with pytest.raises(NotAllowed):
        give(cast.legal, cast.pm, "pm")


def test_no_chains_no_circles_no_overlaps(cast: Cast) -> None:
    other = make_staff("Other", "legal", "pm")
    give(cast.legal, other, "legal")
    with pytest.raises(Invalid):
        give(cast.legal, cast.pm, "legal")
    with pytest.raises(Invalid):
        give(other, cast.legal, "legal")
    with pytest.raises(Invalid):
        give(cast.pm, cast.legal, "pm", ends_at=timezone.now() + timedelta(days=1))


def test_where_the_deputy_is_away_too_the_giver_is_asked_again(cast: Cast) -> None:
    deputy, third = make_staff("Deputy", "pm"), make_staff("Third", "pm")
    give(cast.legal, deputy, "legal")
    give(deputy, third, "pm")
    assert asked(open_step(at_legal(cast))) == {cast.legal}


def test_a_delegation_begins_and_ends_by_the_sweep(cast: Cast) -> None:
    now = timezone.now()
    delegation = give(
        cast.legal, cast.pm2, "legal", starts_at=now + timedelta(days=1), ends_at=now + timedelta(days=3)
    )
    assert (delegation.state, keep_delegations(now=now)) == ("planned", 0)
    assert keep_delegations(now=now + timedelta(days=1)) == 1
    assert keep_delegations(now=now + timedelta(days=1)) == 0
    assert keep_delegations(now=now + timedelta(days=3)) == 1
    delegation.refresh_from_db()
    assert delegation.state == "ended"
    actions = Event.objects.filter(action__startswith="delegation.").order_by("id")
    assert [event.action for event in actions] == ["delegation.given", "delegation.began", "delegation.ended"]
    told = Message.objects.filter(kind="delegation_ended").values_list("recipient_ref", flat=True)
    assert set(told) == {cast.legal.public_id, cast.pm2.public_id}


def test_after_its_time_a_delegation_decides_nothing_even_if_the_sweep_is_late(cast: Cast) -> None:
    give(cast.legal, cast.pm2, "legal")
    request = at_legal(cast)
    step = open_step(request)
    with pytest.raises(NotAllowed):
        say(step, cast.pm2, now=timezone.now() + timedelta(days=8))


@pytest.mark.parametrize("who", ["giver", "deputy"])
def test_a_delegation_ends_with_somebody_who_leaves(cast: Cast, who: str) -> None:
    deputy = make_staff("Deputy", "tech")
    other = make_staff("Other", "legal")
    delegation = give(cast.legal, deputy, "legal")
    request = at_legal(cast)
    assert asked(open_step(request)) == {deputy, other}
    leaver = cast.legal if who == "giver" else deputy
    now = timezone.now()
    deactivate_staff(actor=staff_actor(cast.admin), user=leaver, reason="Left.", now=now)
    with pytest.raises(DomainError):
        say(open_step(request), deputy)
    keep_delegations(now=now)
    watch_steps(now=now)
    delegation.refresh_from_db()
    assert delegation.state == "ended"
    if who == "deputy":
        assert cast.legal in asked(open_step(request))


def test_the_last_of_a_role_who_leaves_alarms_and_a_deputy_helps_once_it_is_escalated(cast: Cast) -> None:
    request = at_legal(cast)
    add_role_deputy(actor=staff_actor(cast.admin), role="legal", staff=cast.pm2, now=timezone.now())
    change_roles(actor=staff_actor(cast.admin), user=cast.legal, roles=["requester"], now=timezone.now())
    watch_steps(now=timezone.now())
    assert open_step(request).stuck_at is not None
    step = escalated(cast, request)
    watch_steps(now=timezone.now())
    step.refresh_from_db()
    assert step.stuck_at is None
    assert say(step, cast.pm2).basis == Decision.Basis.ESCALATION


# --- escalation ------------------------------------------------------------------------------------------


def test_an_escalated_step_is_put_before_the_deputies_and_everybody_is_told(cast: Cast) -> None:
    add_role_deputy(actor=staff_actor(cast.admin), role="legal", staff=cast.pm2, now=timezone.now())
    request = at_legal(cast)
    with pytest.raises(NotAllowed):
        say(open_step(request), cast.pm2)
    step = escalated(cast, request)
    assert asked(step) == {cast.legal, cast.pm2}
    assert list(steps_for(cast.pm2)) == [step]
    told = Message.objects.filter(kind="step_escalated").values_list("recipient_ref", flat=True)
    assert set(told) == {cast.requester.public_id, cast.legal.public_id}
    page = sign_in(cast.pm2).get(reverse("approvals:step-decide", args=[request.public_id]))
    assert "you decide as a deputy of the role" in page.content.decode()
    say(step, cast.pm2)
    sentence = lines_of(Event.objects.filter(action="step.approved").order_by("-id")[:1])[0].sentence
    assert "Ken Suzuki (deputy, by escalation) approved" in sentence


def test_without_a_deputy_security_and_administrators_are_told(cast: Cast) -> None:
    request = at_legal(cast)
    escalated(cast, request)
    told = Message.objects.filter(kind="step_escalated").values_list("recipient_ref", flat=True)
    people = (cast.requester, cast.legal, cast.security, cast.admin)
    assert set(told) == {person.public_id for person in people}


def stand(giver: User, deputy: User | None) -> None:
    name_standing_deputy(actor=staff_actor(giver), giver=giver, deputy=deputy, now=timezone.now())


def test_standing_deputies_come_before_the_roles(cast: Cast) -> None:
    add_role_deputy(actor=staff_actor(cast.admin), role="legal", staff=cast.pm2, now=timezone.now())
    standing = make_staff("Standing", "tech")
    stand(cast.legal, standing)
    request = at_legal(cast)
    with pytest.raises(NotAllowed):
        say(open_step(request), standing)
    step = escalated(cast, request)
    assert asked(step) == {cast.legal, standing}
    assert list(steps_for(standing)) == [step]
    assert list(steps_for(cast.pm2)) == []
    with pytest.raises(NotAllowed):
        say(step, cast.pm2)
    mail = builder_of("step_requested")(
        Message.objects.filter(kind="step_requested", recipient_ref=standing.public_id).latest("id")
    )
    assert mail is not None
    assert mail.context["behind"] == cast.legal.name
    page = sign_in(standing).get(reverse("approvals:step-decide", args=[request.public_id]))
    assert "you decide as the standing deputy of Sakura Ito" in page.content.decode()
    assert step.escalated_at is not None
    later = add_business_hours(step.escalated_at, 24)
    assert keep_time(now=later - timedelta(minutes=1)) == 0
    assert keep_time(now=later) == 1
    assert keep_time(now=later + timedelta(minutes=1)) == 0
    assert asked(step) == {cast.legal, standing, cast.pm2}
    assert list(steps_for(cast.pm2)) == [step]
    decision = say(open_step(request), standing)
    assert (decision.basis, decision.on_behalf_of) == (Decision.Basis.ESCALATION, None)


def test_a_standing_deputy_decides_nothing_that_the_person_behind_may_not(cast: Cast) -> None:
    giver = make_staff("Giver", "pm", "legal", "requester")
    standing = make_staff("Standing", "tech")
    stand(giver, standing)
    add_role_deputy(actor=staff_actor(cast.admin), role="legal", staff=cast.pm2, now=timezone.now())
    step = escalated(cast, at_legal(cast, by=giver))
    # Nobody's standing deputy may decide here, so the role's deputies are asked at once.
    assert asked(step) == {cast.legal, cast.pm2}
    with pytest.raises(NotAllowed):
        say(step, standing)
    assert "not escalated to this person" in refuse(**raw(step, cast.security, basis="escalation"))


def test_naming_a_standing_deputy_on_the_page_and_nobody_again(cast: Cast) -> None:
    assert post(cast.legal, "standing-deputy", {"deputy": cast.pm2.public_id}).status_code == 302
    assert StandingDeputy.objects.get(giver=cast.legal).deputy == cast.pm2
    event = Event.objects.filter(action="deputy.standing_named").get()
    assert "Sakura Ito named Ken Suzuki as their standing deputy." in lines_of([event])[0].sentence
    page = sign_in(cast.pm2).get(reverse("approvals:delegation-list")).content.decode()
    assert "You are the standing deputy of Sakura Ito." in page
    assert post(cast.tech, "standing-deputy", {"deputy": cast.pm2.public_id}).status_code == 422
    assert post(cast.legal, "standing-deputy", {"deputy": ""}).status_code == 302
    assert not StandingDeputy.objects.exists()
    assert Event.objects.filter(action="deputy.standing_removed").count() == 1


def test_a_rights_holder_has_no_deputy(cast: Cast) -> None:
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    step = escalated(cast, request)
    assert step.escalated_at is not None
    told = Message.objects.filter(kind="step_escalated").values_list("recipient_ref", flat=True)
    assert list(told) == [cast.requester.public_id]
    assert asked(step) == set()


def test_role_deputies_are_named_by_somebody_else_and_can_be_removed(cast: Cast) -> None:
    add = {"actor": staff_actor(cast.admin), "role": "legal", "now": timezone.now()}
    add_role_deputy(staff=cast.pm2, **add)  # type: ignore[arg-type]  # as above
    with pytest.raises(Conflict):
        add_role_deputy(staff=cast.pm2, **add)  # type: ignore[arg-type]
    with pytest.raises(Invalid):
        add_role_deputy(staff=cast.ops, **add)  # type: ignore[arg-type]
    request = at_legal(cast)
    step = escalated(cast, request)
    remove_role_deputy(staff=cast.pm2, **add)  # type: ignore[arg-type]
    assert not RoleDeputy.objects.exists()
    with pytest.raises(NotAllowed):
        say(step, cast.pm2)


# --- the database's own word --------------------------------------------------------------------------------


def refuse(**fields: Any) -> str:
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        Decision.objects.create(outcome="approve", decided_at=timezone.now(), **fields)
    return str(caught.value)


def raw(step: Step, staff: User, **fields: Any) -> dict[str, Any]:
    return {
        "request": step.request,
        "requester_id_copy": step.request.requester_id,
        "step": step,
        "staff": staff,
        "digest": bytes(step.revision.digest),
    } | fields


def test_the_database_knows_in_whose_name(cast: Cast) -> None:
    step = open_step(at_legal(cast))
    tried = raw(step, cast.pm2, basis="delegation", on_behalf_of=cast.legal)
    assert "in_whose_name" in refuse(**tried)
    delegation = give(cast.legal, cast.pm2, "legal")
    end_delegation(actor=SYSTEM("x"), by=cast.legal, delegation=delegation, now=timezone.now())
    assert "no delegation in force" in refuse(**tried, delegation=delegation)
    assert "not escalated to this person" in refuse(**raw(step, cast.pm2, basis="escalation"))


def test_the_database_refuses_a_second_part_in_one_path(cast: Cast) -> None:
    giver = make_staff("Giver", "pm", "legal")
    give(giver, cast.security, "pm")
    request = cast.request()
    say(open_step(request), cast.security)
    assert "a part in another decision" in refuse(**raw(open_step(request), giver))


# --- pages ------------------------------------------------------------------------------------------------


def post(user: User, name: str, data: dict[str, Any] | None = None, **kwargs: Any) -> Any:
    return sign_in(user).post(reverse(f"approvals:{name}", kwargs=kwargs), data or {})


def days(first: datetime, n: int) -> dict[str, str]:
    day = timezone.localtime(first).date()
    return {"since": day.isoformat(), "until": (day + timedelta(days=n)).isoformat()}


def test_naming_a_deputy_on_the_page_and_ending_it(cast: Cast) -> None:
    data = {"roles": ["legal"], "deputy": cast.pm2.public_id, "note": "夏季休暇", **days(timezone.now(), 4)}
    assert post(cast.legal, "delegation-give", data).status_code == 302
    delegation = Delegation.objects.get()
    assert (delegation.state, delegation.deputy, delegation.note) == ("in_force", cast.pm2, "夏季休暇")
    end = timezone.localtime(delegation.ends_at)
    assert (end.hour, end.date() - timezone.localdate()) == (0, timedelta(days=5))
    assert Message.objects.get(kind="delegation_given").recipient_ref == cast.pm2.public_id
    for reader in (cast.legal, cast.pm2, cast.admin, cast.security, cast.auditor):
        assert (
            delegation.public_id in sign_in(reader).get(reverse("approvals:delegation-list")).content.decode()
        )
    assert (
        delegation.public_id
        not in sign_in(cast.pm).get(reverse("approvals:delegation-list")).content.decode()
    )
    assert post(cast.pm, "delegation-end", number=delegation.public_id).status_code == 404
    assert post(cast.security, "delegation-end", number=delegation.public_id).status_code == 403
    assert post(cast.pm2, "delegation-end", number=delegation.public_id).status_code == 302
    assert post(cast.legal, "delegation-end", number=delegation.public_id).status_code == 409


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"roles": []}, "This field is required"),
        ({"roles": ["pm"]}, "pm is not one of the available choices"),
        ({"until": "2020-01-01"}, "The last day comes before the first."),
        ({"since": "2020-01-01"}, "Choose today or a later day."),
        ({"deputy": "ST-9999"}, "Select a valid choice"),
    ],
)
def test_what_the_form_refuses(cast: Cast, changes: dict[str, Any], words: str) -> None:
    data = {"roles": ["legal"], "deputy": cast.pm2.public_id, **days(timezone.now(), 4)} | changes
    response = post(cast.legal, "delegation-give", data)
    assert response.status_code == 422
    assert words in response.content.decode()
    assert not Delegation.objects.exists()


def test_a_deputy_who_lacks_the_second_factor_is_refused_beside_the_field(cast: Cast) -> None:
    data = {"roles": ["tech"], "deputy": cast.security.public_id, **days(timezone.now(), 4)}
    response = post(cast.tech, "delegation-give", data)
    assert response.status_code == 422
    assert "has not set one up yet" in response.content.decode()


def test_the_list_offers_only_who_can_be_a_deputy(cast: Cast) -> None:
    page = sign_in(cast.tech).get(reverse("approvals:delegation-list")).content.decode()
    assert cast.security.public_id not in page  # no second factor yet
    TOTP.activate(cast.security, generate_totp_secret())
    page = sign_in(cast.tech).get(reverse("approvals:delegation-list")).content.decode()
    assert f'value="{cast.security.public_id}"' in page
    for person in (cast.pm, cast.legal, cast.coo):
        assert f'value="{person.public_id}"' not in page
    page = sign_in(cast.admin).get(reverse("approvals:delegation-list")).content.decode()
    assert "Sakura Ito · not for Tech, Security, COO" in page
    assert "Takeshi Watanabe</option>" in page


def test_administrators_name_the_deputies_of_roles(cast: Cast) -> None:
    data = {"role": "legal", "staff": cast.pm2.public_id}
    assert post(cast.admin, "role-deputy-add", data).status_code == 302
    assert post(cast.admin, "role-deputy-add", data).status_code == 422
    assert "Ken Suzuki" in sign_in(cast.legal).get(reverse("approvals:delegation-list")).content.decode()
    removed = post(cast.admin, "role-deputy-remove", role="legal", public_id=cast.pm2.public_id)
    assert removed.status_code == 302
    assert not RoleDeputy.objects.exists()


def test_a_wrong_answer_by_a_deputy_says_why(cast: Cast) -> None:
    giver = make_staff("Giver", "pm", "legal", "requester")
    give(giver, cast.security, "legal")
    request = cast.request(by=giver)
    decide(request, cast.pm)
    page = sign_in(cast.security).get(reverse("approvals:step-decide", args=[request.public_id]))
    assert page.status_code == 403
    assert "who may not decide here either" in page.content.decode()
    assert answer_on(open_step(request)).outcome == "approve"


def mails_about(kind: str) -> dict[str, str]:
    """What each recipient reads: subject and text, of each the newest."""
    read = {}
    for message in Message.objects.filter(kind=kind).order_by("id"):
        mail = builder_of(kind)(message)
        assert mail is not None
        sent = render_mail(message, mail)
        html = sent.alternatives[0][0]
        assert mail.context["url"] in str(html)
        read[message.recipient_ref] = f"{sent.subject}\n{sent.body}"
    return read


def test_both_are_told_of_a_standing_deputy_and_who_was_named_before(cast: Cast) -> None:
    stand(cast.legal, cast.pm2)
    told = mails_about("standing_deputy_named")
    assert "You are the standing deputy of Sakura Ito" in told[cast.pm2.public_id]
    assert "Ken Suzuki is your standing deputy" in told[cast.legal.public_id]
    stand(cast.legal, cast.pm2)
    assert Message.objects.filter(kind="standing_deputy_named").count() == 2
    stand(cast.legal, cast.pm)
    told = mails_about("standing_deputy_ended")
    assert "You are no longer the standing deputy of Sakura Ito" in told[cast.pm2.public_id]
    assert set(mails_about("standing_deputy_named")) == {
        cast.legal.public_id,
        cast.pm2.public_id,
        cast.pm.public_id,
    }
    name_standing_deputy(actor=staff_actor(cast.legal), giver=cast.legal, deputy=None, now=timezone.now())
    people = {cast.legal.public_id, cast.pm2.public_id, cast.pm.public_id}
    assert set(mails_about("standing_deputy_named")) == set(mails_about("standing_deputy_ended")) == people


def test_who_named_somebody_that_left_is_told(cast: Cast) -> None:
    stand(cast.legal, cast.pm2)
    assert keep_standing_deputies(now=timezone.now()) == 0
    deactivate_staff(actor=staff_actor(cast.admin), user=cast.pm2, reason="Left.", now=timezone.now())
    assert keep_standing_deputies(now=timezone.now()) == 1
    assert not StandingDeputy.objects.exists()
    told = mails_about("standing_deputy_ended")
    assert set(told) == {cast.legal.public_id}
    assert "They have left. Please name somebody else" in told[cast.legal.public_id]
    event = Event.objects.filter(action="deputy.standing_removed").get()
    assert "Ken Suzuki is no longer the standing deputy of Sakura Ito." in lines_of([event])[0].sentence
