"""The path of a request: opening steps in their turn, asking the people, closing what is over (A1–A3)."""

from collections.abc import Sequence
from datetime import datetime

from django.conf import settings
from django.db.models import QuerySet

from accounts.models import User
from accounts.roles import Role
from approvals.models import Emergency, KeyChange, Request, Revision, Step, StepLink, StepRole
from approvals.path.access import decided_refs
from approvals.path.bench import Bench
from approvals.path.selectors.owed import owed_steps
from approvals.path.services.emergency_end import refuse_emergency
from approvals.path.services.locking import save_request
from approvals.path.services.lost_links import settle_undeliverable
from approvals.path.standing import n_answers
from approvals.policies.rules import PlannedStep
from audit.actions import Action
from audit.services import record
from core.actors import Actor
from core.business_time import add_business_hours
from core.ids import refs
from core.links import hash_of, new_nonce
from notifications.services import enqueue
from partners.models import Contact

PURPOSE = "step"


def lay_path(
    revision: Revision, planned: Sequence[PlannedStep], consents: Contact | None, *, after: int = 0
) -> list[Step]:
    """The steps of a revision of a locked request, none of them open; `after` how many it has already."""
    return Step.objects.bulk_create(
        Step(
            request=revision.request,
            revision=revision,
            position=position,
            role=step.role,
            reason=step.why,
            n_needed=step.n_needed,
            needs_second_factor=step.needs_second_factor,
            people=list(step.people),
            deadline_hours=step.deadline_hours,
            conditions=step.conditions,
            contact=consents if step.role == StepRole.RIGHTS_HOLDER else None,
        )
        for position, step in enumerate(planned, start=after + 1)
    )


def add_owed_steps(*, actor: Actor, step: Step, now: datetime) -> None:
    """Before the last approval counts: whoever has to be asked as things stand now is asked after it (A1).

    Nothing while other steps are to come. The request is locked.
    """
    revision = step.revision
    if revision.steps.filter(state=Step.State.WAITING).exists():
        return
    owed = owed_steps(step)
    if not owed:
        return
    consents = Contact.objects.filter(public_id=revision.terms["consent_contact"]).first()
    for added in lay_path(revision, owed, consents, after=revision.steps.count()):
        record(
            Action.STEP_ADDED,
            actor=actor,
            objects=refs(step.request),
            payload={
                "step": added.role,
                "revision": revision.number,
                "note": "the rules changed since it was submitted",
            },
            now=now,
        )


def open_next_step(*, actor: Actor, request: Request, now: datetime) -> Step | None:
    """Open the first waiting step and ask its people; None when no step is left. The request is locked."""
    step = request.steps.select_for_update().filter(state=Step.State.WAITING).order_by("position").first()
    if step is None:
        return None
    step.state = Step.State.OPEN
    step.opened_at = now
    step.due_at = _due_at(request, step, now)
    step.save(update_fields=["state", "opened_at", "due_at"])
    bench, decided = Bench.read(), decided_refs(step)
    people = [asked.user for asked in bench.asked(step, decided)]
    record(
        Action.STEP_OPENED,
        actor=actor,
        objects=refs(request),
        payload={
            "step": step.role,
            "revision": step.revision.number,
            "people": [person.public_id for person in people],
            "due_at": step.due_at,
        },
        now=now,
    )
    if step.contact is not None:
        send_link(actor=actor, step=step, recipient=step.contact, now=now)
    for person in people:
        send_link(actor=actor, step=step, recipient=person, now=now)
    n_able = n_answers(person.standing for person in bench.able(step, decided))
    if step.contact is None and n_able + step.standings.count() < step.n_needed:
        alarm_stuck(actor=actor, step=step, now=now)
    return step


def _due_at(request: Request, step: Step, now: datetime) -> datetime:
    """The step's own deadline, but no later than that of an emergency whose key still runs (A8)."""
    due_at = add_business_hours(now, step.deadline_hours or settings.ESCALATION_HOURS)
    emergency = Emergency.objects.filter(request=request, due_at__gt=now).first()
    return min(due_at, emergency.due_at) if emergency else due_at


