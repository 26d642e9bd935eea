"""A mail to an approver that came back makes its step undeliverable: shown, alarmed, and sent again (A3)."""

from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from approvals.models import Request, Step, StepLink
from approvals.services.path import guardians, send_link
from approvals.wording import FROZEN
from audit.actions import Action
from audit.services import record
from core.actors import SYSTEM, Actor
from core.errors import Conflict
from notifications.models import Message
from notifications.services import enqueue

KINDS = ("step_requested", "consent_requested", "step_reminder", "consent_reminder")


@transaction.atomic
def mark_undeliverable(message: Message, *, now: datetime) -> None:
    """Mark the step of a `step_requested` or `consent_requested` mail that can't be delivered.

    Nothing happens for a link that has been replaced or used since, or a step that is over.
    """
    link = StepLink.objects.select_related("step").filter(uid=message.context["link"]).first()
    if link is None:
        return
    request = Request.objects.select_for_update(of=("self",)).get(pk=link.step.request_id)
    step = Step.objects.select_for_update(of=("self",)).get(pk=link.step_id)
    link.refresh_from_db(fields=["used_at", "died_at"])
    is_over = step.state != Step.State.OPEN or link.used_at or link.died_at
    if is_over or step.undeliverable_at is not None:
        return
    step.undeliverable_at = now
    step.save(update_fields=["undeliverable_at"])
    number = request.public_id
    actor = SYSTEM("notifications.deliver_message")
    record(
        Action.STEP_UNDELIVERABLE,
        actor=actor,
        objects=[f"request:{number}"],
        payload={"step": step.role},
        now=now,
    )
    for person in guardians():
        enqueue(
            "step_stuck",
            recipient_ref=person.public_id,
            context={"step": step.pk},
            dedupe_key=f"step_undeliverable:{link.uid}:{person.public_id}",
            objects=[f"request:{number}"],
            now=now,
        )


@transaction.atomic
def ask_again(*, actor: Actor, request: Request, now: datetime) -> list[StepLink]:
    """Send a fresh link to everybody whose mail about the open step came back, to the address they have now.

    Does not check who asks: the view asks for Permission.EDIT_PARTNERS. Conflict when no mail came back.
    """
    request = Request.objects.select_for_update(of=("self",)).get(pk=request.pk)
    step = request.steps.select_for_update().filter(state=Step.State.OPEN).first()
    if request.frozen_at is not None:
        raise Conflict(FROZEN)
    if step is None or step.undeliverable_at is None:
        raise Conflict(_("No mail of this request waits to be sent again."))
    alive = step.links.filter(used_at=None, died_at=None).select_related("staff", "contact")
    failed = Message.objects.filter(kind__in=KINDS, state=Message.State.FAILED)
    uids = set(
        failed.filter(context__link__in=[str(link.uid) for link in alive]).values_list(
            "context__link", flat=True
        )
    )
    lost = [link for link in alive if str(link.uid) in uids]
    return [send_link(actor=actor, step=step, recipient=link.recipient, now=now) for link in lost]
