"""To those who are asked: the question, the reminder, and what keeps a step from its answer (A2, A3, A5).

Links are derived as a mail is rendered (A3).
"""

from django.utils import timezone, translation
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from approvals.changes.mails import change_facts
from approvals.models import Emergency, Request, Revision, Step, StepLink, StepRole
from approvals.path.access import decided_refs
from approvals.path.bench import Able, Bench
from approvals.path.mails import about, request_facts, request_url
from approvals.path.services.path import PURPOSE
from approvals.requests.selectors.revisions import since_last_answer
from core.links import token_of
from keys.models import ApiProduct, Environment, PurposeCategory
from keys.status.mails import product_names
from keys.terms.terms import KeyTerms
from notifications.models import Message
from notifications.registry import Mail
from partners.mails import Fact, mail_to, money_text, page_url, recipient_of, when_text

LONGEST_PURPOSE = 300


def step_requested(message: Message) -> Mail | None:
    """To an approver: the facts that matter and a link for each answer (A3)."""
    link = _find_open_link(message)
    return None if link is None else _question(message, link, page="approvals:link-decide")


def consent_requested(message: Message) -> Mail | None:
    """To the rights-holder's contact, who has no account: the same, and what happens next (A1, A3)."""
    link = _find_open_link(message)
    return None if link is None else _question(message, link, page="approvals:consent-start")


def step_reminder(message: Message) -> Mail | None:
    """To an approver who has not answered: the question again, with a link that works (A5)."""
    return step_requested(message)


def consent_reminder(message: Message) -> Mail | None:
    """To the rights-holder's contact who has not answered: the same (A5)."""
    return consent_requested(message)


def _find_open_link(message: Message) -> StepLink | None:
    link = StepLink.objects.select_related(
        "step__request__requester", "step__request__partner", "step__revision", "staff"
    ).get(uid=message.context["link"])
    is_over = link.used_at or link.died_at or link.expires_at <= timezone.now()
    return None if is_over or link.step.state != Step.State.OPEN else link


def _question(message: Message, link: StepLink, *, page: str) -> Mail:
    request, step = link.step.request, link.step
    url = page_url(page, token_of(bytes(link.nonce), purpose=PURPOSE))
    due = when_text(step.due_at or link.expires_at)
    standing = None if link.staff is None else _standing(link.staff, step)
    emergency = Emergency.objects.filter(request=request).first()
    return mail_to(
        message,
        {
            **about(request),
            "is_change": request.kind == Request.Kind.CHANGE,
            "facts": [
                *_news_of(message, step),
                *change_facts(message, request, step.revision),
                *_terms_facts(request, step.revision),
                (_("Please answer by"), due),
            ],
            "due": due,
            "emergency": emergency,
            "emergency_until": when_text(emergency.due_at) if emergency else "",
            "asked": when_text(step.opened_at or link.created_at),
            "giver": standing.giver.name if standing and standing.giver else "",
            "behind": standing.behind.name if standing and standing.behind else "",
            "is_escalated": bool(standing and standing.standing.stand_in and not standing.giver),
            "link_ends": when_text(link.expires_at),
            "url": url,
            "approve_url": f"{url}?answer=approve",
            "changes_url": f"{url}?answer=changes",
            "reject_url": f"{url}?answer=reject",
        },
    )


def _standing(person: User, step: Step) -> Able | None:
    """In whose place the reader is asked; None once they may not decide any more."""
    able = Bench.read().able(step, decided_refs(step))
    return next((one for one in able if one.user == person), None)


def _terms_facts(request: Request, revision: Revision) -> list[Fact]:
    """What a decision is about, from the revision as it was submitted: not from what was changed since."""
    terms = KeyTerms.from_json(revision.terms)
    purpose = (
        terms.purpose if len(terms.purpose) <= LONGEST_PURPOSE else terms.purpose[:LONGEST_PURPOSE] + "…"
    )
    facts: list[Fact] = [
        (_("Request"), request.public_id),
        (_("Partner"), request.partner.name),
        (_("API products"), product_names(ApiProduct.objects.filter(code__in=terms.products))),
        (_("Environment"), Environment(terms.environment).label),
        (_("Scopes"), ", ".join(terms.scopes)),
    ]
    if terms.contract:
        facts.append((_("Monthly amount"), money_text(terms.monthly_amount_jpy)))
    return [
        *facts,
        (_("Requested by"), request.requester.name),
        (_("Purpose"), PurposeCategory(terms.purpose_category).label),
        (_("What exactly for"), purpose),
    ]


def _news_of(message: Message, step: Step) -> list[Fact]:
    """For who is asked about a changed request: that it was changed, and in what (A6)."""
    if step.revision.number == 1:
        return []
    since = since_last_answer(step, None)
    facts: list[Fact] = [(_("Revision"), str(step.revision.number))]
    if since is not None and since.changes:
        with translation.override(recipient_of(message.recipient_ref).language):
            labels = ", ".join(str(marked.change.label) for marked in since.changes)
        facts.append((_("Changed since the last answer"), labels))
    return facts


def step_stuck(message: Message) -> Mail | None:
    """To security and administrators: a step that nobody may decide (A2), or whose mail came back (A3)."""
    step = Step.objects.select_related("request__partner", "request__requester").get(
        pk=message.context["step"]
    )
    if step.state != Step.State.OPEN:
        return None
    role = StepRole(step.role).label
    facts: list[Fact] = [*request_facts(step.request), (_("Step"), role)]
    return mail_to(
        message,
        {
            **about(step.request),
            "facts": facts,
            "role": role,
            "is_undeliverable": step.stuck_at is None,
            "url": request_url(step.request),
        },
    )


def step_escalated(message: Message) -> Mail | None:
    """To requester and approvers, once a step's time is up: who may decide now (A5)."""
    step = Step.objects.select_related("request__partner", "request__requester", "contact").get(
        pk=message.context["step"]
    )
    if step.state != Step.State.OPEN:
        return None
    role = StepRole(step.role).label
    able = Bench.read().able(step, decided_refs(step))
    deputies = [one.user.name for one in able if one.standing.stand_in and not one.giver]
    facts: list[Fact] = [*request_facts(step.request), (_("Step"), role)]
    if step.due_at is not None:
        facts.append((_("Was due"), when_text(step.due_at)))
    lines = [_("Nobody has answered the approval step of this request in time.")]
    if step.contact is not None:
        facts.append((_("Asked"), step.contact.name))
        lines.append(_("Only the rights-holder can consent. Please get in touch with them."))
    elif deputies:
        facts.append((_("Deputies"), ", ".join(deputies)))
        lines.append(
            _("The deputies of the role were asked and may decide now, as well as those asked before.")
            if step.deputies_at
            else _("The standing deputies were asked and may decide now, as well as those asked before.")
        )
    else:
        lines.append(
            _("The role has no deputy who may decide here. Please name one, or ask those in charge.")
        )
    context = {**about(step.request), "facts": facts, "lines": lines, "url": request_url(step.request)}
    return mail_to(message, context)
