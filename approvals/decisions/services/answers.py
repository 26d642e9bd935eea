"""What somebody answers on a step, and what an answer must have to be taken (A1, A3, A4)."""

from dataclasses import dataclass

from django.utils.translation import gettext_lazy as _

from accounts.roles import SECOND_FACTOR_ROLES, Role
from approvals.models import Decision, Step, StepRole
from approvals.path.standing import StandIn
from audit.actions import Action
from audit.models import Event
from core.errors import Conflict, Invalid
from core.ids import refs
from keys.terms.terms import KeyTerms
from partners.models import IdentityCheck


@dataclass(frozen=True, slots=True)
class Answer:
    """What somebody answered. `digest` is what their screen showed: an answer to anything else is refused."""

    outcome: str
    digest: bytes
    reason: str = ""
    checklist: tuple[str, ...] = ()
    signed_name: str = ""
    signed_capacity: str = ""


# The answers that need a reason, and what is said without one.
NEEDS_REASON = {
    Decision.Outcome.REJECT.value: _("A rejection needs a reason: the requester will read it."),
    Decision.Outcome.CHANGES.value: _("Say what is to be changed: the requester will read it."),
}


def wants_second_factor(step: Step, stand_in: StandIn | None) -> bool:
    """Whether an answer asks for the second factor again: the step says so, or the role that is stood in for.

    Who has such a role proved a second factor at sign-in; a deputy need not have (A5).
    """
    stands_high = stand_in is not None and Role(stand_in.role) in SECOND_FACTOR_ROLES
    return step.needs_second_factor or stands_high


def check_answer(step: Step, answer: Answer) -> None:
    """Refuse an answer to other terms, or one that lacks its reason, or an approval its checks (A1, A3)."""
    if answer.outcome not in Decision.Outcome.values:
        raise Invalid(_("Choose an answer."), field="outcome")
    if answer.digest != bytes(step.revision.digest):
        raise Conflict(_("The request was changed after you opened it. Look at it again before you decide."))
    if answer.outcome == Decision.Outcome.APPROVE:
        require_own_addresses(step)
    elif not answer.reason.strip():
        raise Invalid(NEEDS_REASON[answer.outcome], field="reason")
    if checks_identity(step, answer):
        points = set(IdentityCheck.points_for(step.request.partner.kind))
        if not points <= set(answer.checklist):
            raise Invalid(
                _("Every point of the identity check must be confirmed before approval."), field="checklist"
            )


def require_own_addresses(step: Step) -> None:
    """Nobody sends the consent, or the key, that they asked for to an address of their own choice (A4).

    The addresses that stood when the request was submitted are those that its approvers saw. Somebody else
    may mend one; if the requester does, the request has to be made again.
    """
    terms = KeyTerms.from_json(step.revision.terms)
    changed = Event.objects.filter(
        action=Action.CONTACT_CHANGED,
        actor_ref=step.request.requester.public_id,
        occurred_at__gt=step.revision.created_at,
        objects_touched__overlap=refs(terms.recipient, terms.consent_contact),
        payload__fields__contains=["email"],
    )
    if changed.exists():
        raise Conflict(
            _(
                "The requester changed a contact's address after submitting this, so it can't be approved. "
                "Withdraw it and submit it again, so that everybody sees the new address."
            )
        )


def checks_identity(step: Step, answer: Answer) -> bool:
    """Security's identity check is a part of approving tech's step, not of rejecting it (A1)."""
    return step.role == StepRole.TECH and answer.outcome == Decision.Outcome.APPROVE
