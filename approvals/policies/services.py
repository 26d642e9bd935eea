"""Writing a version of the policy, and putting it in force by two people (A2).

Locks, in this order: the version in force, the draft, the person. Who submits a request holds the version in
force by a key-share lock, so that each request goes by the version that was in force when it was submitted.
"""

from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Max, QuerySet
from django.utils.translation import gettext_lazy as _

from accounts import second_factor
from accounts.models import User
from accounts.roles import MATRIX, Permission
from approvals.models import PolicyVersion, Request
from approvals.policies.lint import Finding, is_refused, lint
from approvals.policies.reader import RulesError, parse_rules
from approvals.policies.selectors.in_force import current_policy
from approvals.policies.selectors.policies import house_now, known_now
from audit.actions import Action
from audit.services import record
from core.actors import Actor
from core.errors import Conflict, Invalid, NotAllowed
from notifications.services import enqueue

State = PolicyVersion.State
TICK = timedelta(microseconds=1)


@transaction.atomic
def start_policy_draft(*, actor: Actor, by: User, source: PolicyVersion, now: datetime) -> PolicyVersion:
    """A draft of one's own with the steps of another version (usually the one in force)."""
    _require(by, Permission.EDIT_POLICY)
    _lock_in_force()  # two people who begin at once get two numbers
    newest = PolicyVersion.objects.aggregate(number=Max("number"))["number"]
    policy = PolicyVersion.objects.create(
        number=newest + 1, rules=source.rules, source=source, author=by, created_at=now, changed_at=now
    )
    _record(Action.POLICY_DRAFTED, actor, policy, now, {"source": str(source)})
    return policy


@transaction.atomic
def save_policy_draft(
    *,
    actor: Actor,
    by: User,
    policy: PolicyVersion,
    version: int,
    rules: dict[str, Any],
    reason: str,
    now: datetime,
) -> PolicyVersion:
    """Keep a draft's steps and reason. Invalid when the rules are not of the form (the editor says where)."""
    policy = _lock_own(policy, by=by, version=version, states=[State.DRAFT])
    try:
        parse_rules(rules, known_now())
    except RulesError as error:
        raise Invalid(error.problems[0].sentence, field="rules") from error
    before, after = changed_steps(policy.rules, rules)
    policy.rules, policy.reason = rules, reason.strip()
    _bump(policy, now, "rules", "reason")
    _record(Action.POLICY_EDITED, actor, policy, now, {"before": before, "after": after})
    return policy


@transaction.atomic
def propose_policy(
    *, actor: Actor, by: User, policy: PolicyVersion, version: int, reason: str, now: datetime
) -> PolicyVersion:
    """Ask for the second person. Invalid without a reason, or when the linter refuses the policy."""
    policy = _lock_own(policy, by=by, version=version, states=[State.DRAFT])
    if not reason.strip():
        raise Invalid(_("Say why the path is to change: the second person will read it."), field="reason")
    findings = _checked(policy)
    policy.state, policy.reason, policy.proposed_at = State.PROPOSED, reason.strip(), now
    _bump(policy, now, "state", "reason", "proposed_at")
    before, after = changed_steps(current_policy(now).rules, policy.rules)
    payload = {"before": before, "after": after, "reason": policy.reason, "warnings": _codes(findings)}
    _record(Action.POLICY_PROPOSED, actor, policy, now, payload)
    for person in who_may_decide(policy):
        enqueue(
            "policy_proposed",
            recipient_ref=person.public_id,
            context={"policy": policy.number, "version": policy.version},
            dedupe_key=f"policy_proposed:{policy.number}:{policy.version}:{person.public_id}",
            objects=[_object(policy)],
            now=now,
        )
    return policy


@transaction.atomic
def take_back_policy(
    *, actor: Actor, by: User, policy: PolicyVersion, version: int, now: datetime
) -> PolicyVersion:
    """The author makes the proposal a draft again, to change it."""
    policy = _lock_own(policy, by=by, version=version, states=[State.PROPOSED])
    policy.state, policy.proposed_at = State.DRAFT, None
    _bump(policy, now, "state", "proposed_at")
    _record(Action.POLICY_TAKEN_BACK, actor, policy, now, {})
    return policy


