"""What somebody sees who decides: the facts that matter first, then everything (A3)."""

from dataclasses import dataclass
from datetime import date, datetime

from django.utils.functional import Promise

from accounts.models import User
from approvals.changes.differences import TermChange
from approvals.changes.selectors.changes import change_of, difference_of, difference_with_use, why_stale
from approvals.changes.terms import Section, describe_terms, label_of, name_of
from approvals.models import KeyChange, Request, Revision, Step
from approvals.policies.wording import why_sentence
from approvals.requests.selectors.revisions import SinceThen, since_last_answer
from approvals.wording import ROLE_QUESTION
from keys.models import Environment, PurposeCategory, Scope
from keys.terms.checks import Registry, find_problems
from keys.terms.terms import KeyTerms
from partners.models import Partner


@dataclass(frozen=True, slots=True)
class ScopeLine:
    """A permission that is asked for, in words, and whether it does more than read."""

    name: str
    code: str
    is_write: bool
    is_admin: bool


@dataclass(frozen=True, slots=True)
class DecisionPage:
    """All of the page on which one step is decided. Money in whole yen a month; 0 is "no contract"."""

    request: Request
    step: Step
    question: str | Promise
    why: str | Promise
    partner: Partner
    partner_kind: str
    products: list[str]
    scopes: list[ScopeLine]
    environment: str
    environment_label: str
    amount: int
    starts_on: date | None
    ends_on: date | None
    purpose: str
    purpose_category: str
    digest: str
    sections: list[Section]
    problems: list[str | Promise]
    addresses: list[str]
    change: KeyChange | None
    changes: list[TermChange]
    since: SinceThen | None


def decision_page(step: Step, *, now: datetime, reader: User | None = None) -> DecisionPage:
    """The page of a step that comes with its revision and its request with partner and requester.

    `reader` is the member of staff who decides; None for the step's own contact.
    """
    terms = KeyTerms.from_json(step.revision.terms)
    registry = Registry.read(terms)
    change = change_of(step.request)
    return DecisionPage(
        request=step.request,
        step=step,
        question=ROLE_QUESTION[step.role],
        why=why_sentence(step.reason, step.conditions),
        partner=step.request.partner,
        partner_kind=label_of(Partner.Kind, terms.partner_kind),
        products=[name_of(product) for product in registry.products.values()],
        scopes=[_scope_line(code, registry.scopes.get(code)) for code in terms.scopes],
        environment=terms.environment,
        environment_label=label_of(Environment, terms.environment),
        amount=terms.monthly_amount_jpy if terms.contract else 0,
        starts_on=_day(terms.contract_starts_on),
        ends_on=_day(terms.contract_ends_on),
        purpose=terms.purpose,
        purpose_category=label_of(PurposeCategory, terms.purpose_category),
        digest=bytes(step.revision.digest).hex(),
        sections=describe_terms(terms),
        problems=[
            *(why_stale(change) if change else []),
            *(sentence for _field, sentence in find_problems(terms, registry, now=now)),
        ],
        addresses=[contact.email for contact in (registry.recipient, registry.consent_contact) if contact],
        change=change,
        changes=_differences(change, step.revision, is_staff=reader is not None, now=now),
        since=since_last_answer(step, reader.pk if reader else None),
    )


def _differences(
    change: KeyChange | None, revision: Revision, *, is_staff: bool, now: datetime
) -> list[TermChange]:
    """Old and new; staff see what the key really uses as well, which is not for the rights-holder."""
    if change is None:
        return []
    if is_staff:
        return difference_with_use(change, revision, now=now)
    return difference_of(change, revision)


def _scope_line(code: str, scope: Scope | None) -> ScopeLine:
    if scope is None:  # removed from the catalogue since: its code is what was asked for
        return ScopeLine(name=code, code=code, is_write=False, is_admin=False)
    return ScopeLine(name=name_of(scope), code=code, is_write=scope.is_write, is_admin=scope.is_admin)


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def open_step_of(request: Request) -> Step | None:
    """The step that waits for a decision, if any, with all that `decision_page` needs."""
    return (
        request.steps.filter(state=Step.State.OPEN)
        .select_related("revision", "contact", "request__partner", "request__requester")
        .first()
    )


def masked(address: str) -> str:
    """`s•••@example.jp`: enough to know one's own address by, too little to learn it from."""
    local, _at, domain = address.rpartition("@")
    return f"{local[:1]}•••@{domain}"
