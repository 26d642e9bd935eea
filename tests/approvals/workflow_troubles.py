"""The workflow's state machine: time, deputies, doubts, consents taken back, and what befalls the key."""

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from hypothesis import strategies as st
from hypothesis.stateful import rule

from accounts.models import User
from approvals.changes.services.after import roll_back_change
from approvals.changes.services.applying import apply_scheduled, cancel_change
from approvals.decisions.services.links import expire_links
from approvals.deputies.services.deputies import (
    add_role_deputy,
    end_delegation,
    give_delegation,
    keep_delegations,
    name_standing_deputy,
)
from approvals.deputies.services.reminding import keep_time
from approvals.models import Decision, Delegation, Doubt, KeyChange, Request
from approvals.path.services.emergency_end import suspend_late_emergencies
from approvals.path.services.watching import watch_steps
from approvals.requests.services.requests import expire_requests
from core.actors import staff_actor
from core.business_time import add_business_hours
from core.errors import DomainError
from keys.models import Key
from keys.status.services import reactivate_key, suspend_key
from tests.approvals.workflow_acts import Acts
from tests.changes import ask_change
from tests.doubts import look_into, not_me, take_back
from tests.key_stories import reveal, revoke

PERSON = st.sampled_from(["pm", "pm2", "legal", "tech", "coo", "security"])
ROLE = st.sampled_from(["pm", "legal", "tech", "security"])
PLACE = st.integers(0, 9)
ENDED = {"approved", "rejected", "withdrawn", "expired"}


