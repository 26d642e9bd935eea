"""Whose mail about an open step came back: a step stays *undeliverable* as long as there is somebody (A3)."""

from collections.abc import Iterable

from approvals.models import Step, StepLink
from approvals.path.access import why_may_not_decide
from notifications.models import Message

KINDS = ("step_requested", "consent_requested", "step_reminder", "consent_reminder")


def lost_links(step: Step) -> list[StepLink]:
    """The links of those who may still decide and whose mail came back. Nobody waits for the others' answers.

    A link that was replaced is tried again already; one that was used needed no mail.
    """
    links = step.links.filter(used_at=None, died_at=None).select_related("staff", "contact").order_by("id")
    return [
        link for link in came_back(links) if link.staff is None or not why_may_not_decide(link.staff, step)
    ]


def came_back(links: Iterable[StepLink]) -> list[StepLink]:
    """Those of the links that still work and whose mail failed for good, in one query."""
    alive = [link for link in links if link.used_at is None and link.died_at is None]
    failed = Message.objects.filter(
        kind__in=KINDS, state=Message.State.FAILED, context__link__in=[str(link.uid) for link in alive]
    )
    uids = set(failed.values_list("context__link", flat=True))
    return [link for link in alive if str(link.uid) in uids]


def settle_undeliverable(step: Step) -> bool:
    """Take the mark from a locked step when nobody's mail is lost any more; returns whether it did.

    A mail to one of several people says nothing about the others': their loss must not go silent.
    """
    if step.undeliverable_at is None or lost_links(step):
        return False
    step.undeliverable_at = None
    step.save(update_fields=["undeliverable_at"])
    return True
