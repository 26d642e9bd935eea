"""This was not me: whoever got a receipt for an answer that is not theirs freezes the request (A7).

Frozen: nobody decides, submits, withdraws or issues, links answer as closed, and a key that the request has
made is held. Security looks into it; until then nothing thaws by itself.
"""

from datetime import datetime

from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Greatest
from django.utils.translation import gettext_lazy as _

from accounts import second_factor
from accounts.models import User
from accounts.roles import MATRIX, Permission, Role
from accounts.services import secure_account
from approvals.changes.services.after import undo_change
from approvals.changes.services.applying import drop_scheduled
from approvals.decisions.services.receipts import find_receipt
from approvals.models import Decision, Doubt, KeyChange, Request, Step
from approvals.path.selectors.holds import keys_behind
from approvals.path.services.holds import settle_holds
from approvals.path.services.locking import lock_request, save_request
from approvals.path.services.path import close_request
from approvals.requests.services.revising import newest_revision, tell_those_asked, wait_for_requester
from audit.actions import Action
from audit.services import record
from core.actors import Actor
from core.business_time import add_business_hours, business_hours_between
from core.errors import Conflict, Invalid, NotAllowed
from core.ids import refs
from keys.models import Key
from keys.status.services import end_key, hold_key
from notifications.services import enqueue

# Whoever may look into a doubt, and the administrators, who close accounts.
CALLED = [role for role in Role if Permission.CLEAR_DOUBTS in MATRIX[role] or role == Role.ADMIN]


@transaction.atomic
def raise_doubt(*, actor: Actor, token: str, now: datetime) -> Doubt:
    """Freeze the request, hold its key, call security, and end the person's sessions.

    Whoever holds the link may, signed in or not: the account may be in another's hands. Pressing twice is
    pressing once. Raises NotFound, Conflict when the link has run out.
    """
    decision = find_receipt(token).decision
    request = lock_request(decision.request_id)
    raised = Doubt.objects.filter(decision=decision).first()
    if raised is not None:
        return raised
    if decision.receipt.expires_at <= now:
        raise Conflict(_("This link has expired."))
    doubt = Doubt.objects.create(request=request, decision=decision, accused=decision.staff, raised_at=now)
    _freeze(actor, request, decision, now)
    # The person's row before the key's, in the order of whoever decides: no deadlock with their own answer
    # on another request about the same key.
    if decision.staff is not None:
        secure_account(actor=actor, user=decision.staff, now=now)
    for key in keys_behind(request):
        hold_key(actor=actor, key=key, hold=Key.Hold.DOUBT, now=now)
    for person in User.objects.with_role(*CALLED).exclude(pk=decision.staff_id or 0):
        _tell("decision_disputed", person, doubt, now)
    return doubt


def _freeze(actor: Actor, request: Request, decision: Decision, now: datetime) -> None:
    request.frozen_at = request.frozen_at or now
    save_request(request, "frozen_at", now=now)
    person = decision.staff or decision.contact
    assert person is not None  # approvals_decision_one_person
    record(
        Action.REQUEST_FROZEN,
        actor=actor,
        objects=refs(request),
        payload={"step": decision.step.role, "recipient": person.public_id, "via": "receipt"},
        now=now,
    )


def why_not_look(user: User, doubt: Doubt) -> str:
    """Why this person may not look into the doubt: `""`, `not_allowed`, `own_decision`, `own_request`."""
    if not user.may(Permission.CLEAR_DOUBTS):
        return "not_allowed"
    if doubt.accused_id == user.pk:
        return "own_decision"
    return "own_request" if doubt.request.requester_id == user.pk else ""


WHY_NOT_LOOK = {
    "not_allowed": _("Your roles do not allow this."),
    "own_decision": _("The decision in doubt is recorded as yours: somebody else looks into it."),
    "own_request": _("The request is your own: somebody else looks into it."),
}


