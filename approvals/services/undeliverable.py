"""A mail to an approver that came back makes its step undeliverable: shown and alarmed, never silent (A3)."""

from datetime import datetime

from django.db import transaction

from approvals.models import Step, StepLink
from approvals.services.path import guardians
from audit.actions import Action
from audit.services import record
from core.actors import SYSTEM
from notifications.models import Message
from notifications.services import enqueue


@transaction.atomic
def mark_undeliverable(message: Message, *, now: datetime) -> None:
    """Mark the step of a `step_requested` or `consent_requested` mail that can't be delivered."""
    link = StepLink.objects.select_related("step__request").filter(uid=message.context["link"]).first()
    if link is None:
        return
    step = Step.objects.select_for_update(of=("self",)).select_related("request").get(pk=link.step_id)
    if step.state != Step.State.OPEN or step.undeliverable_at is not None:
        return
    step.undeliverable_at = now
    step.save(update_fields=["undeliverable_at"])
    number = step.request.public_id
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
            dedupe_key=f"step_undeliverable:{step.pk}:{person.public_id}",
            objects=[f"request:{number}"],
            now=now,
        )