@transaction.atomic
def withdraw_policy(
    *, actor: Actor, by: User, policy: PolicyVersion, version: int, now: datetime
) -> PolicyVersion:
    """The author gives a draft or a proposal up; it is kept as it was."""
    policy = _lock_own(policy, by=by, version=version, states=[State.DRAFT, State.PROPOSED])
    policy.state = State.WITHDRAWN
    _bump(policy, now, "state")
    _record(Action.POLICY_WITHDRAWN, actor, policy, now, {})
    return policy


@transaction.atomic
def put_in_force(
    *,
    actor: Actor,
    by: User,
    policy: PolicyVersion,
    version: int,
    instead_of: int,
    has_read_warnings: bool,
    second_factor_at: datetime | None,
    now: datetime,
) -> PolicyVersion:
    """The second person's yes: in force for every request that is submitted from now on.

    `instead_of` is the number of the version in force that the page compared it with: Conflict when another
    came in force meanwhile. Raises NotAllowed (the author, no permission), SecondFactorNeeded, Invalid (the
    linter refuses it now, or its warnings were not read).
    """
    in_force = _lock_in_force()
    policy, by = _lock_for_decision(
        policy, by=by, version=version, second_factor_at=second_factor_at, now=now
    )
    if in_force.number != instead_of:
        raise Conflict(
            _("Another version came in force meanwhile. Look at the differences again before you decide.")
        )
    findings = _checked(policy)
    if findings and not has_read_warnings:
        raise Invalid(_("Confirm that you have read the warnings."), field="has_read_warnings")
    last = Request.objects.filter(policy=in_force).aggregate(at=Max("submitted_at"))["at"]
    earlier = [moment + TICK for moment in (in_force.in_force_from, last) if moment is not None]
    policy.state, policy.decider, policy.decided_at = State.IN_FORCE, by, now
    policy.in_force_from = max(now, *earlier)
    _bump(policy, now, "state", "decider", "decided_at", "in_force_from")
    before, after = changed_steps(in_force.rules, policy.rules)
    payload = {"before": before, "after": after, "replaces": str(in_force), "warnings": _codes(findings)}
    _record(Action.POLICY_PUT_IN_FORCE, actor, policy, now, payload | {"reason": policy.reason})
    _tell_author(policy, now)
    return policy


@transaction.atomic
def reject_policy(
    *,
    actor: Actor,
    by: User,
    policy: PolicyVersion,
    version: int,
    reason: str,
    second_factor_at: datetime | None,
    now: datetime,
) -> PolicyVersion:
    """The second person's no, with a reason; the proposal is kept as it was."""
    policy, by = _lock_for_decision(
        policy, by=by, version=version, second_factor_at=second_factor_at, now=now
    )
    if not reason.strip():
        raise Invalid(_("A rejection needs a reason: the author will read it."), field="reason")
    policy.state, policy.decider, policy.decided_at = State.REJECTED, by, now
    policy.decision_reason = reason.strip()
    _bump(policy, now, "state", "decider", "decided_at", "decision_reason")
    _record(Action.POLICY_REJECTED, actor, policy, now, {"reason": policy.decision_reason})
    _tell_author(policy, now)
    return policy


def hold_policy(now: datetime) -> PolicyVersion:
    """The version in force, held until the transaction ends: no other comes in force before that.

    For whoever submits. Those who submit do not wait for each other, only for somebody who is just putting
    another version in force.
    """
    while True:
        policy = current_policy(now)
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM approvals_policyversion WHERE id = %s FOR KEY SHARE", [policy.pk])
        if current_policy(now) == policy:
            return policy


def who_may_decide(policy: PolicyVersion) -> QuerySet[User]:
    """Active staff who may put this version in force or reject it: all with the permission but its author."""
    roles = [role.value for role, permissions in MATRIX.items() if Permission.APPROVE_POLICY in permissions]
    found: QuerySet[User] = User.objects.with_role(*roles)
    return found if policy.author_id is None else found.exclude(pk=policy.author_id)


