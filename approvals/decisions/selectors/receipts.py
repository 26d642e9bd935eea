"""Where a decision's receipt can be checked, and what its holder can do with it."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.core import signing
from django.urls import reverse

from approvals.models import Decision, DecisionReceipt
from core.links import token_of
from core.wording import when_text

RECEIPT_SALT = "approvals.receipt"
WITHDRAW_SALT = "approvals.withdraw"
NOT_ME_PURPOSE = "not-me"


def receipt_url(decision: Decision) -> str:
    """The absolute address at which a decision's receipt can be checked by whoever holds it (A3)."""
    token = signing.dumps(str(decision.uid), salt=RECEIPT_SALT)
    return str(settings.PORTAL_URL) + reverse("approvals:receipt", args=[token])


def withdraw_url(decision: Decision) -> str:
    """Where a consent can be taken back; `""` for what is none, or was taken back already (A9).

    It has no end: a consent can be withdrawn as long as it counts. The code to the registered address is the
    proof, not the link.
    """
    if decision.contact_id is None or decision.outcome != Decision.Outcome.APPROVE:
        return ""
    if hasattr(decision, "withdrawal"):
        return ""
    token = signing.dumps(str(decision.uid), salt=WITHDRAW_SALT)
    return str(settings.PORTAL_URL) + reverse("approvals:withdraw-start", args=[token])


def not_me_link(decision: Decision, *, now: datetime) -> dict[str, Any]:
    """For a receipt's mail: the link "this was not me" and its end; empty once it has run out (A7)."""
    receipt = DecisionReceipt.objects.filter(decision=decision, expires_at__gt=now).first()
    if receipt is None:
        return {}
    token = token_of(bytes(receipt.nonce), purpose=NOT_ME_PURPOSE)
    return {
        "not_me_url": str(settings.PORTAL_URL) + reverse("approvals:not-me", args=[token]),
        "not_me_ends": when_text(receipt.expires_at),
    }
