"""Drafting, submitting, withdrawing and expiring requests (R1, R5, A5)."""

import hashlib
from datetime import datetime
from typing import Any

import rfc8785
from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.roles import Permission
from approvals.access import require_requester
from approvals.models import PolicyVersion, Request, Revision, Step
from approvals.policy import Facts, plan_path
from approvals.services.path import close_request, open_next_step
from audit.actions import Action
from audit.services import record
from core.actors import SYSTEM, Actor
from core.errors import Conflict, Invalid, NotAllowed
from core.ids import next_public_id
from keys.terms import KeyTerms
from keys.terms_check import Registry, find_problems
from notifications.services import enqueue
from partners.models import Partner


def digest_of(terms: KeyTerms) -> bytes:
    """SHA-256 of the terms' canonical JSON (RFC 8785): what a decision is bound to (A6)."""
    return hashlib.sha256(rfc8785.dumps(terms.to_json())).digest()


def facts_of(terms: KeyTerms, registry: Registry) -> Facts:
    """What the policy looks at, of these terms."""
    internal = registry.plan is not None and registry.plan.is_internal
    return Facts(
        partner_kind=terms.partner_kind,
        monthly_amount_jpy=terms.monthly_amount_jpy,
        is_internal_without_contract=internal and not terms.contract,
        plan=terms.plan,
        environment=terms.environment,
        licence_level=terms.licence_level,
        purpose_category=terms.purpose_category,
    )


def current_policy(now: datetime) -> PolicyVersion:
    """The policy version in force (A2)."""
    return PolicyVersion.objects.filter(in_force_from__lte=now).latest("number")


@transaction.atomic
def start_draft(*, actor: Actor, by: User, partner: Partner, now: datetime) -> Request:
    """A new, empty draft for a partner. NotAllowed without the permission to make requests."""
    if not by.may(Permission.MAKE_REQUESTS):
        raise NotAllowed(_("Your roles do not allow making requests."))
    if not partner.is_active:
        raise Conflict(_("This partner is not active."))
    request = Request.objects.create(
        public_id=next_public_id("KR"),
        requester=by,
        partner=partner,
        created_at=now,
        changed_at=now,
    )
    record(
        Action.REQUEST_DRAFTED,
        actor=actor,
        objects=_objects(request),
        payload={"kind": "new_key", "revision": 0},
        now=now,
    )
    return request


@transaction.atomic
def save_draft(
    *, actor: Actor, by: User, request: Request, version: int, draft: dict[str, Any], title: str, now: datetime
) -> Request:
    """Keep the form as it is, complete or not; nothing is checked and nobody is asked (R1).

    `version` is the one that the form was opened with: Conflict when another tab saved meanwhile.
    """
    request = _lock(request, by=by, version=version, states=[Request.State.DRAFT])
    changed = sorted(name for name in draft if draft[name] != request.draft.get(name))
    request.draft = draft
    request.title = title[:120]
    _bump(request, now, "draft", "title")
    record(Action.REQUEST_EDITED, actor=actor, objects=_objects(request), payload={"fields": changed}, now=now)
    return request


@transaction.atomic
def submit_request(
    *, actor: Actor, by: User, request: Request, version: int, terms: KeyTerms, now: datetime
) -> Request:
    """Fix the terms as a revision, lay the approval path and ask the first approver (R1, R5, A1).

    Raises Invalid for the first problem of the terms (the form shows them all), Conflict for a stale form.
    """
    request = _lock(request, by=by, version=version, states=[Request.State.DRAFT])
    registry = Registry.read(terms)
    problems = find_problems(terms, registry, now=now)
    if problems:
        field, sentence = problems[0]
        raise Invalid(sentence, field=field)
    policy = current_policy(now)
    revision = Revision.objects.create(
        request=request,
        number=request.revisions.count() + 1,
        terms=terms.to_json(),
        digest=digest_of(terms),
        created_at=now,
    )
    steps = _lay_path(request, revision, policy, terms, registry)
    request.state = Request.State.IN_REVIEW
    request.title = terms.name
    request.policy = policy
    request.submitted_at = now
    _bump(request, now, "state", "title", "policy", "submitted_at")
    record(
        Action.REQUEST_SUBMITTED,
        actor=actor,
        objects=_objects(request),
        payload={
            "revision": revision.number,
            "digest": revision.digest,
            "steps": [step.role for step in steps],
            "policy": policy.number,
        },
        now=now,
    )
    open_next_step(actor=actor, request=request, now=now)
    return request


