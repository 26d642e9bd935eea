"""The mails about requests: what each is filled with. Links are derived as a mail is rendered (A3)."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from approvals.access import decided_refs
from approvals.bench import Able, Bench
from approvals.deputy_mails import delegation_ended, delegation_given
from approvals.models import (
    ConsentCode,
    Decision,
    Emergency,
    KeyChange,
    PolicyVersion,
    Request,
    Revision,
    Step,
    StepLink,
    StepRole,
)
from approvals.selectors import receipt_url
from approvals.selectors.changes import change_of, difference_of
from approvals.selectors.receipts import not_me_link, withdraw_url
from approvals.selectors.revisions import since_last_answer
from approvals.services.path import PURPOSE
from approvals.services.undeliverable import KINDS, mark_undeliverable
from core.links import code_of, token_of
from keys.mails import (
    Fact,
    date_text,
    mail_to,
    money_text,
    page_url,
    product_names,
    recipient_of,
    when_text,
)
from keys.models import ApiProduct, Environment, PurposeCategory
from keys.terms import KeyTerms
from notifications import registry
from notifications.models import Message
from notifications.registry import Mail

LONGEST_PURPOSE = 300


def step_requested(message: Message) -> Mail | None:
    """To an approver: the facts that matter and the links Approve and Reject (A3)."""
    link = _find_open_link(message)
    return None if link is None else _question(message, link, page="decide")


def consent_requested(message: Message) -> Mail | None:
    """To the rights-holder's contact, who has no account: the same, and what happens next (A1, A3)."""
    link = _find_open_link(message)
    return None if link is None else _question(message, link, page="consent")


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
    url = f"{settings.PORTAL_URL}/{page}/{token_of(bytes(link.nonce), purpose=PURPOSE)}"
    due = when_text(step.due_at or link.expires_at)
    standing = None if link.staff is None else _standing(link.staff, step)
    emergency = Emergency.objects.filter(request=request).first()
    return mail_to(
        message,
        {
            **_about(request),
            "is_change": request.kind == Request.Kind.CHANGE,
            "facts": [
                *_news_of(step),
                *_change_facts(message, request, step.revision),
                *_terms_facts(request, step.revision),
                (_("Please answer by"), due),
            ],
            "due": due,
            "emergency": emergency,
            "emergency_until": when_text(emergency.due_at) if emergency else "",
            "asked": when_text(step.opened_at or link.created_at),
            "giver": standing.giver.name if standing and standing.giver else "",
            "is_escalated": bool(standing and standing.standing.stand_in and not standing.giver),
            "link_ends": when_text(link.expires_at),
            "url": url,
            "approve_url": f"{url}?answer=approve",
            "reject_url": f"{url}?answer=reject",
        },
    )


def _standing(person: User, step: Step) -> Able | None:
    """In whose place the reader is asked; None once they may not decide any more."""
    able = Bench.read().able(step, decided_refs(step))
    return next((one for one in able if one.user == person), None)


def _about(request: Request) -> dict[str, Any]:
    return {
        "number": request.public_id,
        "title": request.title,
        "partner": request.partner.name,
        "requester": request.requester.name,
    }


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


def _change_facts(message: Message, request: Request, revision: Revision) -> list[Fact]:
    """What a change of a key is about, first of all; nothing for a new key (R3)."""
    change = change_of(request)
    if change is None:
        return []
    facts: list[Fact] = [(_("Key"), f"{change.key.public_id} {change.key.name}")]
    if change.reactivates:
        facts.append((_("Status"), _("Starts the suspended key again")))
    facts += _difference_facts(message, change, revision)
    facts.append((_("Why it is to be changed"), change.why))
    if change.not_before:
        facts.append((_("Not before"), when_text(change.not_before)))
    return facts


def _difference_facts(message: Message, change: KeyChange, revision: Revision) -> list[Fact]:
    """A line for each term that differs: what it is and what it is to be, in the reader's language."""
    with translation.override(recipient_of(message.recipient_ref).language):
        changes = difference_of(change, revision)
    return [(term.label, f"{_listed(term.old)} → {_listed(term.new)}") for term in changes]


def _listed(items: tuple[str, ...]) -> str:
    return ", ".join(items) or "—"


def change_news(message: Message) -> Mail | None:
    """To requester, owner and recipient: what became of an approved change of a key (R3).

    Not sent where it is not true any more, for example a plan that was cancelled before the mail went out.
    """
    request, what = _find_request(message), message.context["what"]
    change = change_of(request)
    if change is None or change.state != what:
        return None
    is_staff = message.recipient_ref.startswith("ST-")
    facts: list[Fact] = [
        (_("Key"), f"{change.key.public_id} {change.key.name}"),
        (_("Partner"), request.partner.name),
        *_difference_facts(message, change, request.revisions.order_by("-number")[0]),
    ]
    if change.end_reason and is_staff:
        facts.append((_("Reason"), change.end_reason))
    at = change.not_before if what == "scheduled" else change.ended_at or change.applied_at
    return mail_to(
        message,
        {
            **_about(request),
            "what": what,
            "key": change.key.public_id,
            "at": when_text(at) if at else "",
            "facts": facts,
            "url": _request_url(request) if is_staff else "",
        },
    )


