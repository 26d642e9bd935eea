"""Drafting, submitting, withdrawing and expiring requests (R1, R5, A5)."""

import hashlib
from datetime import datetime
from typing import Any

import rfc8785
from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from approvals.access import require_may_request
from approvals.changes.services.changing import Wish, fix_change
from approvals.models import Request, Revision, Step, StepLink
from approvals.path.services.locking import lock_for_requester, save_request
from approvals.path.services.path import close_request, lay_path, open_next_step
from approvals.policies.selectors.in_force import path_for
from approvals.policies.services import hold_policy
from approvals.requests.drafts import draft_of
from approvals.requests.selectors.preview import facts_of
from approvals.requests.services.revising import carry_over, tell_those_asked
from audit.actions import Action
from audit.services import record
from core.actors import SYSTEM, Actor
from core.errors import Conflict, Invalid
from core.ids import next_public_id, refs
from keys.terms.checks import Registry, find_problems
from keys.terms.terms import KeyTerms
from notifications.services import enqueue
from partners.models import Partner

# The requester has it on the desk: it can be edited, submitted, withdrawn.
WITH_REQUESTER = [Request.State.DRAFT, Request.State.CHANGES_WANTED]


def digest_of(terms: KeyTerms, wish: Wish | None = None) -> bytes:
    """SHA-256 of the canonical JSON (RFC 8785) of what is asked for: what a decision is bound to (A6).

    For a change of a key, what it is based on, why and from when it is to be belong to it.
    """
    return hashlib.sha256(rfc8785.dumps(content_of(terms, wish))).digest()


def content_of(terms: KeyTerms, wish: Wish | None) -> dict[str, Any]:
    """What a revision holds: the terms, and of a change what it says beside them."""
    return terms.to_json() if wish is None else {**terms.to_json(), "change": wish.to_json()}


@transaction.atomic
def start_draft(*, actor: Actor, by: User, partner: Partner, now: datetime) -> Request:
    """A new, empty draft for a partner. NotAllowed without the permission to make requests."""
    return _draft(actor=actor, by=by, partner=partner, now=now)


@transaction.atomic
def copy_request(*, actor: Actor, by: User, request: Request, now: datetime) -> Request:
    """A new draft with the terms of a request that ended: what was rejected is asked for again, mended (R5).

    Whoever may see the request and make requests may copy it. Conflict while it is open.
    """
    if request.ended_at is None:
        raise Conflict(_("Only a request that has ended can be copied."))
    if request.kind == Request.Kind.CHANGE:
        raise Conflict(_("A change begins with what the key has now: ask for it again on the key's page."))
    revision = request.revisions.last()
    draft = draft_of(KeyTerms.from_json(revision.terms)) if revision else request.draft
    return _draft(
        actor=actor, by=by, partner=request.partner, draft=draft, title=request.title, source=request, now=now
    )


def _draft(
    *,
    actor: Actor,
    by: User,
    partner: Partner,
    now: datetime,
    draft: dict[str, Any] | None = None,
    title: str = "",
    source: Request | None = None,
) -> Request:
    require_may_request(by)
    if not partner.is_active:
        raise Conflict(_("This partner is not active."))
    request = Request.objects.create(
        public_id=next_public_id("KR"),
        requester=by,
        partner=partner,
        draft=draft or {},
        title=title,
        created_at=now,
        changed_at=now,
    )
    payload: dict[str, object] = {"kind": "new_key", "revision": 0}
    if source is not None:
        payload["note"] = f"copy of {source.public_id}"
    record(
        Action.REQUEST_DRAFTED, actor=actor, objects=refs(request, request.partner), payload=payload, now=now
    )
    return request


@transaction.atomic
def save_draft(
    *,
    actor: Actor,
    by: User,
    request: Request,
    version: int,
    draft: dict[str, Any],
    title: str,
    now: datetime,
) -> Request:
    """Keep the form as it is, complete or not; nothing is checked and nobody is asked (R1).

    `version` is the one that the form was opened with: Conflict when another tab saved meanwhile.
    """
    request = lock_for_requester(request, by=by, version=version, states=WITH_REQUESTER)
    require_may_request(by)
    changed = sorted(name for name in draft if draft[name] != request.draft.get(name))
    request.draft = draft
    request.title = title[:120]
    save_request(request, "draft", "title", now=now)
    record(
        Action.REQUEST_EDITED,
        actor=actor,
        objects=refs(request, request.partner),
        payload={"fields": changed},
        now=now,
    )
    return request