def staff_who_may_decide(step: Step) -> list[User]:
    """Active staff who may decide this step now, deputies included, four eyes considered (A4, A5)."""
    return [able.user for able in Bench.read().able(step, decided_refs(step))]


def send_link(
    *, actor: Actor, step: Step, recipient: User | Contact, kind: str = "", now: datetime
) -> StepLink:
    """A fresh personal link for one person, and its mail. Older links of the person for the step die (A3).

    `kind` is the mail's, where it is not the first one that asks.
    """
    staff = recipient if isinstance(recipient, User) else None
    contact = recipient if isinstance(recipient, Contact) else None
    older = step.links.filter(staff=staff, contact=contact)
    renewals = older.count()
    older.filter(used_at=None, died_at=None).update(died_at=now)
    nonce = new_nonce()
    link = StepLink.objects.create(
        step=step,
        staff=staff,
        contact=contact,
        nonce=nonce,
        token_hash=hash_of(nonce, purpose=PURPOSE),
        created_at=now,
        # As long as an answer is awaited: business hours may end after three days by the clock.
        expires_at=max(now + settings.STEP_LINK_LIFETIME, step.due_at or now),
        n_renewals=renewals,
    )
    settle_undeliverable(step)  # tried again: whether it arrives is open once more
    request = step.request
    record(
        Action.LINK_SENT if renewals == 0 else Action.LINK_RENEWED,
        actor=actor,
        objects=refs(request),
        payload={"step": step.role, "recipient": recipient.public_id}
        | ({"expires_at": link.expires_at} if renewals == 0 else {}),
        now=now,
    )
    enqueue(
        kind or ("consent_requested" if contact else "step_requested"),
        recipient_ref=recipient.public_id,
        context={"link": str(link.uid)},
        dedupe_key=f"step_link:{link.uid}",
        objects=refs(request),
        now=now,
    )
    return link


def alarm_stuck(*, actor: Actor, step: Step, now: datetime) -> None:
    """Nobody may decide this step: security and the administrators are told at once (A2)."""
    step.stuck_at = now
    step.save(update_fields=["stuck_at"])
    _alarm(Action.STEP_STUCK, actor, step, now)


def alarm_undeliverable(*, actor: Actor, step: Step, now: datetime) -> None:
    """A mail about this step came back: the same people are told (A3)."""
    step.undeliverable_at = now
    step.save(update_fields=["undeliverable_at"])
    _alarm(Action.STEP_UNDELIVERABLE, actor, step, now)


def _alarm(action: Action, actor: Actor, step: Step, now: datetime) -> None:
    number = step.request.public_id
    record(action, actor=actor, objects=refs(number), payload={"step": step.role}, now=now)
    for person in guardians():
        enqueue(
            "step_stuck",
            recipient_ref=person.public_id,
            context={"step": step.pk},
            dedupe_key=f"{action}:{step.pk}:{now.timestamp():.0f}:{person.public_id}",
            objects=refs(number),
            now=now,
        )


def guardians() -> QuerySet[User]:
    """Those who can mend a stuck path: security, and administrators, who give roles."""
    return User.objects.filter(
        is_active=True, roles__overlap=[Role.SECURITY.value, Role.ADMIN.value]
    ).order_by("public_id")


def close_request(request: Request, state: Request.State, *, now: datetime) -> None:
    """End a locked request: steps that were not decided are cancelled, every link dies.

    A key that was issued in an emergency is revoked, unless the request is approved (A8).
    """
    request.steps.filter(state__in=[Step.State.WAITING, Step.State.OPEN]).update(
        state=Step.State.CANCELLED, ended_at=now
    )
    StepLink.objects.filter(step__request=request, used_at=None, died_at=None).update(died_at=now)
    # An approved change goes its own way: it is applied, or waits for its time (services.changing).
    if state != Request.State.APPROVED:
        KeyChange.objects.filter(request=request).update(state=KeyChange.State.CLOSED, ended_at=now)
    request.state = state
    request.ended_at = now
    save_request(request, "state", "ended_at", "key", now=now)
    refuse_emergency(request, now=now)
