"""The workflow's state machine: other policies, another threshold, mails that come back."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import uuid4

from django.conf import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from approvals.models import PolicyVersion, Step
from approvals.path.access import decided_refs
from approvals.path.bench import Bench
from approvals.path.services.lost_links import KINDS
from approvals.path.services.undeliverable import ask_again
from approvals.policies.selectors.in_force import current_policy
from approvals.policies.services import propose_policy, put_in_force, save_policy_draft, start_policy_draft
from audit.models import Event
from core.actors import staff_actor
from notifications.models import Message
from notifications.services.bounces import report_bounce
from partners.models import Contact
from partners.services import change_contact
from tests.approvals.workflow_troubles import PLACE, Troubles

THRESHOLD = 500_000
# What a policy asks of a role beside the path that every installation begins with: how many people, and whom.
POLICIES: dict[str, dict[str, tuple[int, tuple[str, ...]]]] = {
    "first": {},
    "two": {"pm": (2, ()), "pm_or_security": (2, ())},
    "named": {"pm": (1, ("pm",)), "legal": (1, ("legal",)), "tech": (1, ("tech",))},
    "two_named": {"pm": (2, ("pm", "pm2")), "coo": (1, ("coo",))},
    "two_of_all": {"pm": (2, ()), "legal": (2, ()), "tech": (2, ()), "coo": (2, ())},
}
# Under what the first request goes, by how the machine starts.
BEGIN_UNDER = {
    "edge": "two",
    "big": "two_named",
    "star_contract": "named",
    "change": "two",
    "star_change": "two_named",
}


def lost_by_hand(step: Step) -> bool:
    """Whether somebody who may decide has a link whose mail came back: from the rows, the long way."""
    failed = Message.objects.filter(kind__in=KINDS, state="failed")
    uids = {message.context["link"] for message in failed}
    lost = [link for link in step.links.filter(used_at=None, died_at=None) if str(link.uid) in uids]
    if not lost:
        return False
    able = {one.user.pk for one in Bench.read().able(step, decided_refs(step))}
    return any(link.contact_id is not None or link.staff_id in able for link in lost)


class Houses(Troubles):
    """What the company decides beside people's answers, and what the mail server does."""

    def __init__(self) -> None:
        super().__init__()
        settings.COO_THRESHOLD_JPY = THRESHOLD
        self.thresholds = {THRESHOLD}
        self.approved_above: dict[int, int] = {}

    def teardown(self) -> None:
        """The setting is not the database's."""
        settings.COO_THRESHOLD_JPY = THRESHOLD
        super().teardown()

    def before_the_first_request(self) -> None:
        """Another policy than the installation's first is in force from the beginning."""
        name = BEGIN_UNDER.get(self.start, "")
        if name:
            assert self.attempt(lambda now: self.new_policy(name, "legal", "coo", now))

    # --- policies -----------------------------------------------------------------------------------------

    def new_policy(self, name: str, author: str, decider: str, now: datetime) -> PolicyVersion:
        """A draft with these steps, proposed by one person and put in force by another."""
        by, second = self.person(author), self.person(decider)
        in_force = current_policy(now)
        draft = start_policy_draft(actor=staff_actor(by), by=by, source=in_force, now=now)
        written: dict[str, Any] = {"actor": staff_actor(by), "by": by, "now": now, "reason": "Asked for."}
        draft = save_policy_draft(policy=draft, version=draft.version, rules=self.steps_of(name), **written)
        draft = propose_policy(policy=draft, version=draft.version, **written)
        return put_in_force(
            actor=staff_actor(second),
            by=second,
            policy=draft,
            version=draft.version,
            instead_of=in_force.number,
            has_read_warnings=True,
            second_factor_at=now,
            now=now,
        )

    def steps_of(self, name: str) -> dict[str, Any]:
        """The first path with what this policy asks beside it."""
        steps = []
        for step in self.cast.policy.rules["steps"]:
            n, people = POLICIES[name].get(step["role"], (1, ()))
            named = [getattr(self.cast, person).public_id for person in people]
            steps.append(step | ({"n": n} if n > 1 else {}) | ({"people": named} if named else {}))
        return {"steps": steps}

    @rule(
        name=st.sampled_from(sorted(POLICIES)),
        author=st.sampled_from(["legal", "legal", "security", "pm"]),
        decider=st.sampled_from(["coo", "coo", "admin", "legal"]),
    )
    def another_policy(self, name: str, author: str, decider: str) -> None:
        """Somebody writes a policy, somebody else puts it in force: or may not, or it is not safe now."""
        before = current_policy(self.now)
        done = self.attempt(lambda now: self.new_policy(name, author, decider, now))
        newest = current_policy(self.now)
        assert (newest != before) == done
        assert not done or (newest.author_id, newest.decider_id) == (
            self.person(author).pk,
            self.person(decider).pk,
        )
        assert not done or author != decider

    @rule(amount=st.sampled_from([200_000, 400_000, THRESHOLD, THRESHOLD]))
    def move_the_threshold(self, amount: int) -> None:
        """The company asks its COO from another amount on."""
        settings.COO_THRESHOLD_JPY = amount
        self.thresholds.add(amount)

    # --- mails --------------------------------------------------------------------------------------------

    @rule(place=PLACE, is_final=st.sampled_from([True, True, True, False]))
    def a_mail_comes_back(self, place: int, is_final: bool) -> None:
        """A mail server took a mail about the open step and says later that nobody is there."""
        step = self.open_step()
        if step is None:
            return
        links = {str(link.uid): link for link in step.links.filter(used_at=None, died_at=None)}
        mails = Message.objects.filter(kind__in=KINDS, context__link__in=list(links)).order_by("id")
        found = [mail for mail in mails if mail.state != Message.State.FAILED]
        if not found:
            return
        mail, now = found[place % len(found)], self.tick()
        Message.objects.filter(pk=mail.pk).update(state=Message.State.SENT, sent_at=now)
        was_marked, before = step.undeliverable_at is not None, self.picture()[:-1]
        report = {"event_id": str(uuid4()), "uid": mail.uid, "is_final": is_final, "status": "5.1.1"}
        say: Callable[[], Any] = lambda: report_bounce(**report, now=now)  # type: ignore[arg-type]  # noqa: E731
        assert say() == ("marked" if is_final else "not_final")
        n_alarms = Event.objects.filter(action="step.undeliverable").count()
        assert say() == "repeated"
        assert Event.objects.filter(action="step.undeliverable").count() == n_alarms
        step.refresh_from_db()
        assert (step.undeliverable_at is not None) == (was_marked or (is_final and lost_by_hand(step)))
        assert self.picture()[:-1] == before  # it decides nothing, and ends nothing

    @rule(by=st.sampled_from(["pm", "pm2", "pm2", "requester"]))
    def mend_the_address(self, by: str) -> None:
        """Somebody registers another address of the contact who was asked; not always one who may."""
        step, person = self.open_step(), self.person(by)
        if step is None or step.contact is None:
            return
        contact = Contact.objects.get(pk=step.contact.pk)
        kept = ("name", "purposes", "title", "phone", "language", "is_active")
        self.attempt(
            lambda now: change_contact(
                actor=staff_actor(person),
                by=person,
                contact=contact,
                email=f"mended-{uuid4().hex[:8]}@partner.example",
                now=now,
                **{name: getattr(contact, name) for name in kept},
            )
        )

    @rule()
    def send_the_mails_again(self) -> None:
        """A PM presses the button beside the undeliverable step."""
        if self.attempt(
            lambda now: ask_again(actor=staff_actor(self.cast.pm), request=self.request, now=now)
        ):
            step = self.open_step()
            assert step is not None
            assert step.undeliverable_at is None
            assert not lost_by_hand(step)
