"""Deciding: exactly one honest decision a person, whatever is clicked twice or at once (A3, A4, A10).

Locks, in this order: request, step, person (staff) or link (contact). What a page or a caller read before the
locks is read again behind them.
"""

from datetime import datetime

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from accounts import second_factor
from accounts.models import User
from approvals.decisions.services.answers import Answer, check_answer, checks_identity, wants_second_factor
from approvals.decisions.services.outcomes import go_on
from approvals.decisions.services.receipts import give_receipt
from approvals.models import Decision, Delegation, Request, RoleDeputy, StandingDeputy, Step, StepLink
from approvals.path.access import require_may_decide
from approvals.path.services.locking import lock_request
from approvals.path.standing import StandIn
from approvals.wording import FROZEN
from audit.actions import Action
from audit.services import record
from core.actors import Actor
from core.errors import Conflict, Invalid, NotAllowed
from core.ids import refs
from notifications.services import enqueue
from partners.models import Contact
from partners.services import record_identity_check

ACTION_OF = {
    Decision.Outcome.APPROVE.value: Action.STEP_APPROVED,
    Decision.Outcome.REJECT.value: Action.STEP_REJECTED,
    Decision.Outcome.CHANGES.value: Action.STEP_CHANGES_WANTED,
}


# The database's own word against a second decision of one person (A4).
ONE_EACH = {"approvals_decision_one_step_each", "approvals_decision_one_consent_each"}


@transaction.atomic
def decide_as_staff(
    *,
    actor: Actor,
    by: User,
    step: Step,
    answer: Answer,
    second_factor_at: datetime | None,
    link: StepLink | None,
    now: datetime,
) -> Decision:
    """One member of staff's answer on an open step.

    `second_factor_at` is when the person last proved a second factor in this session. `link` is the mail link
    that they came by, if any: it must be their own and still valid. Raises NotAllowed (role, own request, two
    steps), Conflict (decided, changed or ended meanwhile), Invalid (reason or checklist missing),
    SecondFactorNeeded.
    """
    step = _lock(step)
    # Locked: who is deactivated or loses the role at this moment has decided before that, or not at all.
    by = User.objects.select_for_update(no_key=True).get(pk=by.pk)
    if step.decisions.filter(staff=by).exists():
        raise Conflict(_("You decided on this step already."))
    stand_in = require_may_decide(by, step)
    basis = _lock_basis(stand_in, by, step, now)
    if link is not None:
        link = _lock_link(link, step, holder=by, now=now)
    if wants_second_factor(step, stand_in):
        why = _("This step asks for your second factor again.")
        second_factor.require_recent(second_factor_at, now=now, why=why)
    check_answer(step, answer)
    decision = _decide(actor, step, answer, now, staff=by, link=link, basis=basis)
    if checks_identity(step, answer):
        record_identity_check(
            actor=actor,
            checked_by=by,
            partner=step.request.partner,
            checklist=list(answer.checklist),
            note="",
            now=now,
        )
    go_on(actor, step, decision, now)
    return decision


@transaction.atomic
def decide_as_contact(
    *, actor: Actor, contact: Contact, step: Step, answer: Answer, link: StepLink, now: datetime
) -> Decision:
    """A rights-holder's answer, by link, after the code (approvals.decisions.services.consent checks that).

    Raises Conflict (used, expired, decided or changed meanwhile), Invalid (name, capacity or reason missing).
    """
    step = _lock(step)
    if step.contact_id != contact.pk:
        raise NotAllowed(_("This link was sent to somebody else."))
    link = _lock_link(link, step, holder=contact, now=now)
    if not answer.signed_name.strip():
        raise Invalid(_("Type your name."), field="signed_name")
    if not answer.signed_capacity.strip():
        raise Invalid(_("Say in what capacity you decide."), field="signed_capacity")
    check_answer(step, answer)
    decision = _decide(actor, step, answer, now, contact=contact, link=link)
    enqueue(
        "consent_receipt",
        recipient_ref=contact.public_id,
        context={"decision": str(decision.uid)},
        dedupe_key=f"consent_receipt:{decision.uid}",
        objects=refs(step.request),
        now=now,
    )
    go_on(actor, step, decision, now)
    return decision


def _lock(step: Step) -> Step:
    """Request first, then step, as everywhere; what was read before the locks is not believed."""
    request = lock_request(step.request_id)
    step = Step.objects.select_for_update(of=("self",)).select_related("revision", "contact").get(pk=step.pk)
    step.request = request
    if request.state != Request.State.IN_REVIEW or step.state != Step.State.OPEN:
        raise Conflict(_("This step was decided or closed meanwhile. Nothing was changed by your answer."))
    if request.frozen_at is not None:
        raise Conflict(FROZEN)
    return step