class Troubles(Acts):
    """What the path has to stand beside people's answers."""

    def person(self, name: str) -> User:
        """As the database knows them now."""
        return User.objects.get(pk=getattr(self.cast, name).pk)

    def key(self) -> Key | None:
        """The key that this is about, if there is one yet."""
        return Key.objects.order_by("-id").first()

    # --- time and who is here -----------------------------------------------------------------------------

    @rule(hours=st.sampled_from([1, 10, 25, 25, 49, 73, 700]))
    def wait(self, hours: int) -> None:
        """Business hours go by, and everything runs that runs by itself."""
        touched = dict(Request.objects.exclude(state__in=[*ENDED, "draft"]).values_list("pk", "changed_at"))
        frozen = set(Request.objects.exclude(frozen_at=None).values_list("pk", flat=True))
        self.now = now = add_business_hours(self.now, hours)
        keep_delegations(now=now)
        suspend_late_emergencies(now=now)
        apply_scheduled(now=now)
        watch_steps(now=now)
        due = {pk for pk, at in touched.items() if now - at >= settings.REQUEST_LIFETIME and pk not in frozen}
        expire_requests(now=now)
        keep_time(now=now)
        expire_links(now=now)
        assert (
            set(Request.objects.filter(pk__in=touched, state="expired").values_list("pk", flat=True)) == due
        )

    @rule(who=PERSON, role=st.sampled_from(["pm", "legal", "tech", "coo"]))
    def give_or_take_a_role(self, who: str, role: str) -> None:
        """People come and go; the watch sees to the open step."""
        person = self.person(who)
        person.roles = (
            [r for r in person.roles if r != role] if role in person.roles else [*person.roles, role]
        )
        person.save(update_fields=["roles"])
        keep_delegations(now=self.tick())
        watch_steps(now=self.tick())

    @rule(giver=PERSON, deputy=PERSON, role=ROLE, days=st.sampled_from([1, 5]))
    def go_away(self, giver: str, deputy: str, role: str, days: int) -> None:
        """Somebody hands a role to a deputy."""
        by = self.person(giver)
        self.attempt(
            lambda now: give_delegation(
                actor=staff_actor(by),
                giver=by,
                deputy=self.person(deputy),
                role=role,
                starts_at=now,
                ends_at=now + timedelta(days=days),
                now=now,
            )
        )
        watch_steps(now=self.tick())

    @rule(place=PLACE)
    def come_back(self, place: int) -> None:
        """A delegation ends before its time."""
        open_ones = list(Delegation.objects.filter(ended_at=None).select_related("giver"))
        if not open_ones:
            return
        one = open_ones[place % len(open_ones)]
        self.attempt(
            lambda now: end_delegation(actor=staff_actor(one.giver), by=one.giver, delegation=one, now=now)
        )
        watch_steps(now=self.tick())

    @rule(who=PERSON, role=ROLE)
    def name_a_deputy(self, who: str, role: str) -> None:
        """Somebody may decide a role's steps once they are late."""
        admin, person = staff_actor(self.cast.admin), self.person(who)
        self.attempt(lambda now: add_role_deputy(actor=admin, role=role, staff=person, now=now))
        watch_steps(now=self.tick())

    @rule(giver=PERSON, deputy=PERSON)
    def name_a_standing_deputy(self, giver: str, deputy: str) -> None:
        """Somebody names who may decide what they have not answered in time."""
        by = self.person(giver)
        self.attempt(
            lambda now: name_standing_deputy(
                actor=staff_actor(by), giver=by, deputy=self.person(deputy), now=now
            )
        )
        watch_steps(now=self.tick())

    # --- doubts and consents ------------------------------------------------------------------------------

    @rule(place=PLACE)
    def this_was_not_me(self, place: int) -> None:
        """Somebody says of one of the last answers that it is not theirs."""
        decisions = list(Decision.objects.select_related("receipt", "staff", "contact").order_by("-id")[:4])
        if decisions:
            self.attempt(lambda now: not_me(decisions[place % len(decisions)], now=now))

    @rule(by=PERSON, verdict=st.sampled_from(["stands", "again", "rejected"]), place=PLACE)
    def look(self, by: str, verdict: str, place: int) -> None:
        """Somebody looks into a doubt, who may or may not."""
        self.answer_a_doubt(self.person(by), verdict, place)

    @rule(verdict=st.sampled_from(["stands", "stands", "again", "again", "rejected"]), place=PLACE)
    def security_looks(self, verdict: str, place: int) -> None:
        """Often enough, it is those who may."""
        for person in (self.cast.security, self.cast.coo):
            self.answer_a_doubt(person, verdict, place)

    def answer_a_doubt(self, by: User, verdict: str, place: int) -> None:
        """A verdict on one of the doubts, new or old."""
        doubts = list(Doubt.objects.order_by("verdict", "id").select_related("request"))
        if doubts:
            doubt = doubts[place % max(1, sum(not one.verdict for one in doubts))]
            self.attempt(lambda now: look_into(doubt, by, verdict, now=now))

    @rule(place=PLACE)
    def take_a_consent_back(self, place: int) -> None:
        """The rights-holder withdraws one of the consents, by its receipt."""
        given = list(Decision.objects.filter(contact__isnull=False, outcome="approve", withdrawal=None))
        if given:
            self.attempt(lambda now: take_back(given[place % len(given)], now=now))

    # --- the key --------------------------------------------------------------------------------------------

    @rule(what=st.sampled_from(["collect", "suspend", "start", "start", "start"]))
    def stop_or_start_the_key(self, what: str) -> None:
        """Its recipient collects it; ops stop it and start it again."""
        key, by = self.key(), self.cast.ops
        if key is None:
            return
        acts = {
            "collect": lambda now: reveal(key, now=now),
            "suspend": lambda now: suspend_key(
                actor=staff_actor(by), by=by, key=key, reason="An audit asked.", now=now
            ),
            "start": lambda now: reactivate_key(
                actor=staff_actor(by), by=by, key=key, reason="It is fine.", now=now
            ),
        }
        self.attempt(acts[what])

    @rule(really=st.sampled_from([False, False, False, False, True]))
    def revoke_the_key(self, really: bool) -> None:
        """Seldom, since it is the end."""
        key = self.key()
        if really and key is not None:
            self.attempt(lambda now: revoke(key, self.cast.security, now=now))

    @rule(
        rpm=st.sampled_from([30, 50, 120, 150]),
        hours=st.sampled_from([0, 0, 30, 60]),
        reactivates=st.booleans(),
        by=st.sampled_from(["requester", "pm2"]),
    )
    def ask_for_a_change(self, rpm: int, hours: int, reactivates: bool, by: str) -> None:
        """A request about the key, once the one before has ended."""
        key, asker = self.key(), self.person(by)
        ended = Request.objects.get(pk=self.request.pk).state in ENDED
        if key is None or not ended:
            return
        at = self.now + timedelta(hours=hours) if hours else None
        wakes = reactivates and key.status == "suspended"
        try:
            with transaction.atomic():
                self.request = ask_change(
                    key, asker, now=self.tick(), not_before=at, reactivates=wakes, rpm=rpm
                )
                self.asker = asker
        except DomainError:
            return

    @rule(by=st.sampled_from(["requester", "security", "pm"]))
    def cancel_the_change(self, by: str) -> None:
        """Somebody takes a change back that waits for its time."""
        person, waiting = self.person(by), KeyChange.objects.filter(state="scheduled").first()
        if waiting is not None:
            self.attempt(
                lambda now: cancel_change(
                    actor=staff_actor(person), by=person, request=waiting.request, reason="No.", now=now
                )
            )

    @rule(by=st.sampled_from(["security", "security", "pm"]), place=PLACE)
    def roll_a_change_back(self, by: str, place: int) -> None:
        """Somebody takes a change back that is in force."""
        person, applied = self.person(by), list(KeyChange.objects.filter(state="applied").order_by("-id"))
        if applied:
            change = applied[place % len(applied)]
            self.attempt(
                lambda now: roll_back_change(
                    actor=staff_actor(person), by=person, request=change.request, reason="It broke.", now=now
                )
            )
