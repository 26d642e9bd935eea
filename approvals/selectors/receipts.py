"""Where a decision's receipt can be checked."""

from django.conf import settings
from django.core import signing
from django.urls import reverse

from approvals.models import Decision

RECEIPT_SALT = "approvals.receipt"


def receipt_url(decision: Decision) -> str:
    """The absolute address at which a decision's receipt can be checked by whoever holds it (A3)."""
    token = signing.dumps(str(decision.uid), salt=RECEIPT_SALT)
    return str(settings.PORTAL_URL) + reverse("approvals:receipt", args=[token])