def _lock_basis(stand_in: StandIn | None, by: User, step: Step, now: datetime) -> dict[str, object]:
    """What the decision keeps of in whose place it is made. Locked: it ends before that, or after."""
    if stand_in is None:
        return {"basis": Decision.Basis.OWN}
    over = NotAllowed(_("Your time as a deputy for this step is over."))
    if not stand_in.giver:
        if stand_in.behind:
            named = StandingDeputy.objects.select_for_update(of=("self",)).filter(
                giver__public_id=stand_in.behind, deputy=by
            )
            stands = step.escalated_at is not None and named.exists()
        else:
            held = RoleDeputy.objects.select_for_update().filter(role=stand_in.role, staff=by)
            stands = step.deputies_at is not None and held.exists()
        if not stands:
            raise over
        return {"basis": Decision.Basis.ESCALATION}
    delegation = (
        Delegation.objects.select_for_update(of=("self",))
        .filter(giver__public_id=stand_in.giver, deputy=by, role=stand_in.role, ended_at=None)
        .filter(began_at__isnull=False, starts_at__lte=now, ends_at__gt=now)
        .first()
    )
    if delegation is None:
        raise over
    return {
        "basis": Decision.Basis.DELEGATION,
        "on_behalf_of_id": delegation.giver_id,
        "delegation": delegation,
    }


def _lock_link(link: StepLink, step: Step, *, holder: User | Contact, now: datetime) -> StepLink:
    link = StepLink.objects.select_for_update(of=("self",)).get(pk=link.pk)
    owner = link.staff_id if isinstance(holder, User) else link.contact_id
    if owner != holder.pk or link.step_id != step.pk:
        raise NotAllowed(_("This link was sent to somebody else. Open the request from your own list."))
    if link.used_at or link.died_at or link.expires_at <= now:
        raise Conflict(_("This link is no longer valid."))
    return link


def _decide(
    actor: Actor,
    step: Step,
    answer: Answer,
    now: datetime,
    *,
    staff: User | None = None,
    contact: Contact | None = None,
    link: StepLink | None = None,
    basis: dict[str, object] | None = None,
) -> Decision:
    try:
        with transaction.atomic():
            decision = Decision.objects.create(
                request=step.request,
                requester_id_copy=step.request.requester_id,
                step=step,
                staff=staff,
                contact=contact,
                outcome=answer.outcome,
                reason=answer.reason.strip(),
                digest=answer.digest,
                checklist=list(answer.checklist) if checks_identity(step, answer) else [],
                signed_name=answer.signed_name.strip(),
                signed_capacity=answer.signed_capacity.strip(),
                via_link=link,
                decided_at=now,
                **(basis or {}),
            )
    except IntegrityError as error:
        if _constraint_of(error) not in ONE_EACH:
            raise  # not a race, but a fault of ours: nobody is told that they decided twice
        raise Conflict(_("You decided on this request already.")) from error
    if link is not None:
        StepLink.objects.filter(pk=link.pk).update(used_at=now)
    # Where the step goes on (n of m), the person's other links to it have nothing left to ask.
    step.links.filter(staff=staff, contact=contact, used_at=None, died_at=None).update(died_at=now)
    event = record(
        ACTION_OF[answer.outcome],
        actor=actor,
        objects=refs(step.request),
        payload=_payload_of(decision, step),
        now=now,
    )
    give_receipt(decision, event=event, now=now)
    return decision


def _payload_of(decision: Decision, step: Step) -> dict[str, object]:
    payload: dict[str, object] = {
        "step": step.role,
        "revision": step.revision.number,
        "digest": bytes(decision.digest),
        "via": "portal" if decision.via_link is None else "link",
    }
    if decision.basis != Decision.Basis.OWN:
        payload["basis"] = decision.basis
    if decision.on_behalf_of is not None and decision.delegation is not None:
        payload["on_behalf_of"] = decision.on_behalf_of.public_id
        payload["delegation"] = decision.delegation.public_id
    if decision.contact is not None:
        payload["capacity"] = decision.signed_capacity
    if decision.checklist:
        payload["checklist"] = decision.checklist
        if not step.request.partner.corporate_number:
            payload["note"] = "no corporate number was registered"
    if decision.reason:
        payload["reason"] = decision.reason
    return payload


def _constraint_of(error: IntegrityError) -> str | None:
    diagnostics = getattr(error.__cause__, "diag", None)
    return getattr(diagnostics, "constraint_name", None)