def consent_code(message: Message) -> Mail | None:
    """To the contact: the eight digits (A3). Not sent once they are worthless."""
    code = ConsentCode.objects.select_related("link__step__request").get(uid=message.context["code"])
    if code.passed_at or code.expires_at <= timezone.now() or code.link.step.state != Step.State.OPEN:
        return None
    return mail_to(message, code_context(code))


def code_context(code: ConsentCode) -> dict[str, Any]:
    """What a mail with eight digits is filled with."""
    digits = code_of(bytes(code.nonce))
    request = code.link.step.request
    return {
        "number": request.public_id,
        "title": request.title,
        "code": f"{digits[:4]} {digits[4:]}",
        "code_ends": when_text(code.expires_at),
    }


def consent_receipt(message: Message) -> Mail | None:
    """To the contact: what was answered, when, on which terms, and where that can be checked."""
    decision = Decision.objects.select_related("request__partner", "request__requester").get(
        uid=message.context["decision"]
    )
    request, digest = decision.request, bytes(decision.digest).hex()
    facts: list[Fact] = [
        (_("Your answer"), CONSENT_WORDS[Decision.Outcome(decision.outcome)]),
        (_("Answered at"), when_text(decision.decided_at)),
        (_("Request"), request.public_id),
        (_("Partner"), request.partner.name),
        (_("Name"), decision.signed_name),
        (_("Capacity"), decision.signed_capacity),
    ]
    if decision.reason:
        facts.append((_("Reason"), decision.reason))
    facts.append((_("Digest of the terms"), digest[:16]))
    return mail_to(
        message,
        {
            **_about(request),
            "facts": facts,
            "digest": digest,
            "url": receipt_url(decision),
            "withdraw_url": withdraw_url(decision),
            **not_me_link(decision, now=timezone.now()),
        },
    )


def _news_of(step: Step) -> list[Fact]:
    """For who is asked about a changed request: that it was changed, and in what (A6)."""
    if step.revision.number == 1:
        return []
    since = since_last_answer(step, None)
    facts: list[Fact] = [(_("Revision"), str(step.revision.number))]
    if since is not None and since.changes:
        labels = [str(marked.change.label) for marked in since.changes]
        facts.append((_("Changed since the last answer"), ", ".join(labels)))
    return facts


CONSENT_WORDS = {
    Decision.Outcome.APPROVE: _("You consented."),
    Decision.Outcome.CHANGES: _("You asked for changes."),
    Decision.Outcome.REJECT: _("You did not consent."),
}


def request_approved(message: Message) -> Mail | None:
    """To the requester: the key was issued and is on its way to its recipient."""
    request = _find_request(message)
    key = request.key
    if key is None:
        return None
    facts: list[Fact] = [
        *_request_facts(request),
        (_("Key"), key.public_id),
        (_("Recipient"), key.recipient.name),
    ]
    return mail_to(
        message,
        {
            **_about(request),
            "facts": facts,
            "key": key.public_id,
            "recipient": key.recipient.name,
            "url": page_url("keys:key-detail", key.public_id),
        },
    )


def request_rejected(message: Message) -> Mail | None:
    """To the requester: at which step, and why."""
    request = _find_request(message)
    decision = Decision.objects.select_related("step").get(uid=message.context["decision"])
    role = StepRole(decision.step.role).label
    facts: list[Fact] = [
        *_request_facts(request),
        (_("Step"), role),
        (_("Rejected at"), when_text(decision.decided_at)),
        (_("Reason"), decision.reason),
    ]
    return mail_to(message, {**_about(request), "facts": facts, "role": role, "url": _request_url(request)})


def request_changes_wanted(message: Message) -> Mail | None:
    """To the requester: who wants what changed, and where the form is. Not once it was answered (A6)."""
    request = _find_request(message)
    decision = Decision.objects.select_related("step", "staff", "contact").get(
        uid=message.context["decision"]
    )
    if request.state != Request.State.CHANGES_WANTED or decision.fallen_at is not None:
        return None
    role, person = StepRole(decision.step.role).label, decision.staff or decision.contact
    name = person.name if person else ""
    facts: list[Fact] = [
        *_request_facts(request),
        (_("Wanted by"), f"{name} ({role})"),
        (_("Wanted at"), when_text(decision.decided_at)),
        (_("Wanted changes"), decision.reason),
    ]
    url = page_url("approvals:request-edit", request.public_id)
    return mail_to(message, {**_about(request), "facts": facts, "role": role, "person": name, "url": url})


