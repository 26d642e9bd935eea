"""The workflow's state machine: what is true after every act, whatever people did."""

from collections import defaultdict
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import F
from hypothesis.stateful import invariant

from approvals.models import (
    ConsentWithdrawal,
    Decision,
    Delegation,
    Doubt,
    Emergency,
    KeyChange,
    Request,
    Standing,
    Step,
    StepLink,
    StepReminder,
)
from approvals.path.services.watching import watch_steps
from approvals.requests.rules import concerning, moved_fields
from audit.models import Event
from keys.models import Key
from tests.approvals.workflow_houses import Houses, lost_by_hand
from tests.approvals.workflow_troubles import ENDED

RUNNING = {"pending", "active", "retiring"}
CHANGE_STATES = {
    "draft": {"draft"},
    "in_review": {"in_review"},
    "changes_wanted": {"draft"},
    "approved": {"scheduled", "applied", "rolled_back", "failed", "cancelled"},
    "rejected": {"closed"},
    "withdrawn": {"closed"},
    "expired": {"closed"},
}


def persons_of(decision: Decision) -> set[Any]:
    """Who answered, and in whose name: they count as one (A4, A5)."""
    if decision.contact_id is not None:
        return {f"contact {decision.contact_id}"}
    return {decision.staff_id, decision.on_behalf_of_id} - {None}


def behind(key: Key) -> list[Request]:
    """The requests that the key stands on now."""
    made = list(Request.objects.filter(key=key))
    return [*made, *Request.objects.filter(change__key=key, change__state="applied")]


