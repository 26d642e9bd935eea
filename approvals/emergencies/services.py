"""Breaking the glass: security issues a key at once, the approvals run after it (A8)."""

import unicodedata
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts import second_factor
from accounts.models import User
from accounts.roles import Permission
from approvals.models import Emergency, Request
from approvals.path.services.emergency_end import tell_all
from approvals.path.services.locking import lock_request
from approvals.requests.services.requests import submit_request
from audit.actions import Action
from audit.services import record
from core.actors import Actor
from core.errors import Conflict, Invalid, NotAllowed
from core.ids import refs
from keys.life.services.issuing import issue_key
from keys.models import Key, Plan, Scope
from keys.terms.terms import KeyTerms, office_day

ONLY_ADMIN_SCOPES = _("Only administrative scopes are asked for: no key has these before its approvals.")


def capped(terms: KeyTerms, plan: Plan, *, now: datetime) -> KeyTerms:
    """What the key may do until it is approved: no more than its plan gives anybody, for a few days.

    Scopes that administer are left out (docs/decisions/0007): the rest may be empty, and then nothing can be
    issued.
    """
    last = office_day(now) + timedelta(days=settings.EMERGENCY_KEY_DAYS)
    admin = set(Scope.objects.filter(code__in=terms.scopes, is_admin=True).values_list("code", flat=True))
    return replace(
        terms,
        scopes=tuple(code for code in terms.scopes if code not in admin),
        rpm=_least(terms.rpm, plan.default_rpm),
        rph=_least(terms.rph, plan.default_rph),
        burst=_least(terms.burst, plan.default_burst),
        concurrency=_least(terms.concurrency, plan.default_concurrency),
        expires_on=min(date.fromisoformat(terms.expires_on), last).isoformat(),
        auto_renew=False,
    )


def _least(asked: int, default: int) -> int:
    """The smaller of two limits, where 0 is no limit at all."""
    return min(asked, default) if asked and default else asked or default


@transaction.atomic
def break_glass(
    *,
    actor: Actor,
    by: User,
    request: Request,
    version: int,
    terms: KeyTerms,
    draft: dict[str, Any],
    reason: str,
    incident: str,
    typed_number: str,
    second_factor_at: datetime | None,
    now: datetime,
) -> Request:
    """Issue the key of a draft now, with small limits, and start its approvals.

    Whoever breaks the glass is the request's requester and so decides none of its steps (A4). Raises
    NotAllowed (no such permission, somebody else's draft), SecondFactorNeeded, Invalid (reason, number,
    terms), Conflict (stale form, a rights-holder whose consent comes first, administrative scopes alone).
    """
    _check_person(by, second_factor_at, now)
    _check_words(request, reason, typed_number)
    request = _lock_draft(request)
    due_at = now + settings.EMERGENCY_LIFETIME
    # Before the first step opens: its deadline is the emergency's.
    emergency = Emergency.objects.create(
        request=request, reason=reason.strip(), incident=incident.strip(), broken_at=now, due_at=due_at
    )
    request = submit_request(
        actor=actor, by=by, request=request, version=version, terms=terms, draft=draft, now=now
    )
    plan = Plan.objects.get(code=terms.plan)  # submit_request has made sure of it
    small = capped(terms, plan, now=now)
    if not small.scopes:
        raise Conflict(ONLY_ADMIN_SCOPES)
    key = issue_key(
        actor=actor,
        terms=small,
        owner=by,
        request_ref=request.public_id,
        decisions=[],
        provisional_until=due_at,
        now=now,
    )
    request.key, request.emergency_at = key, now
    request.save(update_fields=["key", "emergency_at"])
    _record_issued(actor, emergency, key, now)
    tell_all("emergency_issued", request, now=now)
    return request


def _check_person(by: User, second_factor_at: datetime | None, now: datetime) -> None:
    if not by.may(Permission.BREAK_GLASS):
        raise NotAllowed(_("Your roles do not allow issuing a key in an emergency."))
    second_factor.require_recent(second_factor_at, now=now)


def _check_words(request: Request, reason: str, typed_number: str) -> None:
    if not reason.strip():
        raise Invalid(_("Say what the emergency is."), field="reason")
    # As app.js compares it: a Japanese keyboard may write the number in full width.
    if unicodedata.normalize("NFKC", typed_number).strip().upper() != request.public_id:
        raise Invalid(_("Type the request's number exactly as it is written above."), field="typed_number")


def _lock_draft(request: Request) -> Request:
    request = lock_request(request.pk)
    if request.kind != Request.Kind.NEW_KEY or request.state != Request.State.DRAFT:
        raise Conflict(_("Only a new key can be issued in an emergency."))
    if request.partner.needs_consent:
        raise Conflict(_("A rights-holder's data is theirs: no key for it goes before their consent."))
    return request


def _record_issued(actor: Actor, emergency: Emergency, key: Key, now: datetime) -> None:
    request = emergency.request
    record(
        Action.EMERGENCY_ISSUED,
        actor=actor,
        objects=refs(request, key, request.partner),
        payload={
            "key": key.public_id,
            "reason": emergency.reason,
            "incident": emergency.incident,
            "due_at": emergency.due_at,
        },
        now=now,
    )