def changed_steps(before: dict[str, Any], after: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """The steps that differ, by their place from 1, in codes: for the audit log, which knows no languages."""
    old, new = ([_step_code(step) for step in rules["steps"]] for rules in (before, after))
    places = range(max(len(old), len(new)))
    pairs = {f"{n + 1}": ("".join(old[n : n + 1]), "".join(new[n : n + 1])) for n in places}
    differing = {place: pair for place, pair in pairs.items() if pair[0] != pair[1]}
    return {p: pair[0] for p, pair in differing.items()}, {p: pair[1] for p, pair in differing.items()}


def _step_code(step: dict[str, Any]) -> str:
    when = ", ".join(f"{c['fact']} {c['op']} {c['value']}" for c in step["when"]) or "always"
    more = {name: step[name] for name in ("n", "people", "second_factor", "deadline_hours") if name in step}
    return "; ".join([f"{step['role']}: {when}", *(f"{name} {value}" for name, value in more.items())])


def _checked(policy: PolicyVersion) -> list[Finding]:
    """The warnings about a policy; Invalid when it is refused."""
    house = house_now()
    try:
        rules = parse_rules(policy.rules, house.known)
    except RulesError as error:
        raise Invalid(error.problems[0].sentence) from error
    findings = lint(rules, house)
    if is_refused(findings):
        raise Invalid(_("This policy is not safe as it is. The page says what has to be mended."))
    return findings


def _codes(findings: list[Finding]) -> list[str]:
    return sorted({finding.code for finding in findings})


def _lock_in_force() -> PolicyVersion:
    """The version in force, locked; looked for again behind the lock, on which a rival may have waited."""
    while True:
        found = PolicyVersion.objects.exclude(in_force_from=None).latest("in_force_from", "number")
        locked = PolicyVersion.objects.select_for_update(of=("self",)).get(pk=found.pk)
        if PolicyVersion.objects.exclude(in_force_from=None).latest("in_force_from", "number") == locked:
            return locked


def _lock(policy: PolicyVersion, *, version: int, states: list[PolicyVersion.State]) -> PolicyVersion:
    locked = PolicyVersion.objects.select_for_update(of=("self",)).select_related("author").get(pk=policy.pk)
    if locked.state not in states:
        raise Conflict(
            _("This version is “%(state)s” now, so this is no longer possible.")
            % {"state": locked.get_state_display()}
        )
    if locked.version != version:
        raise Conflict(_("The draft was changed meanwhile, perhaps in another window. Look at it again."))
    return locked


def _lock_own(
    policy: PolicyVersion, *, by: User, version: int, states: list[PolicyVersion.State]
) -> PolicyVersion:
    _require(by, Permission.EDIT_POLICY)
    if policy.author_id != by.pk:
        raise NotAllowed(_("Only its author may do this. Begin a draft of your own from it."))
    return _lock(policy, version=version, states=states)


def _lock_for_decision(
    policy: PolicyVersion, *, by: User, version: int, second_factor_at: datetime | None, now: datetime
) -> tuple[PolicyVersion, User]:
    locked = _lock(policy, version=version, states=[State.PROPOSED])
    by = User.objects.select_for_update(no_key=True).get(pk=by.pk)
    _require(by, Permission.APPROVE_POLICY)
    if locked.author_id == by.pk:
        raise NotAllowed(_("A second person decides on a policy: not its author."))
    second_factor.require_recent(second_factor_at, now=now)
    return locked, by


def _require(by: User, permission: Permission) -> None:
    if not by.may(permission):
        raise NotAllowed(_("Your roles do not allow this."))


def _bump(policy: PolicyVersion, now: datetime, *fields: str) -> None:
    policy.version += 1
    policy.changed_at = now
    policy.save(update_fields=["version", "changed_at", *fields])


def _object(policy: PolicyVersion) -> str:
    return f"policy:{policy}"


def _record(
    action: Action, actor: Actor, policy: PolicyVersion, now: datetime, payload: dict[str, Any]
) -> None:
    record(action, actor=actor, objects=[_object(policy)], payload=payload, now=now)


def _tell_author(policy: PolicyVersion, now: datetime) -> None:
    assert policy.author is not None  # the database knows no decided version without an author
    enqueue(
        "policy_decided",
        recipient_ref=policy.author.public_id,
        context={"policy": policy.number},
        dedupe_key=f"policy_decided:{policy.number}",
        objects=[_object(policy)],
        now=now,
    )