class Truths(Houses):
    """No illegal state, no lost decision, nobody twice, no key that runs without what it needs."""

    def requests(self) -> list[Request]:
        """All that was submitted."""
        return list(Request.objects.exclude(submitted_at=None).select_related("policy", "key"))

    @invariant()
    def states_fit(self) -> None:
        """One open step while in review, none otherwise; only the newest revision has steps to come."""
        for request in self.requests():
            steps = list(request.steps.select_related("revision"))
            newest = max(step.revision.number for step in steps)
            still = [step for step in steps if step.state in {"open", "waiting"}]
            assert [step.state for step in still].count("open") == (request.state == "in_review")
            assert request.state == "in_review" or not still
            assert all(step.revision.number == newest for step in still)
            assert (request.frozen_at is not None) == request.doubts.filter(verdict="").exists()
            submitted = Event.objects.get(
                action="request.submitted", objects_touched__contains=[f"request:{request.public_id}"]
            )
            assert request.policy is not None
            assert request.policy.number == submitted.payload["policy"]
        alive = StepLink.objects.filter(used_at=None, died_at=None).select_related("step")
        assert all(link.step.state == "open" for link in alive)
        for change in KeyChange.objects.select_related("request"):
            assert change.state in CHANGE_STATES[change.request.state]

    @invariant()
    def four_eyes(self) -> None:
        """No person for two roles of a request, in whatever name; none of the requester."""
        for request in self.requests():
            roles: dict[Any, set[str]] = defaultdict(set)
            in_force: list[Any] = []
            for decision in request.decisions.select_related("step", "delegation"):
                for person in persons_of(decision):
                    assert person != request.requester_id
                    roles[person].add(decision.step.role)
                in_force += [] if decision.fallen_at else persons_of(decision)
                self.in_whose_place(decision)
            assert all(len(found) == 1 for found in roles.values())
            assert len(in_force) == len(set(in_force))

    @invariant()
    def as_many_people_as_needed(self) -> None:
        """A step ends with as many people as it needs and not before; one no is enough (A4)."""
        answers = ("decisions__staff", "decisions__on_behalf_of", "standings__decision")
        for step in Step.objects.select_related("request").prefetch_related(*answers):
            given = list(step.decisions.all())
            approvals = [one for one in given if one.outcome == "approve"]
            stand = [standing.decision for standing in step.standings.all()]
            people = [person for one in [*given, *stand] for person in persons_of(one)]
            assert len(people) == len(set(people))
            n, refusals = len(approvals) + len(stand), len(given) - len(approvals)
            if step.state in {"approved", "stands"}:
                assert (n, refusals) == (step.n_needed, 0)
                assert (not given) == (step.state == "stands")
            else:
                assert n < step.n_needed
                assert refusals == (step.state in {"rejected", "changes_wanted"})
            if step.state == "rejected":
                assert step.request.state == "rejected"
            for one in given:
                self.is_asked_for_by_the_policy(step, one)

    def is_asked_for_by_the_policy(self, step: Step, decision: Decision) -> None:
        """Where the policy names people it is one of them, or who stands in for one (A2)."""
        if step.people and decision.basis != "escalation":
            whose = decision.on_behalf_of or decision.staff
            assert whose is not None
            assert whose.public_id in step.people

    @invariant()
    def no_mail_is_lost_silently(self) -> None:
        """A step says that it is undeliverable as long as it is; after a minute at most (A3)."""
        for step in Step.objects.filter(state="open", request__frozen_at=None).select_related("request"):
            if lost_by_hand(step) != (step.undeliverable_at is not None):
                watch_steps(now=self.tick())
                step.refresh_from_db()
            assert lost_by_hand(step) == (step.undeliverable_at is not None)

    def in_whose_place(self, decision: Decision) -> None:
        """A deputy decided in the time of the delegation, or after the escalation (A5)."""
        if decision.basis == "escalation":
            assert decision.step.escalated_at is not None
            assert decision.step.escalated_at <= decision.decided_at
        if decision.delegation is not None:
            one = decision.delegation
            ended = min(one.ends_at, one.ended_at or one.ends_at)
            assert (one.giver_id, one.deputy_id) == (decision.on_behalf_of_id, decision.staff_id)
            assert one.starts_at <= decision.decided_at < ended

    @invariant()
    def nothing_is_lost(self) -> None:
        """A decision once given stays as it was given, on what it was given."""
        now = {decision.pk: (decision.outcome, bytes(decision.digest)) for decision in Decision.objects.all()}
        assert self.given.items() <= now.items()
        self.given = now

    @invariant()
    def what_stands_is_true(self) -> None:
        """Nothing that a standing approval's role answers for differs from what it was given on."""
        for item in Standing.objects.select_related("step__revision", "decision__step__revision"):
            before, after = item.decision.step.revision, item.step.revision
            assert bytes(item.digest) == bytes(after.digest)
            assert item.decision.step.role == item.step.role
            assert not concerning(item.step.role, moved_fields(before.terms, after.terms))

    @invariant()
    def frozen_takes_no_decision(self) -> None:
        """Nobody answered between "this was not me" and security's answer (A7)."""
        for doubt in Doubt.objects.all():
            until = doubt.looked_at or datetime.max.replace(tzinfo=doubt.raised_at.tzinfo)
            late = Decision.objects.filter(request=doubt.request, decided_at__gt=doubt.raised_at)
            assert not late.filter(decided_at__lt=until).exists()

    # --- keys ---------------------------------------------------------------------------------------------

    @invariant()
    def what_is_approved_has_all_its_approvals(self) -> None:
        """Every step of the last revision, each with as many people as it needs, on these very terms."""
        for request in self.requests():
            made = Key.objects.filter(request_ref=request.public_id).count()
            is_new = request.kind == "new_key"
            has_key = request.state == "approved" or request.emergency_at is not None
            assert made == (is_new and has_key)
            if request.state == "approved":
                self.approved_above.setdefault(request.pk, settings.COO_THRESHOLD_JPY)
                self.path_is_whole(request)

    def path_is_whole(self, request: Request) -> None:
        """The approved request's last revision."""
        revision = request.revisions.order_by("-number")[0]
        roles = {step.role for step in revision.steps.all()}
        if roles != {"pm_or_security"}:
            amount = revision.terms["monthly_amount_jpy"]
            # Above what the company says at the last approval, whatever it said when it was submitted (A1).
            assert "coo" in roles or amount <= self.approved_above[request.pk]
            assert "coo" not in roles or amount > min(self.thresholds)
            assert ("rights_holder" in roles) == (revision.terms["partner_kind"] == "rights_holder")
        else:
            assert request.change.direction == "tightens"
        for step in revision.steps.all():
            given = step.decisions.filter(outcome="approve", digest=revision.digest, fallen_at=None).count()
            stand = step.standings.filter(digest=revision.digest, decision__fallen_at=None).count()
            assert given + stand >= step.n_needed
            assert step.state in {"approved", "stands"}

    @invariant()
    def a_key_that_runs_may_run(self) -> None:
        """Approved, or in the day of its emergency; nothing in doubt or void, no consent taken back."""
        for key in Key.objects.filter(status__in=RUNNING):
            requests = behind(key)
            assert requests
            assert not key.held_for
            for request in requests:
                if request.state != "approved":
                    emergency = Emergency.objects.get(request=request)
                    assert emergency.state == "running"
                    assert key.provisional_until == emergency.due_at
                assert request.frozen_at is None
                void = request.doubts.exclude(verdict="stands")
                assert not [doubt for doubt in void if doubt.decision.fallen_at is None]
            consents = Decision.objects.filter(request__in=requests, contact__isnull=False, outcome="approve")
            taken = ConsentWithdrawal.objects.filter(decision__in=consents).first()  # the newest
            if taken is not None:
                assert consents.filter(decided_at__gt=taken.withdrawn_at, withdrawal=None).exists()

    @invariant()
    def an_emergency_ends_in_its_day(self) -> None:
        """A provisional key of a request that has ended otherwise is revoked; late, it is held (A8)."""
        for emergency in Emergency.objects.select_related("request__key"):
            key = emergency.request.key
            assert key is not None
            ended = emergency.request.state in ENDED
            assert (emergency.state in {"completed", "refused"}) == ended
            if emergency.state == "refused":
                assert key.status == "revoked"
            if emergency.state == "late":
                assert key.status in {"suspended", "revoked"}
            if emergency.state == "completed":
                assert key.provisional_until is None or key.status == "revoked"

    @invariant()
    def an_applied_change_is_what_the_key_is(self) -> None:
        """The key has the limit of the newest thing that came in force."""
        for key in Key.objects.all():
            newest = KeyChange.objects.filter(key=key, state="applied").order_by("-applied_at").first()
            if newest is not None:
                terms = newest.request.revisions.order_by("-number")[0].terms
                assert (key.rpm, key.name) == (terms["rpm"], terms["name"])

    # --- the audit log --------------------------------------------------------------------------------------

    @invariant()
    def events_match(self) -> None:
        """As many events as things that happened."""
        decisions, requests, changes = Decision.objects, Request.objects, KeyChange.objects
        emergencies, doubts = Emergency.objects, Doubt.objects
        void = doubts.filter(verdict="again")
        # An escalation notes that nobody needs to be reminded any more: no event of its own.
        reminded = StepReminder.objects.exclude(hours=settings.ESCALATION_HOURS)
        # Put before standing deputies first, and before the role's a business day later.
        twice = Step.objects.filter(deputies_at__gt=F("escalated_at"))
        pairs: list[tuple[tuple[str, ...], int]] = [
            (("step.approved", "step.rejected", "step.changes_wanted"), decisions.count()),
            (
                ("request.submitted", "request.resubmitted"),
                sum(request.revisions.count() for request in self.requests()),
            ),
            (("step.stands",), Standing.objects.count()),
            (("step.fell",), decisions.filter(outcome="approve").exclude(fallen_at=None).count()),
            (("step.escalated",), Step.objects.exclude(escalated_at=None).count() + twice.count()),
            (("step.reminded",), reminded.count()),
            (("request.approved",), requests.filter(state="approved").count()),
            (("request.rejected",), requests.filter(state="rejected").count()),
            (("request.withdrawn",), requests.filter(state="withdrawn").count()),
            (("request.expired",), requests.filter(state="expired").count()),
            (("request.frozen",), doubts.count()),
            (("request.doubt_cleared",), doubts.exclude(verdict="").count()),
            (("consent.withdrawn",), ConsentWithdrawal.objects.count()),
            (("request.emergency_issued",), emergencies.count()),
            (("request.emergency_late",), emergencies.exclude(late_at=None).count()),
            (("request.emergency_completed",), emergencies.filter(state="completed").count()),
            (("request.emergency_refused",), emergencies.filter(state="refused").count()),
            (("key.issued",), Key.objects.count()),
            (("key.revoked",), Key.objects.filter(status="revoked").count()),
            (("key.rolled_back",), changes.filter(state="rolled_back").count()),
            (("request.change_failed",), changes.filter(state="failed").count()),
            (("request.change_cancelled",), changes.filter(state="cancelled").count()),
            (("delegation.given",), Delegation.objects.count()),
            (("delegation.began",), Delegation.objects.exclude(began_at=None).count()),
            (("delegation.ended",), Delegation.objects.exclude(ended_at=None).count()),
        ]
        for actions, number in pairs:
            assert (actions, Event.objects.filter(action__in=actions).count()) == (actions, number)
        sent_back = Event.objects.filter(action="request.sent_back").count()
        wanted = decisions.filter(outcome="changes").count()
        assert wanted <= sent_back <= wanted + void.count()