def request_paused(message: Message) -> Mail | None:
    """To those who were asked and had not answered: the requester is editing it, and asks again (R5)."""
    request = _find_request(message)
    return mail_to(message, {**_about(request), "facts": _request_facts(request)})


def request_expired(message: Message) -> Mail | None:
    """To the requester and those who were asked last: nobody decided in time, which is never a yes (A5)."""
    request = _find_request(message)
    facts = _request_facts(request)
    if request.submitted_at is not None:
        submitted = timezone.localtime(request.submitted_at).date()
        facts.append((_("Submitted on"), date_text(submitted)))
    was_sent_back = request.decisions.filter(outcome=Decision.Outcome.CHANGES, fallen_at=None).exists()
    is_requester = message.recipient_ref == request.requester.public_id
    context = {**_about(request), "facts": facts, "url": _request_url(request), "is_requester": is_requester}
    context["was_sent_back"] = was_sent_back
    return mail_to(message, context)


def request_withdrawn(message: Message) -> Mail | None:
    """To those who were asked and had not answered: they need not any more (R5)."""
    request = _find_request(message)
    return mail_to(message, {**_about(request), "facts": _request_facts(request)})


def step_stuck(message: Message) -> Mail | None:
    """To security and administrators: a step that nobody may decide (A2), or whose mail came back (A3)."""
    step = Step.objects.select_related("request__partner", "request__requester").get(
        pk=message.context["step"]
    )
    if step.state != Step.State.OPEN:
        return None
    role = StepRole(step.role).label
    facts: list[Fact] = [*_request_facts(step.request), (_("Step"), role)]
    return mail_to(
        message,
        {
            **_about(step.request),
            "facts": facts,
            "role": role,
            "is_undeliverable": step.stuck_at is None,
            "url": _request_url(step.request),
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
    facts: list[Fact] = [*_request_facts(step.request), (_("Step"), role)]
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
        )
    else:
        lines.append(
            _("The role has no deputy who may decide here. Please name one, or ask those in charge.")
        )
    context = {**_about(step.request), "facts": facts, "lines": lines, "url": _request_url(step.request)}
    return mail_to(message, context)


def _find_request(message: Message) -> Request:
    return Request.objects.select_related("partner", "requester", "key__recipient").get(
        public_id=message.context["request"]
    )


def _request_facts(request: Request) -> list[Fact]:
    return [
        (_("Request"), f"{request.public_id} {request.title}"),
        (_("Partner"), request.partner.name),
        (_("Requested by"), request.requester.name),
    ]


def _request_url(request: Request) -> str:
    return page_url("approvals:request-detail", request.public_id)


def policy_proposed(message: Message) -> Mail | None:
    """To those who may put a policy in force: who proposes what, and why (A2). Not sent once it is over."""
    policy = PolicyVersion.objects.select_related("author").get(number=message.context["policy"])
    if policy.state != PolicyVersion.State.PROPOSED or policy.version != message.context["version"]:
        return None
    return mail_to(message, _policy_words(policy))


def policy_decided(message: Message) -> Mail | None:
    """To the author: the second person's answer (A2)."""
    policy = PolicyVersion.objects.select_related("author", "decider").get(number=message.context["policy"])
    is_in_force = policy.state == PolicyVersion.State.IN_FORCE
    return mail_to(message, _policy_words(policy) | {"is_in_force": is_in_force})


def _policy_words(policy: PolicyVersion) -> dict[str, Any]:
    facts: list[Fact] = [
        (_("Version"), str(policy)),
        (_("Written by"), policy.author.name if policy.author else ""),
        (_("Why the path is to change"), policy.reason),
    ]
    if policy.decider is not None:
        facts.append((_("Second person"), policy.decider.name))
    if policy.decision_reason:
        facts.append((_("Reason"), policy.decision_reason))
    return {
        "number": str(policy),
        "author": policy.author.name if policy.author else "",
        "decider": policy.decider.name if policy.decider else "",
        "facts": facts,
        "url": page_url("approvals:policy-detail", str(policy)),
    }


BUILDERS: tuple[Callable[[Message], Mail | None], ...] = (
    step_requested,
    consent_requested,
    consent_code,
    consent_receipt,
    request_approved,
    request_rejected,
    request_changes_wanted,
    request_paused,
    request_expired,
    request_withdrawn,
    step_stuck,
    step_reminder,
    consent_reminder,
    step_escalated,
    delegation_given,
    delegation_ended,
    change_news,
    policy_proposed,
    policy_decided,
)


def register_mails() -> None:
    """Tell the outbox of these mails; each builder's name is its kind. From `AppConfig.ready`."""
    for builder in BUILDERS:
        registry.register(builder.__name__, builder)
    for kind in KINDS:
        registry.on_undeliverable(kind, mark_undeliverable)
