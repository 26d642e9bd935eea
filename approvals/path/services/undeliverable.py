"""A mail to an approver that came back makes its step undeliverable: shown, alarmed, and sent again (A3)."""

from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from approvals.models import Request, Step, StepLink
from approvals.path.services.locking import lock_request
from approvals.path.services.lost_links import lost_links, settle_undeliverable
from approvals.path.services.path import alarm_undeliverable, send_link
from approvals.wording import FROZEN
from core.actors import SYSTEM, Actor
from core.errors import Conflict
from notifications.models import Message


@transaction.atomic
def mark_undeliverable(message: Message, *, now: datetime) -> None:
    """Mark the step of a `step_requested` or `consent_requested` mail that can't be delivered.

    Nothing happens for a link that has been replaced or used since, a step that is over, or somebody who may
    not decide any more.
    """
    link = StepLink.objects.select_related("step").filter(uid=message.context["link"]).first()
    if link is None:
        return
    request = lock_request(link.step.request_id)
    step = Step.objects.select_for_update(of=("self",)).get(pk=link.step_id)
    step.request = request
    link.refresh_from_db(fields=["used_at", "died_at"])
    is_over = step.state != Step.State.OPEN or link.used_at or link.died_at
    if is_over or step.undeliverable_at is not None or link not in lost_links(step):
        return
    alarm_undeliverable(actor=SYSTEM("notifications.deliver_message"), step=step, now=now)


@transaction.atomic
def ask_again(*, actor: Actor, request: Request, now: datetime) -> list[StepLink]:
    """Send a fresh link to everybody whose mail about the open step came back, to the address they have now.

    Not to those who may not decide any more. Does not check who asks: the view asks for
    Permission.EDIT_PARTNERS. Conflict when no mail came back.
    """
    request = lock_request(request.pk)
    step = request.steps.select_for_update().filter(state=Step.State.OPEN).first()
    if request.frozen_at is not None:
        raise Conflict(FROZEN)
    if step is None or step.undeliverable_at is None:
        raise Conflict(_("No mail of this request waits to be sent again."))
    step.request = request
    lost = lost_links(step)
    sent = [send_link(actor=actor, step=step, recipient=link.recipient, now=now) for link in lost]
    settle_undeliverable(step)  # also where nobody is left to write to
    return sent