@transaction.atomic
def submit_request(
    *,
    actor: Actor,
    by: User,
    request: Request,
    version: int,
    terms: KeyTerms,
    draft: dict[str, Any] | None = None,
    wish: Wish | None = None,
    now: datetime,
) -> Request:
    """Fix the terms as a revision, lay the approval path and ask the first approver (R1, R5, A1).

    `draft` is the form behind the terms, kept beside them; `wish` is what a change of a key says beside them
    (R3). What was sent back goes by the policy that it was first submitted under (A2), and what nothing moved
    under still stands (A6). Raises Invalid for the first problem of the terms (the form shows them all),
    Conflict for a stale form or a partner that is not the request's.
    """
    request = lock_for_requester(request, by=by, version=version, states=WITH_REQUESTER)
    require_may_request(by)
    registry = _check_terms(request, terms, wish, now)
    way = fix_change(request=request, terms=terms, wish=wish, now=now) if wish else "none"
    policy = request.policy or hold_policy(now)
    revision = Revision.objects.create(
        request=request,
        number=request.revisions.count() + 1,
        terms=content_of(terms, wish),
        digest=digest_of(terms, wish),
        created_at=now,
    )
    planned = path_for(policy, facts_of(terms, registry, change=way))
    steps = lay_path(revision, planned, registry.consent_contact)
    request.state, request.submitted_at = Request.State.IN_REVIEW, now
    request.title, request.policy = terms.name, policy
    request.draft = request.draft if draft is None else draft
    save_request(request, "state", "title", "policy", "submitted_at", "draft", now=now)
    payload: dict[str, object] = {
        "revision": revision.number,
        "digest": revision.digest,
        "steps": [step.role for step in steps],
        "policy": policy.number,
    }
    if wish:
        payload |= {"key": request.change.key.public_id, "change": way}
    action = Action.REQUEST_SUBMITTED if revision.number == 1 else Action.REQUEST_RESUBMITTED
    record(action, actor=actor, objects=refs(request, request.partner), payload=payload, now=now)
    if revision.number > 1:
        carry_over(actor=actor, request=request, revision=revision, steps=steps, now=now)
    open_next_step(actor=actor, request=request, now=now)
    return request


def _check_terms(request: Request, terms: KeyTerms, wish: Wish | None, now: datetime) -> Registry:
    if terms.partner != request.partner.public_id:
        raise Conflict(_("These terms are for another partner than the request."))
    registry = Registry.read(terms)
    problems = find_problems(terms, registry, now=now)
    if problems:
        field, sentence = problems[0]
        raise Invalid(sentence, field=field)
    if (wish is None) != (request.kind == Request.Kind.NEW_KEY):
        raise Conflict(_("These terms are for another kind of request."))
    return registry


@transaction.atomic
def withdraw_request(*, actor: Actor, by: User, request: Request, version: int, now: datetime) -> Request:
    """The requester takes the request back; open links die and the asked approver is told (R5)."""
    request = lock_for_requester(
        request, by=by, version=version, states=[*WITH_REQUESTER, Request.State.IN_REVIEW]
    )
    record(Action.REQUEST_WITHDRAWN, actor=actor, objects=refs(request, request.partner), now=now)
    tell_those_asked("request_withdrawn", request, now=now)
    close_request(request, Request.State.WITHDRAWN, now=now)
    return request


def expire_requests(*, now: datetime, limit: int = 200) -> int:
    """End requests that nobody touched for 30 days: as expired, never as approved (A5). Safe to run twice."""
    actor = SYSTEM("approvals.expire_requests")
    with transaction.atomic():
        due = list(
            Request.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(
                state__in=[Request.State.IN_REVIEW, Request.State.CHANGES_WANTED],
                frozen_at=None,
                changed_at__lte=now - settings.REQUEST_LIFETIME,
            )
            .select_related("requester", "partner")
            .order_by("id")[:limit]
        )
        for request in due:
            asked = _asked_on_open_step(request)
            record(Action.REQUEST_EXPIRED, actor=actor, objects=refs(request, request.partner), now=now)
            close_request(request, Request.State.EXPIRED, now=now)
            for ref in dict.fromkeys([request.requester.public_id, *asked]):
                enqueue(
                    "request_expired",
                    recipient_ref=ref,
                    context={"request": request.public_id},
                    dedupe_key=f"request_expired:{request.public_id}:{ref}",
                    objects=refs(request),
                    now=now,
                )
    return len(due)


def _asked_on_open_step(request: Request) -> list[str]:
    """Who was asked last, also those whose link has run out since."""
    links = StepLink.objects.filter(step__request=request, step__state=Step.State.OPEN)
    people = [link.recipient for link in links.select_related("staff", "contact").order_by("id")]
    return [person.public_id for person in people if person.is_active]
