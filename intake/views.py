"""The pages of mail requests: the inbox, one mail, its original, and what is done with it (R4)."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.http import require_POST, require_safe

from accounts.access import require, signed_in
from accounts.roles import Permission
from core.actors import actor_of
from core.errors import Conflict, Invalid
from core.private import private
from intake.access import find_mail
from intake.charsets import decode
from intake.mailbox import mailbox_status
from intake.masking import mask_text
from intake.models import ReceivedMail
from intake.selectors import SHOWN_OF_ORIGINAL, VIEWS, lines_of, list_mails, notes_of
from intake.services.inbox import bring_mail_back, set_mail_aside, take_mail
from intake.wording import MAILBOX, MATCHED
from partners.access import find_partner
from partners.selectors import list_partners


@require_safe
@require(Permission.SEE_MAIL)
def mail_list(request: HttpRequest) -> HttpResponse:
    """What waits, what was taken over, what was set aside, and what needs nobody."""
    view = request.GET.get("view", "")
    view = view if view in VIEWS else "waiting"
    text = request.GET.get("q", "").strip()
    status = mailbox_status() if settings.IMAP_URL else {}
    context = {
        "found": list_mails(view=view, text=text, cursor=request.GET.get("cursor", "")),
        "view": view,
        "text": text,
        "address": settings.INTAKE_ADDRESS,
        "read_at": status.get("at"),
        "trouble": MAILBOX.get(str(status.get("trouble", "")), ""),
    }
    return render(request, "intake/mail_list.html", context)


@require_safe
@private
@require(Permission.SEE_MAIL)
def mail_detail(request: HttpRequest, number: str) -> HttpResponse:
    """One mail: who seems to ask for what, its text, and what can be done."""
    return _page(request, find_mail(signed_in(request), number))


def _page(request: HttpRequest, mail: ReceivedMail, *, status: int = 200, **context: Any) -> HttpResponse:
    user = signed_in(request)
    may_settle = user.may(Permission.MAKE_REQUESTS) and mail.state in {"waiting", "set_aside"}
    # A returned mail asks for nothing.
    may_take = may_settle and mail.kind != ReceivedMail.Kind.BOUNCE
    text = request.GET.get("partner", "").strip()
    wants_other = "partner" in request.GET or mail.partner is None or not mail.partner.is_active
    context |= {
        "mail": mail,
        "lines": lines_of(mail),
        "notes": notes_of(mail),
        "matched_by": MATCHED.get(mail.matched_by, ""),
        "is_mine": mail.staff == user,
        "may_take": may_take,
        "may_set_aside": may_settle and mail.state == "waiting",
        "text": text,
        "choices": list_partners(text=text).page.rows[:8] if may_take and wants_other else None,
    }
    return render(request, "intake/mail_detail.html", context, status=status)


@require_safe
@private
@require(Permission.SEE_MAIL)
def mail_original(request: HttpRequest, number: str) -> HttpResponse:
    """The mail as it arrived, as text: nothing of it is run, drawn or handed out as a file."""
    mail = find_mail(signed_in(request), number)
    data = mail.original(SHOWN_OF_ORIGINAL + 1)
    context = {
        "mail": mail,
        "original": mask_text(decode(data[:SHOWN_OF_ORIGINAL]).replace("\0", "␀")),
        "is_longer": len(data) > SHOWN_OF_ORIGINAL,
        "notes": notes_of(mail),
    }
    return render(request, "intake/mail_original.html", context)


@require_POST
@require(Permission.MAKE_REQUESTS)
def mail_take(request: HttpRequest, number: str) -> HttpResponse:
    """Take the mail over as a draft for the chosen partner, and go on in the form."""
    user = signed_in(request)
    mail = find_mail(user, number)
    chosen = request.POST.get("partner", "").replace("\0", "")
    if not chosen:
        return _page(request, mail, status=422, must_choose=True)
    partner = find_partner(user, chosen)
    try:
        draft = take_mail(actor=actor_of(request), by=user, mail=mail, partner=partner, now=timezone.now())
    except Conflict as conflict:
        return _page(request, find_mail(user, number), status=409, conflict=conflict.message)
    messages.success(
        request, gettext("The draft is yours. Compare it with the mail, and fill in what is missing.")
    )
    return redirect("approvals:request-edit", number=draft.public_id)


@require_POST
@require(Permission.MAKE_REQUESTS)
def mail_set_aside(request: HttpRequest, number: str) -> HttpResponse:
    """Nothing is to be asked for; the mail is kept."""
    user = signed_in(request)
    mail = find_mail(user, number)
    reason = request.POST.get("reason", "")
    try:
        set_mail_aside(actor=actor_of(request), by=user, mail=mail, reason=reason, now=timezone.now())
    except Invalid as problem:
        return _page(request, mail, status=422, reason_error=problem.message)
    except Conflict as conflict:
        return _page(request, find_mail(user, number), status=409, conflict=conflict.message)
    messages.success(request, gettext("%(number)s is set aside.") % {"number": number})
    return redirect("intake:mail-list")


@require_POST
@require(Permission.MAKE_REQUESTS)
def mail_bring_back(request: HttpRequest, number: str) -> HttpResponse:
    """A mail that was set aside waits again."""
    user = signed_in(request)
    mail = find_mail(user, number)
    try:
        bring_mail_back(actor=actor_of(request), by=user, mail=mail, now=timezone.now())
    except Conflict as conflict:
        return _page(request, find_mail(user, number), status=409, conflict=conflict.message)
    return redirect("intake:mail-detail", number=number)
