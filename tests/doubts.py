"""What goes wrong with answers in tests, by the services that do it in the product (A7, A9)."""

from datetime import datetime

from django.utils import timezone

from accounts.models import User
from approvals.decisions.selectors.receipts import NOT_ME_PURPOSE, withdraw_url
from approvals.disputes.services.doubts import look_into_doubt, raise_doubt
from approvals.disputes.services.withdrawal import (
    check_withdrawal_code,
    send_withdrawal_code,
    withdraw_consent,
)
from approvals.models import Decision, Doubt, Request
from core.actors import Actor, staff_actor
from core.links import code_of, token_of


def not_me(decision: Decision, *, now: datetime | None = None) -> Doubt:
    """Press "this was not me" in the decision's receipt."""
    token = token_of(bytes(decision.receipt.nonce), purpose=NOT_ME_PURPOSE)
    return raise_doubt(actor=Actor(kind="staff", ref="ST-0000"), token=token, now=now or timezone.now())


def look_into(doubt: Doubt, by: User, verdict: str = "stands", *, now: datetime | None = None) -> Doubt:
    """Security's answer, with a fresh second factor."""
    now = now or timezone.now()
    return look_into_doubt(
        actor=staff_actor(by),
        by=by,
        doubt=doubt,
        verdict=verdict,
        reason="Called them.",
        second_factor_at=now,
        now=now,
    )


def proof_of_withdrawal(decision: Decision, *, now: datetime | None = None) -> tuple[str, str]:
    """The token of a consent's receipt, and the proof that a code was read at the registered address."""
    now, actor = now or timezone.now(), Actor(kind="contact", ref="CO-0000")
    token = withdraw_url(decision).rstrip("/").rsplit("/", 1)[-1]
    code = send_withdrawal_code(actor=actor, token=token, now=now)
    digits = code_of(bytes(code.nonce))
    return token, check_withdrawal_code(actor=actor, token=token, given=digits, now=now).proof


def take_back(
    decision: Decision, *, proof: tuple[str, str] | None = None, now: datetime | None = None
) -> None:
    """The rights-holder withdraws a consent."""
    token, shown = proof or proof_of_withdrawal(decision, now=now)
    withdraw_consent(
        actor=Actor(kind="contact", ref="CO-0000"),
        token=token,
        proof=shown,
        signed_name="Star",
        signed_capacity="Star",
        reason="",
        now=now or timezone.now(),
    )


def consent_of(request: Request) -> Decision:
    """The newest consent to a request."""
    return request.decisions.filter(contact__isnull=False).select_related("receipt").latest("id")
