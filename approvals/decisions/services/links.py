"""Mail links to steps: finding, noting that one was fetched, renewing, expiring (A3)."""

from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from approvals.models import LinkOpening, Request, Step, StepLink
from approvals.path.access import why_may_not_decide
from approvals.path.services.locking import lock_request
from approvals.path.services.path import send_link
from audit.actions import Action
from audit.models import Event
from audit.services import record
from core.actors import SYSTEM, Actor
from core.errors import NotFound
from core.ids import refs
from core.links import hashes_of_token

MAX_RENEWALS = 5
# Openings prove nothing, and whoever holds a link could fetch it for ever: the first ones are enough.
MAX_OPENINGS = 100


def find_link(token: str) -> StepLink:
    """The link that a token from a URL stands for, whatever its state. NotFound for a foreign token."""
    link = (
        StepLink.objects.select_related(
            "step__request__requester", "step__request__partner", "step__revision", "staff", "contact"
        )
        .filter(token_hash__in=hashes_of_token(token))
        .first()
    )
    if link is None:
        raise NotFound(_("This link is not known here."))
    return link


def state_of(link: StepLink, *, now: datetime) -> str:
    """What a link is good for; it works only when `open`.

    `used`: its holder decided by it. `closed`: the step or the request is over. `expired`: its time is up.
    `replaced`: its holder got a newer one, or has decided in the portal.
    """
    if link.used_at is not None:
        return "used"
    if link.step.state != Step.State.OPEN or link.step.request.state != Request.State.IN_REVIEW:
        return "closed"
    if link.step.request.frozen_at is not None:
        return "closed"
    if link.expires_at <= now:
        return "expired"
    return "replaced" if link.died_at is not None else "open"


def note_opening(link: StepLink, *, user_agent: str, now: datetime) -> None:
    """Keep that the link was fetched. Mail scanners do that too, so it is no act of a person (A3)."""
    if link.openings.count() < MAX_OPENINGS:
        LinkOpening.objects.create(link=link, opened_at=now, user_agent=user_agent[:200])


@transaction.atomic
def note_foreign(*, actor: Actor, link: StepLink, now: datetime) -> bool:
    """Somebody who is signed in opened another's link: on record once for each link and person (L1)."""
    StepLink.objects.select_for_update().get(pk=link.pk)  # two windows at once are told of once
    objects = refs(link.step.request)
    seen = Event.objects.filter(
        action=Action.LINK_FOREIGN,
        actor_ref=actor.ref,
        objects_touched__contains=objects,
        payload__link=str(link.uid),
    )
    if seen.exists():
        return False
    record(
        Action.LINK_FOREIGN,
        actor=actor,
        objects=objects,
        payload={"step": link.step.role, "recipient": link.recipient.public_id, "link": str(link.uid)},
        now=now,
    )
    return True


@transaction.atomic
def renew_link(*, actor: Actor, token: str, now: datetime) -> bool:
    """Send a new link to the address that the old one went to, if the step still waits for that person.

    Returns whether one was sent; the page says the same sentence either way. None is sent while the person
    has a link that works (an old mail must not kill the newest one), nor after 5 renewals.
    """
    try:
        found = find_link(token)
    except NotFound:
        return False
    request = lock_request(found.step.request_id)
    step = (
        Step.objects.select_for_update(of=("self",))
        .select_related("request__requester", "contact")
        .get(pk=found.step_id)
    )
    links = list(step.links.filter(staff=found.staff, contact=found.contact))
    person = found.recipient
    if request.frozen_at is not None:
        return False
    if step.state != Step.State.OPEN or len(links) > MAX_RENEWALS or not person.is_active:
        return False
    if any(link.used_at or (link.died_at is None and link.expires_at > now) for link in links):
        return False
    if found.staff is not None and why_may_not_decide(found.staff, step):
        return False
    send_link(actor=actor, step=step, recipient=person, now=now)
    return True


def expire_links(*, now: datetime, limit: int = 1_000) -> int:
    """Mark links whose time is up as dead, with an event each. Safe to run twice at once."""
    actor = SYSTEM("approvals.expire_links")
    with transaction.atomic():
        due = list(
            StepLink.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(used_at=None, died_at=None, expires_at__lte=now)
            .select_related("step__request", "staff", "contact")
            .order_by("expires_at")[:limit]
        )
        StepLink.objects.filter(pk__in=[link.pk for link in due]).update(died_at=now)
        for link in due:
            record(
                Action.LINK_EXPIRED,
                actor=actor,
                objects=refs(link.step.request),
                payload={"step": link.step.role, "recipient": link.recipient.public_id},
                now=now,
            )
    return len(due)
