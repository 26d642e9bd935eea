"""What a decision sets off: more people are waited for, the next step opens, or the request ends (A1, R3).

Everything here runs in the decision's own transaction, with request and step locked.
"""

from datetime import datetime

from django.utils.translation import gettext_lazy as _

from accounts.models import User
from approvals.changes.services.applying import finish_change
from approvals.decisions.services.answers import require_own_addresses
from approvals.models import Decision, Request, Step
from approvals.path.services.emergency_end import complete_emergency
from approvals.path.services.locking import save_request
from approvals.path.services.lost_links import settle_undeliverable
from approvals.path.services.path import add_owed_steps, close_request, open_next_step
from approvals.requests.services.revising import send_back
from audit.actions import Action
from audit.services import record
from core.actors import Actor
from core.errors import Conflict
from core.ids import refs
from keys.life.services.issuing import issue_key
from keys.terms.terms import KeyTerms
from notifications.services import enqueue


def go_on(actor: Actor, step: Step, decision: Decision, now: datetime) -> None:
    """After a decision: wait for more people, go to the next step, reject, or issue the key."""
    request = step.request
    if decision.outcome == Decision.Outcome.REJECT:
        _end_step(step, Step.State.REJECTED, now)
        _reject(actor, request, decision, now)
        return
    if decision.outcome == Decision.Outcome.CHANGES:
        _end_step(step, Step.State.CHANGES_WANTED, now)
        send_back(actor=actor, decision=decision, now=now)
        return
    save_request(request, now=now)
    if step.decisions.count() + step.standings.count() < step.n_needed:
        settle_undeliverable(step)  # perhaps it was theirs that was lost
        return
    _end_step(step, Step.State.APPROVED, now)
    add_owed_steps(actor=actor, step=step, now=now)
    if open_next_step(actor=actor, request=request, now=now) is None:
        if request.kind == Request.Kind.CHANGE:
            _change(actor, step, now)
        else:
            _issue(actor, step, now)


def _end_step(step: Step, state: Step.State, now: datetime) -> None:
    step.state = state
    step.ended_at = now
    step.save(update_fields=["state", "ended_at"])
    step.links.filter(used_at=None, died_at=None).update(died_at=now)


def _reject(actor: Actor, request: Request, decision: Decision, now: datetime) -> None:
    record(
        Action.REQUEST_REJECTED,
        actor=actor,
        objects=refs(request, request.partner),
        payload={"reason": decision.reason},
        now=now,
    )
    close_request(request, Request.State.REJECTED, now=now)
    _tell_requester("request_rejected", request, decision, now)


def _issue(actor: Actor, step: Step, now: datetime) -> None:
    request = step.request
    decisions = _approvals_of(step)
    _require_owner(request)
    if request.emergency_at is not None:
        key = complete_emergency(actor=actor, request=request, step=step, now=now)
    else:
        key = issue_key(
            actor=actor,
            terms=KeyTerms.from_json(step.revision.terms),
            owner=request.requester,
            request_ref=request.public_id,
            decisions=[str(decision.uid) for decision in decisions],
            now=now,
        )
    require_own_addresses(step)  # once more: the contacts are locked now
    request.key = key
    record(
        Action.REQUEST_APPROVED,
        actor=actor,
        objects=refs(request, request.partner, key),
        payload={"revision": step.revision.number, "key": key.public_id},
        now=now,
    )
    close_request(request, Request.State.APPROVED, now=now)
    _tell_requester("request_approved", request, decisions[-1], now)


def _require_owner(request: Request) -> None:
    """Conflict when whoever asked for the key has left meanwhile: it would begin without an owner."""
    if (
        request.emergency_at is None
        and not User.objects.filter(pk=request.requester_id, is_active=True).exists()
    ):
        raise Conflict(
            _(
                "Whoever asked for this key has left meanwhile, so nobody would be responsible for it. "
                "Reject it with that reason; somebody else can copy it and submit it as their own."
            )
        )


def _change(actor: Actor, step: Step, now: datetime) -> None:
    """The last approval of a change: it is applied now, or waits for its time (R3)."""
    request = step.request
    decisions = _approvals_of(step)
    record(
        Action.REQUEST_APPROVED,
        actor=actor,
        objects=refs(request, request.partner),
        payload={"revision": step.revision.number, "key": request.change.key.public_id},
        now=now,
    )
    uids = [str(decision.uid) for decision in decisions]
    finish_change(actor=actor, step=step, decisions=uids, now=now)
    require_own_addresses(step)  # once more: the contacts are locked now
    close_request(request, Request.State.APPROVED, now=now)


def _approvals_of(last: Step) -> list[Decision]:
    """All approvals that make a key, given on its terms or standing for them, in the order they were given.

    A step without them all is a fault of ours, and then no key is issued.
    """
    found: list[Decision] = []
    digest = bytes(last.revision.digest)
    for step in last.revision.steps.all():
        given = list(step.decisions.filter(outcome=Decision.Outcome.APPROVE, digest=digest))
        stand = Decision.objects.filter(standings__step=step, standings__digest=digest)
        approvals = [decision for decision in [*given, *stand] if decision.fallen_at is None]
        if len(approvals) < step.n_needed:
            raise RuntimeError(f"Step {step.pk} lacks approvals of what is to be issued.")
        found += approvals
    return sorted(found, key=lambda decision: decision.pk)


def _tell_requester(kind: str, request: Request, decision: Decision, now: datetime) -> None:
    enqueue(
        kind,
        recipient_ref=request.requester.public_id,
        context={"request": request.public_id, "decision": str(decision.uid)},
        dedupe_key=f"{kind}:{request.public_id}",
        objects=refs(request),
        now=now,
    )
