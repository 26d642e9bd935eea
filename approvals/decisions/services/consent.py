"""Consent of someone without an account: a code to the registered address, then the decision (A1, A3)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.core import signing
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from approvals.decisions.services.answers import Answer
from approvals.decisions.services.deciding import decide_as_contact
from approvals.decisions.services.links import find_link, state_of
from approvals.models import ConsentCode, Decision, StepLink
from audit.actions import Action
from audit.services import record
from core.actors import Actor
from core.errors import Conflict, NotAllowed
from core.ids import refs
from core.links import code_matches, new_nonce
from core.parsing import digits_of
from notifications.services import enqueue
from partners.models import Contact

SALT = "approvals.consent"
# How long after the code the terms may be read before deciding; reading a contract takes its time.
PROOF_LIFETIME = timedelta(minutes=60)
MAX_CODES_AN_HOUR = 5


@dataclass(frozen=True, slots=True)
class CodeCheck:
    """What came of typed digits: a signed `proof` for the form, or `""` and how many tries are left."""

    proof: str
    n_left: int


@transaction.atomic
def send_code(*, actor: Actor, token: str, now: datetime) -> ConsentCode:
    """Send eight digits to the contact's registered address; of a link's codes only the newest works.

    Raises Conflict when the link is not open, or after 5 codes within an hour: a flood helps nobody.
    """
    link, contact = _lock_open(token, now)
    return send_digits(actor=actor, link=link, contact=contact, kind="consent_code", now=now)


def send_digits(*, actor: Actor, link: StepLink, contact: Contact, kind: str, now: datetime) -> ConsentCode:
    """Make a code for a locked link, and its mail (`kind`). Conflict after 5 in an hour."""
    recent = link.codes.filter(created_at__gt=now - timedelta(hours=1)).count()
    if recent >= MAX_CODES_AN_HOUR:
        raise Conflict(_("Too many codes were sent. Try again in an hour."))
    code = ConsentCode.objects.create(
        link=link, nonce=new_nonce(), created_at=now, expires_at=now + settings.CONSENT_CODE_LIFETIME
    )
    record(
        Action.CONSENT_CODE_SENT,
        actor=actor,
        objects=refs(link.step.request),
        payload={"step": link.step.role},
        now=now,
    )
    enqueue(
        kind,
        recipient_ref=contact.public_id,
        context={"code": str(code.uid)},
        dedupe_key=f"{kind}:{code.uid}",
        objects=refs(link.step.request),
        now=now,
    )
    return code


@transaction.atomic
def check_code(*, actor: Actor, token: str, given: str, now: datetime) -> CodeCheck:
    """Compare typed digits (full-width ones and spaces are fine) with the link's newest code.

    Does not raise for a wrong code, because the attempt must be counted whatever the page then shows. After
    5 attempts, or 10 minutes, or once it opened the page, a code is worthless: no tries left. Raises Conflict
    when the link is not open.
    """
    link, _contact = _lock_open(token, now)
    return check_digits(actor=actor, link=link, given=given, salt=SALT, now=now)


def check_digits(*, actor: Actor, link: StepLink, given: str, salt: str, now: datetime) -> CodeCheck:
    """Compare typed digits with a locked link's newest code; `salt` says what the proof is good for."""
    code = live_code(link, now=now)
    if code is None:
        return CodeCheck(proof="", n_left=0)
    passed = code_matches(bytes(code.nonce), digits_of(given))
    code.n_attempts += 1
    if passed:
        code.passed_at = now  # a code opens the page once
    code.save(update_fields=["n_attempts", "passed_at"])
    record(
        Action.CONSENT_CODE_PASSED if passed else Action.CONSENT_CODE_FAILED,
        actor=actor,
        objects=refs(link.step.request),
        payload={"step": link.step.role} | ({} if passed else {"attempt": code.n_attempts}),
        now=now,
    )
    if not passed:
        return CodeCheck(proof="", n_left=settings.CONSENT_CODE_ATTEMPTS - code.n_attempts)
    return CodeCheck(signing.dumps({"code": str(code.uid), "link": str(link.uid)}, salt=salt), n_left=0)


def live_code(link: StepLink, *, now: datetime) -> ConsentCode | None:
    """The code that can be typed now, if any: neither too old, nor used, nor tried too often."""
    newest = link.codes.first()
    if newest is None or newest.passed_at is not None or newest.expires_at <= now:
        return None
    return newest if newest.n_attempts < settings.CONSENT_CODE_ATTEMPTS else None


def proof_holds(proof: str, link: StepLink, *, now: datetime, salt: str = SALT) -> bool:
    """Whether a form's proof says that this link's holder read a code at the registered address lately."""
    try:
        data = signing.loads(proof, salt=salt)
    except signing.BadSignature:
        return False
    if data["link"] != str(link.uid):
        return False
    return link.codes.filter(uid=data["code"], passed_at__gt=now - PROOF_LIFETIME).exists()


@transaction.atomic
def give_consent(*, actor: Actor, token: str, proof: str, answer: Answer, now: datetime) -> Decision:
    """The rights-holder's decision (A1). NotAllowed without a valid proof of the code."""
    link = find_link(token)
    if link.contact is None or not proof_holds(proof, link, now=now):
        raise NotAllowed(_("Ask for a code first; it proves that the registered address is yours."))
    return decide_as_contact(
        actor=actor, contact=link.contact, step=link.step, answer=answer, link=link, now=now
    )


def _lock_open(token: str, now: datetime) -> tuple[StepLink, Contact]:
    StepLink.objects.select_for_update(of=("self",)).get(pk=find_link(token).pk)
    link = find_link(token)  # as it stands behind the lock: a step that ends kills its links
    if link.contact is None:
        raise NotAllowed(_("This link is for a member of staff: sign in instead."))
    if state_of(link, now=now) != "open":
        raise Conflict(_("This link is no longer valid."))
    return link, link.contact
