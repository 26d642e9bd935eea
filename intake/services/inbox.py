"""What people do with received mails: take them over, set them aside, forget them (R4)."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.roles import Permission
from approvals.models import Request
from approvals.requests.services.requests import save_draft, start_draft
from audit.actions import Action
from audit.services import record
from core.actors import SYSTEM, Actor
from core.errors import Conflict, Invalid, NotAllowed
from core.ids import refs
from core.parsing import clean_text
from intake.fields import subject_as_title
from intake.meaning import draft_of
from intake.models import ReceivedMail
from keys.terms.terms import office_day
from partners.models import Partner

State = ReceivedMail.State
BATCH = 200


@transaction.atomic
def take_mail(*, actor: Actor, by: User, mail: ReceivedMail, partner: Partner, now: datetime) -> Request:
    """Begin a draft with what the mail says; `by` becomes its requester, the partner is theirs to name.

    NotAllowed without the permission to make requests, Conflict when somebody was faster or the partner is
    not active.
    """
    mail = _lock(mail, by=by, states=[State.WAITING, State.SET_ASIDE])
    draft = draft_of(mail.found, partner, today=office_day(now))
    request = start_draft(actor=actor, by=by, partner=partner, now=now)
    request = save_draft(
        actor=actor,
        by=by,
        request=request,
        version=request.version,
        draft=draft,
        title=subject_as_title(mail.subject),
        now=now,
    )
    mail.state, mail.request, mail.partner = State.TAKEN, request, partner
    _settle(mail, by, now, "request", "partner")
    objects = refs(mail, request, partner)
    record(Action.MAIL_TAKEN, actor=actor, objects=objects, payload={"kind": mail.kind}, now=now)
    return request


@transaction.atomic
def set_mail_aside(*, actor: Actor, by: User, mail: ReceivedMail, reason: str, now: datetime) -> ReceivedMail:
    """Nothing is to be asked for: spam, a question that was answered. Invalid without a reason."""
    mail = _lock(mail, by=by, states=[State.WAITING])
    reason = clean_text(reason)[:300]
    if not reason:
        raise Invalid(_("Say in a few words why nothing is to be done."), field="reason")
    mail.state, mail.reason = State.SET_ASIDE, reason
    _settle(mail, by, now, "reason")
    _note(Action.MAIL_SET_ASIDE, actor, mail, now, reason=reason)
    return mail


@transaction.atomic
def bring_mail_back(*, actor: Actor, by: User, mail: ReceivedMail, now: datetime) -> ReceivedMail:
    """A mail that was set aside waits again."""
    mail = _lock(mail, by=by, states=[State.SET_ASIDE])
    mail.state, mail.reason, mail.settled_by, mail.settled_at = State.WAITING, "", None, None
    mail.save(update_fields=["state", "reason", "settled_by", "settled_at"])
    _note(Action.MAIL_BROUGHT_BACK, actor, mail, now)
    return mail


def forget_mails(*, now: datetime) -> int:
    """Drop texts, names and originals of mails that have been settled for INTAKE_KEEP_DAYS (L4).

    What waits is never forgotten. Number, times and identity stay, so that the mail can't come again.
    """
    old = now - timedelta(days=settings.INTAKE_KEEP_DAYS)
    over = Q(settled_at__lt=old) | Q(state=State.FILED, received_at__lt=old)
    with transaction.atomic():
        due = list(
            ReceivedMail.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(over, forgotten_at=None)
            .order_by("id")[:BATCH]
        )
        for mail in due:
            _note(Action.MAIL_FORGOTTEN, SYSTEM("intake.forget_mails"), mail, now)
        ReceivedMail.objects.filter(pk__in=[mail.pk for mail in due]).update(
            forgotten_at=now, raw="", text="", found={}, attachments=[], subject="", from_name="",
            from_address="", message_id="", reason="", contact=None, staff=None,
        )  # fmt: skip
    return len(due)


def _lock(mail: ReceivedMail, *, by: User, states: list[ReceivedMail.State]) -> ReceivedMail:
    if not by.may(Permission.MAKE_REQUESTS):
        raise NotAllowed(_("Your roles do not allow making requests."))
    locked = (
        ReceivedMail.objects.select_for_update(of=("self",))
        .select_related("request")
        .defer("raw", "text")
        .get(pk=mail.pk)
    )
    if locked.request is not None:
        raise Conflict(
            _("This mail was taken over already: request %(number)s.") % {"number": locked.request.public_id}
        )
    if locked.state not in states or locked.forgotten_at:
        raise Conflict(
            _("The mail is “%(state)s” now, so this is no longer possible.")
            % {"state": locked.get_state_display()}
        )
    return locked


def _settle(mail: ReceivedMail, by: User, now: datetime, *fields: str) -> None:
    mail.settled_by, mail.settled_at = by, now
    mail.save(update_fields=["state", "settled_by", "settled_at", *fields])


def _note(action: Action, actor: Actor, mail: ReceivedMail, now: datetime, **payload: object) -> None:
    record(action, actor=actor, objects=refs(mail), payload=payload, now=now)
