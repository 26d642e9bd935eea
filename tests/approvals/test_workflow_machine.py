"""The whole workflow at random, on the real database: no illegal state, no lost decision, no key too early.

A state machine (Hypothesis) lets everybody do everything in any order; the invariants are looked at after
each act. What is refused must change nothing.
"""

from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts.models import User
from approvals.concerns import concerning, moved_fields
from approvals.models import Decision, PolicyVersion, Request, Standing, Step, StepLink
from approvals.selectors.preview import preview_path
from approvals.services.answers import Answer
from approvals.services.decisions import decide_as_staff
from approvals.services.requests import content_of, expire_requests, submit_request, withdraw_request
from approvals.services.revising import pull_back
from approvals.services.watching import watch_steps
from audit.models import Event
from core.actors import staff_actor
from core.errors import DomainError
from keys.models import Key
from keys.terms import KeyTerms
from keys.terms_check import Registry
from partners.models import IdentityCheck
from tests.cast import Cast, consent, make_request

pytestmark = pytest.mark.long

PEOPLE = ("requester", "pm", "pm2", "legal", "tech", "coo", "security")
ANSWERS = st.sampled_from(["approve", "approve", "approve", "changes", "changes", "reject"])
EDITS: list[dict[str, Any]] = [
    {},
    {"rpm": 60},
    {"rpm": 90},
    {"name": "Another name"},
    {"ip_ranges": ("198.51.100.0/24",)},
    {"scopes": ("catalog:read", "catalog:write")},
    {"scopes": ("catalog:read",)},
    {"rotation_days": 60},
    {"purpose": "Tells the drivers where to go next."},
    {"contract": "small"},
    {"contract": "edge"},
    {"contract": "big"},
]
ENDED = {"approved", "rejected", "withdrawn", "expired"}


