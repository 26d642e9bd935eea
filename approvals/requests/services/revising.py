"""Sending a request back, and what of its decisions stands when it is submitted again (R5, A6).

All of it runs on a locked request.
"""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from accounts.models import User
from approvals.models import Decision, KeyChange, Request, Revision, Standing, Step, StepLink
from approvals.path.services.locking import lock_for_requester, save_request
from approvals.requests.drafts import draft_of
from approvals.requests.rules import Fate
from approvals.requests.selectors.fates import fates_of, place_of_step
from audit.actions import Action
from audit.services import record
from core.actors import Actor
from core.ids import refs
from keys.terms.terms import KeyTerms
from notifications.services import enqueue


def send_back(*, actor: Actor, decision: Decision, now: datetime) -> None:
    """After an answer that asks for changes: the request waits for its requester, who is told.

    The step has ended already.
    """
    request = decision.step.request
    record(
        Action.REQUEST_SENT_BACK,
        actor=actor,
        objects=refs(request, request.partner),
        payload={
            "step": decision.step.role,
            "revision": decision.step.revision.number,
            "reason": decision.reason,
        },
        now=now,
    )
    wait_for_requester(request, decision.step.revision, now)
    enqueue(
        "request_changes_wanted",
        recipient_ref=request.requester.public_id,
        context={"request": request.public_id, "decision": str(decision.uid)},
        dedupe_key=f"request_changes_wanted:{decision.uid}",
        objects=refs(request),
        now=now,
    )


@transaction.atomic
def pull_back(*, actor: Actor, by: User, request: Request, version: int, now: datetime) -> Request:
    """The requester takes a request out of review to edit it; decisions given so far may stand (R5).

    Conflict when it is not in review any more, or was acted on since the page was opened.
    """
    request = lock_for_requester(request, by=by, version=version, states=[Request.State.IN_REVIEW])
    revision = newest_revision(request)
    record(
        Action.REQUEST_PULLED_BACK,
        actor=actor,
        objects=refs(request, request.partner),
        payload={"revision": revision.number},
        now=now,
    )
    tell_those_asked("request_paused", request, now=now)
    wait_for_requester(request, revision, now)
    return request


def tell_those_asked(kind: str, request: Request, *, now: datetime) -> None:
    """A mail to everybody who has a link to the request that still works: they need not answer any more."""
    links = StepLink.objects.filter(step__request=request, used_at=None, died_at=None)
    for link in links.select_related("staff", "contact"):
        enqueue(
            kind,
            recipient_ref=link.recipient.public_id,
            context={"request": request.public_id},
            dedupe_key=f"{kind}:{request.public_id}:{request.version}:{link.recipient.public_id}",
            objects=refs(request),
            now=now,
        )


def wait_for_requester(request: Request, revision: Revision, now: datetime) -> None:
    """A locked request goes back: its steps are cancelled, its links die, and it can be edited."""
    request.steps.filter(state__in=[Step.State.WAITING, Step.State.OPEN]).update(
        state=Step.State.CANCELLED, ended_at=now
    )
    StepLink.objects.filter(step__request=request, used_at=None, died_at=None).update(died_at=now)
    # A change of a key lets go of the key: while it is edited, another may go first.
    KeyChange.objects.filter(request=request).update(state=KeyChange.State.DRAFT)
    request.state = Request.State.CHANGES_WANTED
    if request.kind == Request.Kind.NEW_KEY:
        request.draft = draft_of(KeyTerms.from_json(revision.terms))
    save_request(request, "state", "draft", now=now)


def newest_revision(request: Request) -> Revision:
    """The revision that counts."""
    return request.revisions.order_by("-number")[0]


# --- what stands ------------------------------------------------------------------------------------------


def carry_over(
    *, actor: Actor, request: Request, revision: Revision, steps: Sequence[Step], now: datetime
) -> None:
    """After resubmission: approvals that nothing moved under stand on the new steps, all others fall.

    `steps` are the new revision's, none of them open yet. Nothing is deleted; who asked for changes is asked
    again.
    """
    old = request.revisions.get(number=revision.number - 1)
    in_force = request.decisions.filter(fallen_at=None).select_related(
        "step__revision", "staff", "contact", "on_behalf_of"
    )
    for decision, fate in fates_of(old, in_force, revision.terms, [place_of_step(step) for step in steps]):
        if fate.stands and fate.place is not None:
            _stand(actor, decision, steps[fate.place], revision, now)
        else:
            _fall(actor, decision, revision, fate, now)
    _tell_of_the_path(actor, request, list(old.steps.order_by("position")), steps, now)


def _ref_of(decision: Decision) -> str:
    person = decision.staff or decision.contact
    assert person is not None  # approvals_decision_one_person
    return person.public_id


def _fall(actor: Actor, decision: Decision, revision: Revision, fate: Fate, now: datetime) -> None:
    decision.fallen_at, decision.fell_with = now, revision
    decision.save(update_fields=["fallen_at", "fell_with"])
    if decision.outcome != Decision.Outcome.APPROVE:
        return  # what was asked for has been answered
    record(
        Action.STEP_FELL,
        actor=actor,
        objects=refs(decision.step.request),
        payload={
            "step": decision.step.role,
            "revision": revision.number,
            "people": [_ref_of(decision)],
            "fields": list(fate.fields),
        },
        now=now,
    )


def _stand(actor: Actor, decision: Decision, step: Step, revision: Revision, now: datetime) -> None:
    Standing.objects.create(decision=decision, step=step, digest=revision.digest, carried_at=now)
    record(
        Action.STEP_STANDS,
        actor=actor,
        objects=refs(step.request),
        payload={
            "step": step.role,
            "revision": revision.number,
            "since": decision.step.revision.number,
            "people": [_ref_of(decision)],
            "digest": bytes(revision.digest),
        },
        now=now,
    )
    if step.standings.count() >= step.n_needed:
        step.state, step.ended_at = Step.State.STANDS, now
        step.save(update_fields=["state", "ended_at"])


def _tell_of_the_path(
    actor: Actor, request: Request, old: Sequence[Step], new: Sequence[Step], now: datetime
) -> None:
    before, after = {step.role for step in old}, {step.role for step in new}
    for action, roles in ((Action.STEP_ADDED, after - before), (Action.STEP_DROPPED, before - after)):
        for role in sorted(roles):
            record(
                action,
                actor=actor,
                objects=refs(request),
                payload={"step": role, "revision": new[0].revision.number},
                now=now,
            )
