"""The workflow's state machine: what requesters and approvers do, in any order, allowed or not."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from accounts.models import User
from approvals.changes.selectors.changes import direction_of, present_terms
from approvals.changes.services.changing import Wish
from approvals.decisions.services.answers import Answer
from approvals.decisions.services.deciding import decide_as_staff
from approvals.decisions.services.links import renew_link
from approvals.emergencies.services import break_glass
from approvals.models import Decision, Delegation, Doubt, KeyChange, PolicyVersion, Request, Step
from approvals.path.access import decided_refs
from approvals.path.bench import Bench
from approvals.path.services.path import PURPOSE
from approvals.requests.selectors.preview import preview_path
from approvals.requests.services.requests import content_of, start_draft, submit_request, withdraw_request
from approvals.requests.services.revising import pull_back
from audit.models import Event
from core.actors import SYSTEM, staff_actor
from core.business_time import add_business_hours
from core.errors import DomainError
from core.links import token_of
from keys.models import Key
from keys.terms.checks import Registry
from keys.terms.settings import digest_of_settings
from keys.terms.terms import KeyTerms
from partners.models import IdentityCheck
from tests.cast import Cast, consent, decide, make_request
from tests.changes import ask_change
from tests.key_stories import reveal

PEOPLE = ("requester", "pm", "pm2", "legal", "tech", "coo", "security")
STARTS = ("small", "edge", "big", "star_contract", "emergency", "change", "star_change")
ANSWERS = st.sampled_from(["approve", "approve", "approve", "changes", "changes", "reject"])
EDITS: list[dict[str, Any]] = [
    {},
    {"rpm": 60},
    {"rpm": 90},
    {"rpm": 150},
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
# The way that the policy of every installation asks.
ORDER = ("pm", "rights_holder", "legal", "tech", "coo")


class Acts(RuleBasedStateMachine):
    """One request at a time, from its submission to its end; then changes of the key that it made."""

    cast: Cast
    start: str

    def __init__(self) -> None:
        super().__init__()
        self.point = transaction.savepoint()
        # Within office hours, and so after every wait: reminders and escalations are sent then.
        self.now = add_business_hours(timezone.now(), 1)
        self.given: dict[int, tuple[str, bytes]] = {}

    def teardown(self) -> None:
        """The next example begins with the same world."""
        transaction.savepoint_rollback(self.point)

    @initialize()
    def begin(self) -> None:
        """Somebody asks for a key, or for a change of one; or security issues one at once."""
        self.asker = self.cast.requester
        if self.start == "emergency":
            self.asker = self.cast.security
            self.request = self.broken_glass()
            return
        contract = {"change": "small", "star_change": "star_contract"}.get(self.start, self.start)
        terms = self.cast.terms(getattr(self.cast, contract))
        if not self.start.endswith("change"):
            self.before_the_first_request()
            self.request = make_request(terms, self.asker, now=self.tick())
            return
        self.request = make_request(terms, self.asker, now=self.tick())
        self.whole_path(self.request)
        key = Key.objects.get(request_ref=self.request.public_id)
        reveal(key, now=self.tick())
        self.before_the_first_request()
        self.request = ask_change(key, self.asker, now=self.tick(), rpm=150)

    def before_the_first_request(self) -> None:
        """What is so from the beginning."""

    def broken_glass(self) -> Request:
        """A key of an emergency, whose approvals begin."""
        by, now = self.asker, self.tick()
        draft = start_draft(actor=staff_actor(by), by=by, partner=self.cast.company, now=now)
        return break_glass(
            actor=staff_actor(by),
            by=by,
            request=draft,
            version=draft.version,
            terms=self.cast.terms(),
            draft={},
            reason="The parcel tracker is down.",
            incident="",
            typed_number=draft.public_id,
            second_factor_at=now,
            now=now,
        )

    def whole_path(self, request: Request) -> None:
        """Everybody approves, in turn."""
        for role in ORDER:
            step = Step.objects.filter(request=request, state="open").first()
            if step is not None and step.role == role:
                if role == "rights_holder":
                    consent(request, now=self.tick())
                else:
                    decide(request, getattr(self.cast, role), now=self.tick())

    # --- how an act is tried ----------------------------------------------------------------------------

    def attempt(self, act: Callable[[datetime], Any]) -> bool:
        """Whether it was done. What is refused changes nothing."""
        before, now = self.picture(), self.tick()
        try:
            with transaction.atomic():
                act(now)
        except DomainError:
            assert self.picture() == before
            return False
        return True

    def picture(self) -> tuple[Any, ...]:
        """All that a refused act could have changed."""
        rows = (
            tuple(rows.order_by("pk").values_list(*fields))
            for rows, fields in (
                (Request.objects, ("pk", "state", "version", "frozen_at")),
                (Step.objects, ("pk", "state")),
                (Decision.objects, ("pk", "fallen_at")),
                (KeyChange.objects, ("pk", "state")),
                (Key.objects, ("pk", "status", "held_for", "revision")),
                (Doubt.objects, ("pk", "verdict")),
                (Delegation.objects, ("pk", "ended_at")),
            )
        )
        return (*rows, Event.objects.count())

    def tick(self) -> datetime:
        """A minute later."""
        self.now += timedelta(minutes=1)
        return self.now

    def open_step(self) -> Step | None:
        """The open step of the request that this is about."""
        found = Step.objects.filter(request=self.request, state="open")
        return found.select_related("revision", "contact", "request__requester", "request__partner").first()

    # --- deciding -----------------------------------------------------------------------------------------

    def answer(self, by: User, answer: str) -> bool:
        """Somebody's answer on the open step, if there is one."""
        step = self.open_step()
        if step is None:
            return False
        points = IdentityCheck.points_for(step.request.partner.kind) if step.role == "tech" else ()
        given = Answer(
            outcome=answer,
            digest=bytes(step.revision.digest),
            reason="" if answer == "approve" else "Why?",
            checklist=tuple(points),
        )
        return self.attempt(
            lambda now: decide_as_staff(
                actor=staff_actor(by),
                by=by,
                step=step,
                answer=given,
                second_factor_at=now,
                link=None,
                now=now,
            )
        )

    @rule(who=st.sampled_from(PEOPLE), answer=ANSWERS)
    def decide(self, who: str, answer: str) -> None:
        """Anybody answers."""
        self.answer(User.objects.get(pk=getattr(self.cast, who).pk), answer)

    @rule(place=st.integers(0, 9), answer=ANSWERS)
    def somebody_who_may_decides(self, place: int, answer: str) -> None:
        """The path goes on often enough to reach its end: by the role, a deputy or the rights-holder."""
        step = self.open_step()
        if step is None:
            return
        if step.contact is not None:
            self.ask_for_a_link_that_works(step)
            if step.links.filter(used_at=None, died_at=None).exists():
                self.attempt(lambda now: consent(self.request, answer, now=now))
            return
        able = Bench.read().able(step, decided_refs(step))
        if able:
            done = self.answer(able[place % len(able)].user, answer)
            frozen = Request.objects.get(pk=self.request.pk).frozen_at is not None
            assert not (done and frozen)

    def ask_for_a_link_that_works(self, step: Step) -> None:
        """What a contact does with an old mail."""
        last = step.links.order_by("-id").first()
        if last is not None and last.expires_at <= self.now:
            token = token_of(bytes(last.nonce), purpose=PURPOSE)
            renew_link(actor=SYSTEM("tests"), token=token, now=self.tick())

    # --- the requester ------------------------------------------------------------------------------------

    @rule(edit=st.sampled_from(EDITS))
    def resubmit(self, edit: dict[str, Any]) -> None:
        """The requester submits (again), with or without changes, whether it is their turn or not."""
        self.request.refresh_from_db()
        change = KeyChange.objects.filter(request=self.request).select_related("key").first()
        last = KeyTerms.from_json(self.request.revisions.order_by("-number")[0].terms)
        base = present_terms(Key.objects.get(pk=change.key_id)) if change else last
        edits = dict(edit)
        if "contract" in edits:
            contract = getattr(self.cast, edits.pop("contract"))
            if last.partner != contract.partner.public_id:
                return
            edits |= {"contract": contract.public_id, "monthly_amount_jpy": contract.monthly_amount_jpy}
        wish = None
        if change is not None:
            wish = Wish(digest_of_settings(base), "They need it so.", None, change.reactivates)
        by, version, terms = self.asker, self.request.version, replace(base, **edits)
        way = direction_of(base, terms, reactivates=change.reactivates) if change else "none"
        told = preview_path(
            self.request,
            terms,
            Registry.read(terms),
            content=content_of(terms, wish),
            now=self.tick(),
            change=way,
        )
        n_before = self.request.revisions.count()
        self.attempt(
            lambda now: submit_request(
                actor=staff_actor(by),
                by=by,
                request=self.request,
                version=version,
                terms=terms,
                wish=wish,
                now=now,
            )
        )
        if self.request.revisions.count() > n_before:
            steps = Step.objects.filter(revision__request=self.request, revision__number=n_before + 1)
            stands = [
                (step.role, sorted(step.standings.values_list("decision", flat=True)))
                for step in steps.order_by("position")
            ]
            # What the form said before (A6): whose approvals stand.
            assert [(step.role, [one.pk for one in step.stands]) for step in told.steps] == stands

    @rule()
    def take_back(self) -> None:
        """The requester wants to edit."""
        self.request.refresh_from_db()
        by, version = self.asker, self.request.version
        self.attempt(
            lambda now: pull_back(
                actor=staff_actor(by), by=by, request=self.request, version=version, now=now
            )
        )

    @rule(really=st.sampled_from([False, False, False, True]))
    def withdraw(self, really: bool) -> None:
        """The requester lets go; seldom, since it is the end."""
        if not really:
            return
        self.request.refresh_from_db()
        by, version = self.asker, self.request.version
        self.attempt(
            lambda now: withdraw_request(
                actor=staff_actor(by), by=by, request=self.request, version=version, now=now
            )
        )

    @rule()
    def change_the_policy(self) -> None:
        """Another policy comes in force: it is for later requests."""
        newest = PolicyVersion.objects.latest("number")
        steps = [step for step in newest.rules["steps"] if step["role"] != "legal"] or newest.rules["steps"]
        newest.pk = None
        newest.number += 1
        newest.rules, newest.in_force_from = newest.rules | {"steps": steps}, self.tick()
        newest.save(force_insert=True)