class Workflow(RuleBasedStateMachine):
    """One request of a company or of a rights-holder, from its submission to its end."""

    cast: Cast

    def __init__(self) -> None:
        super().__init__()
        self.point = transaction.savepoint()
        self.now = timezone.now()

    def teardown(self) -> None:
        """The next example begins with the same world."""
        transaction.savepoint_rollback(self.point)

    @initialize(whose=st.sampled_from(["small", "edge", "big", "star_contract"]))
    def submit(self, whose: str) -> None:
        """Somebody asks for a key."""
        self.request = make_request(
            self.cast.terms(getattr(self.cast, whose)), self.cast.requester, now=self.now
        )
        self.given: dict[int, tuple[str, bytes]] = {}

    # --- what people do -------------------------------------------------------------------------------

    def attempt(self, act: Any) -> None:
        """What is refused changes nothing of the request."""
        before = self.picture()
        try:
            with transaction.atomic():
                act()
        except DomainError:
            assert self.picture() == before

    def picture(self) -> tuple[Any, ...]:
        """All that a refused act could have changed."""
        fresh = Request.objects.get(pk=self.request.pk)
        steps = tuple(fresh.steps.order_by("id").values_list("id", "state"))
        decisions = tuple(fresh.decisions.order_by("id").values_list("id", "fallen_at"))
        return fresh.state, fresh.version, steps, decisions, Event.objects.count()

    def tick(self) -> datetime:
        """A minute later."""
        self.now += timedelta(minutes=1)
        return self.now

    @rule(who=st.sampled_from(PEOPLE), answer=ANSWERS)
    def decide(self, who: str, answer: str) -> None:
        """Anybody answers on the open step, if there is one."""
        step = Step.objects.filter(request=self.request, state="open").select_related("revision").first()
        if step is None:
            return
        by = User.objects.get(pk=getattr(self.cast, who).pk)
        points = IdentityCheck.points_for(self.request.partner.kind) if step.role == "tech" else ()
        given = Answer(
            outcome=answer,
            digest=bytes(step.revision.digest),
            reason="" if answer == "approve" else "Why?",
            checklist=tuple(points),
        )
        now = self.tick()
        self.attempt(
            lambda: decide_as_staff(
                actor=staff_actor(by),
                by=by,
                step=step,
                answer=given,
                second_factor_at=now,
                link=None,
                now=now,
            )
        )

    @rule(role_of_open=st.booleans(), answer=ANSWERS)
    def the_right_one_decides(self, role_of_open: bool, answer: str) -> None:
        """The path goes on often enough to reach its end."""
        step = Step.objects.filter(request=self.request, state="open").first()
        if step is None:
            return
        if step.contact_id is not None:
            self.attempt(lambda: consent(self.request, answer))
        else:
            self.decide("pm2" if step.role == "pm" and role_of_open else step.role, answer)

    @rule(edit=st.sampled_from(EDITS))
    def resubmit(self, edit: dict[str, Any]) -> None:
        """The requester submits (again), with or without changes, whether it is their turn or not."""
        self.request.refresh_from_db()
        last = KeyTerms.from_json(self.request.revisions.order_by("-number")[0].terms)
        changes = dict(edit)
        if "contract" in changes:
            contract = getattr(self.cast, changes.pop("contract"))
            if last.partner != contract.partner.public_id:
                return
            changes |= {"contract": contract.public_id, "monthly_amount_jpy": contract.monthly_amount_jpy}
        now, terms = self.tick(), replace(last, **changes)
        told = preview_path(
            self.request, terms, Registry.read(terms), content=content_of(terms, None), now=now
        )
        n_before = self.request.revisions.count()
        self.attempt(
            lambda: submit_request(
                actor=staff_actor(self.cast.requester),
                by=self.cast.requester,
                request=self.request,
                version=self.request.version,
                terms=terms,
                now=now,
            )
        )
        if self.request.revisions.count() > n_before:
            steps = Step.objects.filter(revision__request=self.request, revision__number=n_before + 1)
            stands = [
                (step.role, sorted(step.standings.values_list("decision", flat=True)))
                for step in steps.order_by("position")
            ]
            assert [(step.role, [one.pk for one in step.stands]) for step in told.steps] == stands

    @rule()
    def take_back(self) -> None:
        """The requester wants to edit."""
        self.request.refresh_from_db()
        by, now = self.cast.requester, self.tick()
        version = self.request.version
        self.attempt(
            lambda: pull_back(actor=staff_actor(by), by=by, request=self.request, version=version, now=now)
        )

    @rule(really=st.sampled_from([False, False, False, True]))
    def withdraw(self, really: bool) -> None:
        """The requester lets go; seldom, since it is the end."""
        if not really:
            return
        self.request.refresh_from_db()
        by, now, version = self.cast.requester, self.tick(), self.request.version
        self.attempt(
            lambda: withdraw_request(
                actor=staff_actor(by), by=by, request=self.request, version=version, now=now
            )
        )

    @rule(days=st.sampled_from([1, 1, 1, 31]))
    def wait(self, days: int) -> None:
        """Time goes by; what nobody touched for 30 days ends."""
        self.request.refresh_from_db()
        touched, was = self.request.changed_at, self.request.state
        late = max(self.now, touched) + timedelta(days=days)
        expire_requests(now=late)
        self.request.refresh_from_db()
        due = was not in ENDED and late - touched >= django_settings.REQUEST_LIFETIME
        assert (self.request.state == "expired") == (due or was == "expired")

    @rule(who=st.sampled_from(["pm", "legal", "tech"]), role=st.sampled_from(["pm", "legal", "tech", "coo"]))
    def give_or_take_a_role(self, who: str, role: str) -> None:
        """People come and go; the watch sees to the open step."""
        person = User.objects.get(pk=getattr(self.cast, who).pk)
        person.roles = (
            [r for r in person.roles if r != role] if role in person.roles else [*person.roles, role]
        )
        person.save(update_fields=["roles"])
        watch_steps(now=self.tick())

    @rule()
    def change_the_policy(self) -> None:
        """Another policy comes in force: it is for later requests."""
        newest = PolicyVersion.objects.latest("number")
        steps = [step for step in newest.rules["steps"] if step["role"] != "legal"] or newest.rules["steps"]
        newest.pk = None
        newest.number += 1
        newest.rules, newest.in_force_from = newest.rules | {"steps": steps}, self.tick()
        newest.save(force_insert=True)

    # --- what is always true ------------------------------------------------------------------------------

    @precondition(lambda self: hasattr(self, "request"))
    @invariant()
    def states_fit(self) -> None:
        """One open step while in review, none otherwise; only the newest revision has steps to come."""
        request = Request.objects.get(pk=self.request.pk)
        steps = list(request.steps.select_related("revision"))
        newest = max(step.revision.number for step in steps)
        still = [step for step in steps if step.state in {"open", "waiting"}]
        assert [step.state for step in still].count("open") == (1 if request.state == "in_review" else 0)
        assert request.state == "in_review" or not still
        assert all(step.revision.number == newest for step in still)
        alive = StepLink.objects.filter(step__request=request, used_at=None, died_at=None)
        assert all(link.step.state == "open" for link in alive.select_related("step"))
        assert request.policy is not None
        assert request.policy.number == self.policy_number()

    def policy_number(self) -> int:
        """The version that it was first submitted under."""
        submitted = Event.objects.get(action="request.submitted", objects_touched__contains=[self.ref])
        return int(submitted.payload["policy"])

    @property
    def ref(self) -> str:
        """How events name it."""
        return f"request:{self.request.public_id}"

    @precondition(lambda self: hasattr(self, "request"))
    @invariant()
    def four_eyes_and_nothing_lost(self) -> None:
        """No person for two roles; decisions are never lost or rewritten; none of the requester."""
        decisions = list(Decision.objects.filter(request=self.request).select_related("step"))
        roles: dict[Any, set[str]] = defaultdict(set)
        for decision in decisions:
            roles[decision.staff_id or f"contact {decision.contact_id}"].add(decision.step.role)
            assert decision.staff_id != self.cast.requester.pk
        assert all(len(found) == 1 for found in roles.values())
        in_force = [d.staff_id or f"contact {d.contact_id}" for d in decisions if d.fallen_at is None]
        assert len(in_force) == len(set(in_force))
        now = {decision.pk: (decision.outcome, bytes(decision.digest)) for decision in decisions}
        assert self.given.items() <= now.items()
        self.given = now

    @precondition(lambda self: hasattr(self, "request"))
    @invariant()
    def what_stands_is_true(self) -> None:
        """Nothing that a standing approval's role answers for differs from what it was given on."""
        for item in Standing.objects.filter(step__request=self.request).select_related(
            "step__revision", "decision__step__revision"
        ):
            before, after = item.decision.step.revision, item.step.revision
            assert bytes(item.digest) == bytes(after.digest)
            assert item.decision.step.role == item.step.role
            assert not concerning(item.step.role, moved_fields(before.terms, after.terms))

    @precondition(lambda self: hasattr(self, "request"))
    @invariant()
    def no_key_without_all_approvals(self) -> None:
        """A key exists exactly when the request is approved, with every step of its last revision."""
        request = Request.objects.get(pk=self.request.pk)
        assert Key.objects.filter(request_ref=request.public_id).count() == (request.state == "approved")
        if request.state != "approved":
            return
        revision = request.revisions.order_by("-number")[0]
        roles = [step.role for step in revision.steps.order_by("position")]
        assert ("coo" in roles) == (revision.terms["monthly_amount_jpy"] > 500_000)
        assert ("rights_holder" in roles) == (revision.terms["partner_kind"] == "rights_holder")
        for step in revision.steps.all():
            given = step.decisions.filter(outcome="approve", digest=revision.digest, fallen_at=None).count()
            stand = step.standings.filter(digest=revision.digest, decision__fallen_at=None).count()
            assert given + stand >= step.n_needed
            assert step.state in {"approved", "stands"}

    @precondition(lambda self: hasattr(self, "request"))
    @invariant()
    def events_match(self) -> None:
        """As many events as things that happened."""

        def told(*actions: str) -> int:
            return Event.objects.filter(action__in=actions, objects_touched__contains=[self.ref]).count()

        decisions = Decision.objects.filter(request=self.request)
        assert told("step.approved", "step.rejected", "step.changes_wanted") == decisions.count()
        assert told("request.submitted", "request.resubmitted") == self.request.revisions.count()
        assert told("step.stands") == Standing.objects.filter(step__request=self.request).count()
        assert told("step.fell") == decisions.filter(outcome="approve").exclude(fallen_at=None).count()
        assert told("request.sent_back") == decisions.filter(outcome="changes").count()


def test_the_workflow_holds_whatever_people_do(cast: Cast) -> None:
    Workflow.cast = cast
    run_state_machine_as_test(
        Workflow,
        settings=settings(
            max_examples=15,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_machine_reaches_the_end(cast: Cast) -> None:
    """The rules themselves can issue a key after two rounds: else the invariants above would prove little."""
    Workflow.cast = cast
    machine = Workflow()
    machine.submit("big")
    for _round in range(2):
        machine.the_right_one_decides(role_of_open=False, answer="approve")
        machine.the_right_one_decides(role_of_open=False, answer="changes")
        machine.resubmit({"contract": "edge"})
    while Step.objects.filter(request=machine.request, state="open").exists():
        machine.the_right_one_decides(role_of_open=True, answer="approve")
        machine.no_key_without_all_approvals()
        machine.events_match()
    machine.request.refresh_from_db()
    assert machine.request.state == "approved"
    machine.teardown()