@transaction.atomic
def look_into_doubt(
    *,
    actor: Actor,
    by: User,
    doubt: Doubt,
    verdict: str,
    reason: str,
    second_factor_at: datetime | None,
    now: datetime,
) -> Doubt:
    """What security found out. The request thaws once no doubt is left; a held key stays suspended.

    `stands`: everything goes on from where it froze. `again`: the request goes back to its requester; once it
    is submitted again the step is asked anew, the others stand. `rejected`: a request in review is rejected,
    a key that it has made is revoked, a change of a key is undone; what ended otherwise stays as it ended.
    Raises NotAllowed (role, own decision, own request), SecondFactorNeeded, Invalid, Conflict (somebody was
    faster).
    """
    request = lock_request(doubt.request_id)
    doubt = Doubt.objects.select_for_update(of=("self",)).select_related("decision__step").get(pk=doubt.pk)
    doubt.request = request
    by = User.objects.select_for_update(no_key=True).get(pk=by.pk)
    if why := why_not_look(by, doubt):
        raise NotAllowed(WHY_NOT_LOOK[why])
    second_factor.require_recent(second_factor_at, now=now)
    if doubt.verdict:
        raise Conflict(_("Somebody has looked into this already."))
    if verdict not in Doubt.Verdict.values:
        raise Invalid(_("Choose what you found."), field="verdict")
    if verdict == Doubt.Verdict.AGAIN and request.ended_at is not None:
        raise Invalid(_("The request has ended: nothing can be asked again."), field="verdict")
    if not reason.strip():
        raise Invalid(_("Say what you found out, and how."), field="reason")
    doubt.verdict, doubt.reason, doubt.looked_by, doubt.looked_at = verdict, reason.strip(), by, now
    doubt.save(update_fields=["verdict", "reason", "looked_by", "looked_at"])
    _thaw(actor, request, doubt, now)
    if verdict == Doubt.Verdict.AGAIN:
        _ask_again(actor, request, doubt, now)
    if verdict == Doubt.Verdict.REJECTED:
        _undo(actor, request, doubt, now)
    _settle(actor, request, now)
    for person in {request.requester, doubt.accused} - {None}:
        _tell("doubt_cleared", person, doubt, now)
    return doubt


def _thaw(actor: Actor, request: Request, doubt: Doubt, now: datetime) -> None:
    is_last = not request.doubts.filter(verdict="").exists()
    goes_on = is_last and doubt.verdict == Doubt.Verdict.STANDS
    due_at = _give_time_back(request, now) if goes_on else None
    if is_last:
        request.frozen_at = None
    save_request(request, "frozen_at", now=now)
    record(
        Action.REQUEST_DOUBT_CLEARED,
        actor=actor,
        objects=refs(request),
        payload={"step": doubt.decision.step.role, "status": doubt.verdict, "reason": doubt.reason}
        | ({"due_at": due_at} if due_at else {}),
        now=now,
    )


def _settle(actor: Actor, request: Request, now: datetime) -> None:
    """Its key is not held any more, unless something void still works, or another request is in doubt."""
    change = KeyChange.objects.select_related("key").filter(request=request).first()
    key = change.key if change else request.key
    if key is not None:
        settle_holds(actor=actor, key=key, now=now)


def _give_time_back(request: Request, now: datetime) -> datetime | None:
    """The open step is due as many business hours from now as it had left when the request was frozen.

    Returns the new deadline; None where none moves: nothing is open, it was late already, or the key of an
    emergency waits, whose day goes on (A8).
    """
    step = (
        request.steps.select_for_update().filter(state=Step.State.OPEN, due_at__gt=request.frozen_at).first()
    )
    if step is None or step.due_at is None or request.frozen_at is None or request.emergency_at is not None:
        return None
    left = business_hours_between(request.frozen_at, step.due_at)
    step.due_at = add_business_hours(now, left)
    step.save(update_fields=["due_at"])
    step.links.filter(used_at=None, died_at=None).update(
        expires_at=Greatest("expires_at", Value(step.due_at))
    )
    return step.due_at


def _ask_again(actor: Actor, request: Request, doubt: Doubt, now: datetime) -> None:
    """Back to the requester: with the next revision the void answer falls, and its step is asked anew."""
    if request.state != Request.State.IN_REVIEW:
        return  # it is with its requester already
    revision = newest_revision(request)
    record(
        Action.REQUEST_SENT_BACK,
        actor=actor,
        objects=refs(request, request.partner),
        payload={"step": doubt.decision.step.role, "revision": revision.number, "reason": doubt.reason},
        now=now,
    )
    tell_those_asked("request_sent_back", request, now=now)
    wait_for_requester(request, revision, now)


def _undo(actor: Actor, request: Request, doubt: Doubt, now: datetime) -> None:
    """End what the void decision led to."""
    if request.ended_at is None:
        record(
            Action.REQUEST_REJECTED,
            actor=actor,
            objects=refs(request, request.partner),
            payload={"reason": doubt.reason},
            now=now,
        )
        close_request(request, Request.State.REJECTED, now=now)
        return
    drop_scheduled(actor=actor, request=request, reason=doubt.reason, by=doubt.looked_by, now=now)
    undo_change(actor=actor, request=request, reason=doubt.reason, by=doubt.looked_by, now=now)
    if request.key is not None:
        key = Key.objects.select_for_update(of=("self",)).select_related("recipient", "owner")
        found = key.get(pk=request.key.pk)
        if not found.has_ended:
            end_key(actor=actor, key=found, reason=Key.RevokeReason.NOT_APPROVED, note=doubt.reason, now=now)


def _tell(kind: str, person: User | None, doubt: Doubt, now: datetime) -> None:
    assert person is not None
    enqueue(
        kind,
        recipient_ref=person.public_id,
        context={"doubt": doubt.pk},
        dedupe_key=f"{kind}:{doubt.pk}:{person.public_id}",
        objects=refs(doubt.request),
        now=now,
    )