def _lay_path(
    request: Request, revision: Revision, policy: PolicyVersion, terms: KeyTerms, registry: Registry
) -> list[Step]:
    planned = plan_path(policy.rules, facts_of(terms, registry))
    return Step.objects.bulk_create(
        Step(
            request=request,
            revision=revision,
            position=position,
            role=step.role,
            reason=step.why,
            n_needed=step.n_needed,
            needs_second_factor=step.needs_second_factor,
            contact=registry.consent_contact if step.role == "rights_holder" else None,
        )
        for position, step in enumerate(planned, start=1)
    )


@transaction.atomic
def withdraw_request(*, actor: Actor, by: User, request: Request, version: int, now: datetime) -> Request:
    """The requester takes the request back; open links die and the asked approver is told (R5)."""
    request = _lock(request, by=by, version=version, states=[Request.State.DRAFT, Request.State.IN_REVIEW])
    record(Action.REQUEST_WITHDRAWN, actor=actor, objects=_objects(request), now=now)
    for step in request.steps.filter(state=Step.State.OPEN):
        for link in step.links.filter(used_at=None, died_at=None).select_related("staff", "contact"):
            person = link.staff or link.contact
            assert person is not None  # approvals_link_one_recipient
            enqueue(
                "request_withdrawn",
                recipient_ref=person.public_id,
                context={"request": request.public_id},
                dedupe_key=f"request_withdrawn:{request.public_id}:{person.public_id}",
                objects=[f"request:{request.public_id}"],
                now=now,
            )
    close_request(request, Request.State.WITHDRAWN, now=now)
    return request


def expire_requests(*, now: datetime, limit: int = 200) -> int:
    """End requests that nobody touched for 30 days: as expired, never as approved (A5). Safe to run twice."""
    actor = SYSTEM("approvals.expire_requests")
    with transaction.atomic():
        due = list(
            Request.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(state=Request.State.IN_REVIEW, changed_at__lte=now - settings.REQUEST_LIFETIME)
            .select_related("requester", "partner")
            .order_by("id")[:limit]
        )
        for request in due:
            record(Action.REQUEST_EXPIRED, actor=actor, objects=_objects(request), now=now)
            close_request(request, Request.State.EXPIRED, now=now)
            enqueue(
                "request_expired",
                recipient_ref=request.requester.public_id,
                context={"request": request.public_id},
                dedupe_key=f"request_expired:{request.public_id}",
                objects=[f"request:{request.public_id}"],
                now=now,
            )
    return len(due)


def _lock(request: Request, *, by: User, version: int, states: list[Request.State]) -> Request:
    locked = Request.objects.select_for_update(of=("self",)).select_related("partner", "requester").get(
        pk=request.pk
    )
    require_requester(by, locked)
    if locked.state not in states:
        raise Conflict(
            _("The request is “%(state)s” now, so this is no longer possible.")
            % {"state": locked.get_state_display()}
        )
    if locked.version != version:
        raise Conflict(_("The request was changed meanwhile, perhaps in another window. Look at it again."))
    return locked


def _bump(request: Request, now: datetime, *fields: str) -> None:
    request.version += 1
    request.changed_at = now
    request.save(update_fields=["version", "changed_at", *fields])


def _objects(request: Request) -> list[str]:
    return [f"request:{request.public_id}", f"partner:{request.partner.public_id}"]
