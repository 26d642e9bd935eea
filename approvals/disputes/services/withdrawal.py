"""A rights-holder withdraws a consent: code, signature, and every key that stands on it stops (A9)."""

from datetime import datetime

from django.core import signing
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from approvals.changes.services.applying import drop_scheduled
from approvals.decisions.selectors.receipts import WITHDRAW_SALT
from approvals.decisions.services.consent import CodeCheck, check_digits, proof_holds, send_digits
from approvals.models import ConsentCode, ConsentWithdrawal, Decision, Request, StepLink
from approvals.path.selectors.holds import keys_behind
from approvals.path.services.locking import lock_request
from approvals.path.services.path import close_request, guardians
from audit.actions import Action
from audit.services import record
from core.actors import Actor
from core.errors import Conflict, Invalid, NotAllowed, NotFound
from core.ids import refs
from keys.models import Key
from keys.status.services import hold_key
from notifications.services import enqueue
from partners.models import Contact

# A proof that was given for a consent is none for its withdrawal, and the other way round.
SALT = "approvals.withdrawal"
PROVE_FIRST = _("Ask for a code first; it proves that the registered address is yours.")


def find_consent(token: str) -> Decision:
    """The consent that a receipt's link can withdraw. NotFound for any other token or answer."""
    try:
        uid = signing.loads(token, salt=WITHDRAW_SALT)
    except signing.BadSignature:
        raise NotFound(_("This link is not known here.")) from None
    decision = (
        Decision.objects.select_related(
            "request__partner", "request__requester", "step__request", "contact", "withdrawal", "via_link"
        )
        .filter(uid=uid, contact__isnull=False, via_link__isnull=False, outcome=Decision.Outcome.APPROVE)
        .first()
    )
    if decision is None:
        raise NotFound(_("This link is not known here."))
    return decision


@transaction.atomic
def send_withdrawal_code(*, actor: Actor, token: str, now: datetime) -> ConsentCode:
    """Send eight digits to the contact's registered address, as for the consent. Raises Conflict."""
    _decision, link, contact = _lock_link(token)
    return send_digits(actor=actor, link=link, contact=contact, kind="withdrawal_code", now=now)


@transaction.atomic
def check_withdrawal_code(*, actor: Actor, token: str, given: str, now: datetime) -> CodeCheck:
    """Compare typed digits; see `approvals.decisions.services.consent.check_code`."""
    _decision, link, _contact = _lock_link(token)
    return check_digits(actor=actor, link=link, given=given, salt=SALT, now=now)


def may_sign(token: str, proof: str, *, now: datetime) -> bool:
    """Whether a form's proof says that its sender read a code at the registered address lately."""
    link = find_consent(token).via_link
    return link is not None and proof_holds(proof, link, now=now, salt=SALT)


@transaction.atomic
def withdraw_consent(
    *,
    actor: Actor,
    token: str,
    proof: str,
    signed_name: str,
    signed_capacity: str,
    reason: str,
    now: datetime,
) -> ConsentWithdrawal:
    """Take the consent back: keys stop on their next check, a request in review is rejected, security called.

    Raises NotAllowed without a valid proof, Invalid (name or capacity missing), Conflict (withdrawn already,
    contact not active any more).
    """
    found = find_consent(token)
    request = lock_request(found.request_id)
    decision, link, contact = _lock_link(token)
    if not proof_holds(proof, link, now=now, salt=SALT):
        raise NotAllowed(PROVE_FIRST)
    if not signed_name.strip():
        raise Invalid(_("Type your name."), field="signed_name")
    if not signed_capacity.strip():
        raise Invalid(_("Say in what capacity you decide."), field="signed_capacity")
    withdrawal = ConsentWithdrawal.objects.create(
        decision=decision,
        signed_name=signed_name.strip(),
        signed_capacity=signed_capacity.strip(),
        reason=reason.strip(),
        withdrawn_at=now,
    )
    keys = keys_behind(request)
    _record(actor, request, withdrawal, keys, now)
    _stop(actor, request, withdrawal, keys, now)
    _tell(request, withdrawal, contact, keys, now)
    return withdrawal


def _lock_link(token: str) -> tuple[Decision, StepLink, Contact]:
    """The consent as it stands behind the lock of its link; Conflict when there is nothing to withdraw."""
    held = find_consent(token).via_link
    assert held is not None  # find_consent
    StepLink.objects.select_for_update(of=("self",)).get(pk=held.pk)
    decision = find_consent(token)
    link, contact = decision.via_link, decision.contact
    assert link is not None
    assert contact is not None
    if hasattr(decision, "withdrawal"):
        raise Conflict(_("This consent was withdrawn already."))
    if not contact.is_active:
        raise Conflict(_("The registered address is not in use any more. Speak to your contact person."))
    return decision, link, contact


def _record(
    actor: Actor, request: Request, withdrawal: ConsentWithdrawal, keys: list[Key], now: datetime
) -> None:
    payload: dict[str, object] = {
        "digest": bytes(withdrawal.decision.digest),
        "capacity": withdrawal.signed_capacity,
    }
    if withdrawal.reason:
        payload["reason"] = withdrawal.reason
    record(
        Action.CONSENT_WITHDRAWN,
        actor=actor,
        objects=refs(request, request.partner, *keys),
        payload=payload,
        now=now,
    )


def _stop(
    actor: Actor, request: Request, withdrawal: ConsentWithdrawal, keys: list[Key], now: datetime
) -> None:
    for key in keys:
        hold_key(actor=actor, key=key, hold=Key.Hold.CONSENT, now=now)
    drop_scheduled(actor=actor, request=request, reason=withdrawal.reason or "consent withdrawn", now=now)
    if request.ended_at is None:
        record(
            Action.REQUEST_REJECTED,
            actor=actor,
            objects=refs(request, request.partner),
            payload={"note": "consent withdrawn", "reason": withdrawal.reason},
            now=now,
        )
        close_request(request, Request.State.REJECTED, now=now)


def _tell(
    request: Request, withdrawal: ConsentWithdrawal, contact: Contact, keys: list[Key], now: datetime
) -> None:
    staff: set[User] = {*guardians(), request.requester, *(key.owner for key in keys)}
    people = sorted(person.public_id for person in staff if person.is_active)
    for kind, ref in [("withdrawal_receipt", contact.public_id), *(("consent_withdrawn", p) for p in people)]:
        enqueue(
            kind,
            recipient_ref=ref,
            context={"withdrawal": str(withdrawal.uid)},
            dedupe_key=f"{kind}:{withdrawal.uid}:{ref}",
            objects=refs(request),
            now=now,
        )
