"""Receipts of decisions, each with a link that says "this was not me" (A7)."""

from datetime import datetime

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from approvals.decisions.selectors.receipts import NOT_ME_PURPOSE
from approvals.models import Decision, DecisionReceipt
from audit.models import Event
from core.errors import NotFound
from core.ids import refs
from core.links import hash_of, hashes_of_token, new_nonce
from notifications.services import enqueue


def give_receipt(decision: Decision, *, event: Event, now: datetime) -> DecisionReceipt:
    """Make a decision's receipt, and send it to the member of staff who decided, or seems to have.

    A contact's receipt is a mail of its own (`consent_receipt`). Runs in the transaction of the decision.
    """
    nonce = new_nonce()
    receipt = DecisionReceipt.objects.create(
        decision=decision,
        event=event.uid,
        nonce=nonce,
        token_hash=hash_of(nonce, purpose=NOT_ME_PURPOSE),
        created_at=now,
        expires_at=now + settings.NOT_ME_LIFETIME,
    )
    if decision.staff is not None:
        enqueue(
            "decision_receipt",
            recipient_ref=decision.staff.public_id,
            context={"decision": str(decision.uid)},
            dedupe_key=f"decision_receipt:{decision.uid}",
            objects=refs(decision.request),
            now=now,
        )
    return receipt


def find_receipt(token: str) -> DecisionReceipt:
    """The receipt whose link this is, whatever its age. NotFound for a foreign token."""
    receipt = (
        DecisionReceipt.objects.select_related(
            "decision__request__partner", "decision__step", "decision__staff", "decision__contact"
        )
        .filter(token_hash__in=hashes_of_token(token))
        .first()
    )
    if receipt is None:
        raise NotFound(_("This link is not known here."))
    return receipt
