"""The services of deciding: who may, on what, how often, and what follows (A1, A3, A4, A10)."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone
from django.utils.translation import override

from accounts.models import User
from accounts.second_factor import SecondFactorNeeded
from approvals.decisions.services.answers import Answer
from approvals.decisions.services.deciding import decide_as_staff
from approvals.models import Decision, Request, Step, StepLink
from approvals.path.services.watching import watch_steps
from approvals.requests.services.requests import expire_requests, withdraw_request
from audit.models import Event
from core.actors import staff_actor
from core.errors import Conflict, DomainError, Invalid, NotAllowed
from keys.models import ApiProduct, Delivery, Key
from notifications.models import Message
from partners.models import Contact, IdentityCheck
from partners.services import change_contact
from tests.cast import Cast, consent, decide, make_request, make_staff, open_step

pytestmark = pytest.mark.django_db


def answer_on(step: Step, outcome: str = "approve", **changes: Any) -> Answer:
    kind = step.request.partner.kind
    answer = Answer(
        outcome=outcome,
        digest=bytes(step.revision.digest),
        reason="" if outcome == "approve" else "Not clear.",
        checklist=tuple(IdentityCheck.points_for(kind)) if step.role == "tech" else (),
    )
    return replace(answer, **changes)


def say(step: Step, by: User, answer: Answer | None = None, **options: Any) -> Decision:
    now = options.pop("now", timezone.now())
    values: dict[str, Any] = {"second_factor_at": now, "link": None} | options
    return decide_as_staff(
        actor=staff_actor(by), by=by, step=step, answer=answer or answer_on(step), now=now, **values
    )


def everything() -> dict[str, int]:
    """What a refused decision must not add to."""
    return {model.__name__: model.objects.count() for model in (Decision, Event, Message, Key, IdentityCheck)}


# --- the path (A1) ----------------------------------------


@pytest.mark.parametrize(
    ("contract", "roles"),
    [
        ("small", ["pm", "legal", "tech"]),
        ("edge", ["pm", "legal", "tech"]),
        ("big", ["pm", "legal", "tech", "coo"]),
        ("star_contract", ["pm", "rights_holder", "legal", "tech"]),
    ],
)
def test_the_path_is_as_the_contract_and_the_partner_ask(cast: Cast, contract: str, roles: list[str]) -> None:
    request = cast.request(getattr(cast, contract))
    assert [step.role for step in request.steps.all()] == roles
    assert open_step(request).role == "pm"


def test_one_yen_above_the_threshold_asks_the_coo(cast: Cast) -> None:
    cast.big.monthly_amount_jpy = 500_001
    cast.big.save(update_fields=["monthly_amount_jpy"])
    request = cast.request(cast.big)
    assert [step.role for step in request.steps.all()][-1] == "coo"


def test_an_internal_team_without_a_contract_skips_legal(cast: Cast) -> None:
    request = make_request(cast.team_terms(), cast.requester)
    assert [step.role for step in request.steps.all()] == ["pm", "tech"]


def test_the_next_people_are_asked_once_a_step_is_approved(cast: Cast) -> None:
    request = cast.request()
    decide(request, cast.pm)
    step = open_step(request)
    assert step.role == "legal"
    assert [link.staff for link in step.links.all()] == [cast.legal]
    assert Message.objects.filter(kind="step_requested", recipient_ref=cast.legal.public_id).count() == 1
    first = request.steps.get(position=1)
    assert not first.links.filter(used_at=None, died_at=None).exists()


def test_the_last_approval_issues_the_key(cast: Cast) -> None:
    request = cast.request()
    for person in (cast.pm, cast.legal, cast.tech):
        decide(request, person)
    request.refresh_from_db()
    key = Key.objects.get()
    assert (request.state, request.key) == (Request.State.APPROVED, key)
    assert key.status == Key.Status.PENDING
    assert key.request_ref == request.public_id
    delivery = Delivery.objects.get(key=key)
    assert Message.objects.get(kind="delivery_link").context == {"delivery": str(delivery.uid)}
    assert Message.objects.get(kind="request_approved").recipient_ref == cast.requester.public_id
    event = Event.objects.get(action="key.issued")
    assert event.payload["decisions"] == [str(uid) for uid in request.decisions.values_list("uid", flat=True)]
    assert Event.objects.filter(action="request.approved").count() == 1


def test_a_rejection_cancels_the_rest(cast: Cast) -> None:
    request = cast.request(cast.big)
    decide(request, cast.pm)
    decision = decide(request, cast.legal, "reject", reason="The licence does not cover this.")
    request.refresh_from_db()
    assert request.state == Request.State.REJECTED
    assert [step.state for step in request.steps.all()] == ["approved", "rejected", "cancelled", "cancelled"]
    assert not StepLink.objects.filter(used_at=None, died_at=None).exists()
    message = Message.objects.get(kind="request_rejected")
    assert message.context == {"request": request.public_id, "decision": str(decision.uid)}
    assert Event.objects.get(action="step.rejected").payload["reason"] == "The licence does not cover this."
    assert not Key.objects.exists()


def test_a_decision_leaves_one_event_with_what_it_was_on(cast: Cast) -> None:
    request = cast.request()
    decide(request, cast.pm)
    event = Event.objects.get(action="step.approved")
    revision = request.revisions.get()
    assert event.actor_ref == cast.pm.public_id
    assert event.payload == {
        "step": "pm",
        "revision": 1,
        "digest": bytes(revision.digest).hex(),
        "via": "portal",
    }


# --- who may (A4) ----------------------------------------


class TestRefused:
    """Nothing at all is written for a refused answer."""

    @staticmethod
    def refuse(
        error: type[DomainError], step: Step, by: User, answer: Answer | None = None, **more: Any
    ) -> None:
        before = everything()
        with pytest.raises(error):
            say(step, by, answer, **more)
        assert everything() == before
        step.refresh_from_db()

    @pytest.mark.parametrize(
        "role", ["requester", "legal", "tech", "security", "coo", "ops", "auditor", "admin"]
    )
    def test_other_roles(self, cast: Cast, role: str) -> None:
        self.refuse(NotAllowed, open_step(cast.request()), cast.everyone[role])

    def test_ones_own_request(self, cast: Cast) -> None:
        request = cast.request(by=cast.pm)
        self.refuse(NotAllowed, open_step(request), cast.pm)
        decide(request, cast.pm2)

    def test_a_second_step_of_one_request(self, cast: Cast) -> None:
        both = make_staff("Both Hats", "pm", "legal")
        request = cast.request()
        decide(request, both)
        self.refuse(NotAllowed, open_step(request), both)
        decide(request, cast.legal)

    def test_somebody_deactivated_since_the_page_was_loaded(self, cast: Cast) -> None:
        step = open_step(cast.request())
        User.objects.filter(pk=cast.pm.pk).update(is_active=False, roles=[])
        assert cast.pm.is_active
        self.refuse(NotAllowed, step, cast.pm)

    def test_somebody_whose_role_was_taken_since_the_page_was_loaded(self, cast: Cast) -> None:
        step = open_step(cast.request())
        User.objects.filter(pk=cast.pm.pk).update(roles=["auditor"])
        self.refuse(NotAllowed, step, cast.pm)

    def test_a_link_of_somebody_else(self, cast: Cast) -> None:
        step = open_step(cast.request())
        self.refuse(NotAllowed, step, cast.pm, link=step.links.get(staff=cast.pm2))

    @pytest.mark.parametrize("field", ["used_at", "died_at", "expires_at"])
    def test_a_link_that_is_no_longer_valid(self, cast: Cast, field: str) -> None:
        step = open_step(cast.request())
        link = step.links.get(staff=cast.pm)
        StepLink.objects.filter(pk=link.pk).update(**{field: timezone.now()})
        self.refuse(Conflict, step, cast.pm, link=link)

    def test_a_step_that_was_decided(self, cast: Cast) -> None:
        request = cast.request()
        step = open_step(request)
        decide(request, cast.pm)
        self.refuse(Conflict, step, cast.pm2)
        self.refuse(Conflict, step, cast.pm)

    def test_a_step_that_is_not_yet_open(self, cast: Cast) -> None:
        request = cast.request()
        step = request.steps.select_related("request__partner", "revision").get(position=2)
        self.refuse(Conflict, step, cast.legal)

    def test_a_withdrawn_request(self, cast: Cast) -> None:
        request = cast.request()
        step = open_step(request)
        actor, now = staff_actor(cast.requester), timezone.now()
        withdraw_request(actor=actor, by=cast.requester, request=request, version=request.version, now=now)
        self.refuse(Conflict, step, cast.pm)

    def test_an_expired_request(self, cast: Cast) -> None:
        step = open_step(cast.request())
        assert expire_requests(now=timezone.now() + settings.REQUEST_LIFETIME + timedelta(minutes=1)) == 1
        self.refuse(Conflict, step, cast.pm)

    def test_other_terms_than_those_on_the_screen(self, cast: Cast) -> None:
        step = open_step(cast.request())
        self.refuse(Conflict, step, cast.pm, answer_on(step, digest=bytes(32)))

    @pytest.mark.parametrize("reason", ["", "  \n "])
    def test_a_rejection_without_a_reason(self, cast: Cast, reason: str) -> None:
        step = open_step(cast.request())
        self.refuse(Invalid, step, cast.pm, answer_on(step, "reject", reason=reason))

    def test_an_answer_that_is_none(self, cast: Cast) -> None:
        step = open_step(cast.request())
        self.refuse(Invalid, step, cast.pm, answer_on(step, "maybe"))

    def test_a_point_of_the_identity_check_that_is_missing(self, cast: Cast) -> None:
        request = cast.request()
        decide(request, cast.pm)
        decide(request, cast.legal)
        step = open_step(request)
        points = tuple(IdentityCheck.points_for(cast.company.kind))
        self.refuse(Invalid, step, cast.tech, answer_on(step, checklist=points[:-1]))
        self.refuse(Invalid, step, cast.tech, answer_on(step, checklist=(*points, "invented")))
        say(step, cast.tech)

    @pytest.mark.parametrize("outcome", ["approve", "reject"])
    @pytest.mark.parametrize("age", [None, timedelta(seconds=1)])
    def test_the_coo_without_a_fresh_second_factor(
        self, cast: Cast, outcome: str, age: timedelta | None
    ) -> None:
        request = cast.request(cast.big)
        for person in (cast.pm, cast.legal, cast.tech):
            decide(request, person)
        step, now = open_step(request), timezone.now()
        given: datetime | None = now - settings.SECOND_FACTOR_MAX_AGE - age if age else None
        answer = answer_on(step, outcome)
        self.refuse(SecondFactorNeeded, step, cast.coo, answer, second_factor_at=given, now=now)
        say(step, cast.coo, answer, now=now)


def test_the_identity_check_is_kept_with_the_partner(cast: Cast) -> None:
    request = cast.request()
    for person in (cast.pm, cast.legal, cast.tech):
        decision = decide(request, person)
    check = IdentityCheck.objects.get()
    assert (check.partner, check.checked_by) == (cast.company, cast.tech)
    assert check.checklist == decision.checklist != []


def test_tech_rejects_without_the_identity_check(cast: Cast) -> None:
    request = cast.request()
    decide(request, cast.pm)
    decide(request, cast.legal)
    step = open_step(request)
    decision = say(step, cast.tech, answer_on(step, "reject", checklist=()))
    assert decision.checklist == []
    assert not IdentityCheck.objects.exists()


@pytest.mark.parametrize("what", ["amount", "partner", "recipient", "product"])
def test_terms_that_no_longer_hold_are_not_approved_at_the_end(cast: Cast, what: str) -> None:
    request = cast.request()
    decide(request, cast.pm)
    decide(request, cast.legal)
    step = open_step(request)
    if what == "amount":
        cast.small.monthly_amount_jpy = 450_000
        cast.small.save(update_fields=["monthly_amount_jpy"])
    elif what == "partner":
        type(cast.company).objects.filter(pk=cast.company.pk).update(is_active=False)
    elif what == "recipient":
        cast.company.contacts.update(is_active=False)
    else:
        ApiProduct.objects.filter(code="catalog").update(is_active=False)
    before = everything()
    with pytest.raises(Conflict):
        say(step, cast.tech)
    assert everything() == before
    step.refresh_from_db()
    request.refresh_from_db()
    assert (step.state, request.state) == (Step.State.OPEN, Request.State.IN_REVIEW)
    decide(request, cast.tech, "reject", reason="The contract was changed.")


# --- n of m, stuck steps (A2, A4) ----------------------------------------


@pytest.fixture
def two_pms(cast: Cast) -> Request:
    """A request whose first step needs two PMs."""
    request = cast.request()
    request.steps.filter(position=1).update(n_needed=2)
    return request


def test_a_step_may_need_two_people(cast: Cast, two_pms: Request) -> None:
    step = open_step(two_pms)
    say(step, cast.pm, link=step.links.get(staff=cast.pm))
    step.refresh_from_db()
    assert step.state == Step.State.OPEN
    assert step.links.get(staff=cast.pm).used_at is not None
    assert step.links.get(staff=cast.pm2).died_at is None
    with pytest.raises(Conflict):
        say(step, cast.pm)
    say(step, cast.pm2)
    assert open_step(two_pms).role == "legal"


def test_deciding_in_the_portal_leaves_no_live_link(cast: Cast, two_pms: Request) -> None:
    step = open_step(two_pms)
    say(step, cast.pm)
    assert step.links.get(staff=cast.pm).died_at is not None


def test_one_rejection_of_two_people_is_enough(cast: Cast, two_pms: Request) -> None:
    decide(two_pms, cast.pm)
    decide(two_pms, cast.pm2, "reject")
    two_pms.refresh_from_db()
    assert two_pms.state == Request.State.REJECTED


def test_a_step_that_nobody_may_decide_alarms_at_once(cast: Cast) -> None:
    User.objects.filter(pk=cast.legal.pk).update(roles=[])
    request = cast.request()
    decide(request, cast.pm)
    step = open_step(request)
    assert step.stuck_at is not None
    told = Message.objects.filter(kind="step_stuck").values_list("recipient_ref", flat=True)
    assert sorted(told) == sorted([cast.security.public_id, cast.admin.public_id])
    assert Event.objects.filter(action="step.stuck").count() == 1


def test_a_step_is_stuck_when_its_only_decider_is_excluded(cast: Cast) -> None:
    request = cast.request(by=make_staff("Lawyer", "requester", "legal"))
    User.objects.filter(pk=cast.legal.pk).update(roles=["auditor"])
    decide(request, cast.pm)
    assert open_step(request).stuck_at is not None


def test_a_step_that_loses_its_last_decider_alarms(cast: Cast) -> None:
    request = cast.request()
    decide(request, cast.pm)
    assert watch_steps(now=timezone.now()) == 0
    User.objects.filter(pk=cast.legal.pk).update(is_active=False, roles=[])
    assert watch_steps(now=timezone.now()) == 1
    assert open_step(request).stuck_at is not None
    assert Message.objects.filter(kind="step_stuck").count() == 2
    assert watch_steps(now=timezone.now()) == 0


def test_a_stuck_step_goes_on_once_somebody_gets_the_role(cast: Cast) -> None:
    User.objects.filter(pk=cast.legal.pk).update(roles=[])
    request = cast.request()
    decide(request, cast.pm)
    lawyer = make_staff("New Lawyer", "legal")
    assert watch_steps(now=timezone.now()) == 1
    step = open_step(request)
    assert step.stuck_at is None
    assert [link.staff for link in step.links.all()] == [lawyer]
    decide(request, lawyer)


def test_watching_costs_no_more_for_more_steps(cast: Cast, django_assert_max_num_queries: Any) -> None:
    for _number in range(6):
        cast.request()
    with django_assert_max_num_queries(9):
        assert watch_steps(now=timezone.now()) == 0


# --- consent (A1, A3) ----------------------------------------


def redirect_mails(contact: Contact, by: User) -> None:
    names = ("name", "purposes", "title", "phone", "language", "is_active")
    same: dict[str, Any] = {name: getattr(contact, name) for name in names}
    change_contact(
        actor=staff_actor(by), by=by, contact=contact, email="mine@example.jp", now=timezone.now(), **same
    )


@pytest.mark.parametrize("purpose", ["consent", "technical"])
def test_a_requester_does_not_redirect_consent_or_key(cast: Cast, purpose: str) -> None:
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    redirect_mails(cast.star.contacts.get(purposes__contains=[purpose]), cast.requester)
    with override("en"), pytest.raises(Conflict, match="address"):
        consent(request)
    consent(request, "reject")


def test_a_wrong_address_can_be_mended_by_somebody_else(cast: Cast) -> None:
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    redirect_mails(cast.star.contacts.get(purposes__contains=["consent"]), cast.pm2)
    assert consent(request).outcome == "approve"


def test_consent_is_signed_and_receipted(cast: Cast) -> None:
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    decision = consent(request)
    assert (decision.staff, decision.signed_capacity) == (None, "Star")
    assert StepLink.objects.get(contact__isnull=False).used_at == decision.decided_at
    message = Message.objects.get(kind="consent_receipt")
    assert message.context == {"decision": str(decision.uid)}
    event = Event.objects.filter(action="step.approved").order_by("-id")[0]
    assert (event.actor_kind, event.payload["capacity"]) == ("contact", "Star")
    assert decision.signed_name not in str(event.payload)
    assert open_step(request).role == "legal"


def test_without_consent_there_is_no_key(cast: Cast) -> None:
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    consent(request, "reject")
    request.refresh_from_db()
    assert request.state == Request.State.REJECTED


def test_staff_do_not_decide_the_rights_holders_step(cast: Cast) -> None:
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    for person in cast.everyone.values():
        with pytest.raises(NotAllowed):
            say(open_step(request), person)
