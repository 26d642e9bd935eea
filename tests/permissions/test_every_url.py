"""Every URL of the project × every role (S2): who gets in, who is refused, who is sent to sign in.

A URL without a row here fails the first test. A row says by which method the URL is asked and who may.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.db import transaction
from django.http.response import HttpResponseBase as Response
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from accounts.models import User
from accounts.roles import MATRIX, Permission, Role
from approvals.decisions.selectors.receipts import receipt_url, withdraw_url
from approvals.deputies.services.deputies import give_delegation
from approvals.disputes.services.doubts import raise_doubt
from approvals.models import Decision, Delegation, PolicyVersion, Request, Step, StepLink
from approvals.policies.services import start_policy_draft
from approvals.requests.drafts import draft_of
from audit.models import Event
from core.actors import staff_actor
from core.links import token_of
from intake.models import ReceivedMail
from intake.services.receiving import receive_mail
from keys.life.services.quarantine import quarantine_key
from keys.models import Delivery, Key
from keys.status.services import suspend_key
from keys.workspaces.services.grants import grant_workspace
from notifications.models import Message
from partners.models import Contact
from tests.cast import Cast, consent, decide, make_draft, make_staff, sign_in
from tests.changes import ask_change
from verifier.callers.blocking import block_address
from verifier.models import BlockedAddress, Gateway
from verifier.portal.services import add_gateway

P = Permission
PUBLIC = "anybody, signed in or not"
STAFF = "every member of staff"
OWN_PASSKEY = "nobody but the passkey's holder, and nobody here has one"
SEERS = frozenset(role for role in Role if MATRIX[role] & {P.SEE_REQUESTS, P.MAKE_REQUESTS})
SEES_DEPUTIES = frozenset(role for role in Role if MATRIX[role] & {P.DECIDE, P.SEE_AUDIT})
EXPORTERS_OF_EVENTS = frozenset(role for role in Role if {P.SEE_AUDIT, P.EXPORT} <= MATRIX[role])
CODE_HOLDER = "whoever typed the code from the registered address, and nobody here has"
POLICY_AUTHOR = frozenset({Role.LEGAL})  # whose draft of the policy it is, in this world
BREAKERS = frozenset({Role.SECURITY})  # whose draft it is, in this world
MAKERS = frozenset({Role.REQUESTER})  # whose request it is, in this world


@dataclass
class World:
    """One of each thing that a URL can name."""

    cast: Cast
    key: Key
    stopped: Key
    delivery: Delivery
    request: Request
    change: Request
    draft: Request
    policy: PolicyVersion
    step: Step
    staff_link: StepLink
    consent_link: StepLink
    decision: Decision
    receipt: str
    delegation: Delegation
    not_me: str
    emergency_draft: Request
    doubted: Request
    withdrawal: str
    gateway: Gateway
    block: BlockedAddress
    event: Event
    message: Message
    letter: ReceivedMail
    nobody: User
    cookies: dict[str, str] = field(default_factory=dict)

    def browser_of(self, user: User) -> Client:
        """A browser in which this person signed in a moment ago."""
        client = Client()
        client.cookies.load(self.cookies[user.public_id])
        return client

    @property
    def contact(self) -> Contact:
        return self.key.recipient


@dataclass(frozen=True)
class Row:
    """Who may ask for a URL (`method`), and what stands in its path."""

    who: Permission | str | frozenset[Role]
    method: str = "GET"
    path: Callable[[World], dict[str, Any]] = lambda _: {}

    def lets_in(self, role: str) -> bool:
        if self.who in {PUBLIC, STAFF}:
            return True
        if self.who in {OWN_PASSKEY, CODE_HOLDER}:
            return False
        if isinstance(self.who, frozenset):
            return role in self.who
        return bool(role) and self.who in MATRIX[Role(role)]


def partner(w: World) -> dict[str, Any]:
    return {"number": w.cast.company.public_id}


def key(w: World) -> dict[str, Any]:
    return {"number": w.key.public_id}


def stopped(w: World) -> dict[str, Any]:
    return {"number": w.stopped.public_id}


def grant(w: World) -> dict[str, Any]:
    return {**key(w), "uid": w.key.grants.get().uid}


def staff(w: World) -> dict[str, Any]:
    return {"public_id": w.cast.pm2.public_id}


def delivery(w: World) -> dict[str, Any]:
    return {"token": token_of(bytes(w.delivery.nonce), purpose="delivery")}


def request(w: World) -> dict[str, Any]:
    return {"number": w.request.public_id}


def change(w: World) -> dict[str, Any]:
    return {"number": w.change.public_id}


def policy(w: World) -> dict[str, Any]:
    return {"number": str(w.cast.policy)}


def draft_policy(w: World) -> dict[str, Any]:
    return {"number": str(w.policy)}


def block(w: World) -> dict[str, Any]:
    return {"number": w.block.pk}


def gateway(w: World) -> dict[str, Any]:
    return {"number": w.gateway.public_id}


def staff_link(w: World) -> dict[str, Any]:
    return {"token": token_of(bytes(w.staff_link.nonce), purpose="step")}


def consent_link(w: World) -> dict[str, Any]:
    return {"token": token_of(bytes(w.consent_link.nonce), purpose="step")}


def letter(w: World) -> dict[str, Any]:
    return {"number": w.letter.public_id}


def event(w: World) -> dict[str, Any]:
    return {"uid": w.event.uid}


ROWS: dict[str, Row] = {
    "healthz": Row(PUBLIC),
    "readyz": Row(PUBLIC),
    # keys
    "keys:key-list": Row(P.SEE_KEYS),
    "keys:key-export": Row(P.EXPORT, "POST"),
    "keys:product-list": Row(P.SEE_KEYS),
    "keys:key-detail": Row(P.SEE_KEYS, "GET", key),
    "keys:key-suspend": Row(P.SUSPEND_KEYS, "POST", key),
    "keys:key-quarantine": Row(P.SUSPEND_KEYS, "POST", key),
    "keys:key-quarantine-end": Row(P.SUSPEND_KEYS, "POST", stopped),
    "keys:key-reactivate": Row(P.SUSPEND_KEYS, "POST", stopped),
    "keys:key-revoke": Row(P.REVOKE_KEYS, "POST", key),
    "keys:key-redeliver": Row(P.REDELIVER_KEYS, "POST", key),
    "keys:delivery-collect": Row(PUBLIC, "GET", delivery),
    "keys:delivery-confirm": Row(PUBLIC, "POST", delivery),
    "keys:delivery-renew": Row(PUBLIC, "POST", delivery),
    "keys:delivery-test": Row(PUBLIC, "POST", delivery),
    # requests and approvals; "home" is everybody's own queue
    "home": Row(STAFF),
    "approvals:queue": Row(P.SEE_REQUESTS),
    "approvals:numbers": Row(P.SEE_REQUESTS),
    "approvals:request-list": Row(SEERS),
    "approvals:request-new": Row(P.MAKE_REQUESTS),
    "approvals:request-detail": Row(SEERS, "GET", request),
    "approvals:request-edit": Row(MAKERS, "POST", lambda w: {"number": w.draft.public_id}),
    "approvals:request-path-panel": Row(MAKERS, "POST", lambda w: {"number": w.draft.public_id}),
    "approvals:request-withdraw": Row(MAKERS, "POST", request),
    "approvals:request-pull-back": Row(MAKERS, "POST", request),
    "approvals:request-copy": Row(P.MAKE_REQUESTS, "POST", request),
    "approvals:change-new": Row(P.MAKE_REQUESTS, "POST", key),
    "approvals:change-cancel": Row(frozenset({Role.REQUESTER, Role.SECURITY}), "POST", change),
    "approvals:change-roll-back": Row(P.ROLL_BACK_CHANGES, "POST", change),
    "approvals:change-look": Row(MAKERS, "POST", change),
    "approvals:key-changes-panel": Row(P.SEE_KEYS, "GET", key),
    "approvals:key-approvals-panel": Row(P.SEE_KEYS, "GET", key),
    "approvals:partner-requests-panel": Row(SEERS, "GET", partner),
    "approvals:step-decide": Row(frozenset({Role.PM}), "POST", request),
    "approvals:step-ask-again": Row(P.EDIT_PARTNERS, "POST", request),
    "approvals:step-decided": Row(frozenset({Role.PM}), "GET", lambda w: {"uid": w.decision.uid}),
    "approvals:policy-list": Row(SEERS),
    "approvals:policy-detail": Row(SEERS, "GET", policy),
    "approvals:policy-dry-run": Row(P.SEE_REQUESTS, "GET", policy),
    "approvals:policy-copy": Row(P.EDIT_POLICY, "POST", policy),
    "approvals:policy-edit": Row(POLICY_AUTHOR, "POST", draft_policy),
    "approvals:policy-propose": Row(POLICY_AUTHOR, "POST", draft_policy),
    "approvals:policy-take-back": Row(POLICY_AUTHOR, "POST", draft_policy),
    "approvals:policy-withdraw": Row(POLICY_AUTHOR, "POST", draft_policy),
    "approvals:policy-decide": Row(P.APPROVE_POLICY, "POST", draft_policy),
    "approvals:link-decide": Row(frozenset({Role.PM}), "GET", staff_link),
    "approvals:link-renew": Row(PUBLIC, "POST", staff_link),
    "approvals:consent-start": Row(PUBLIC, "GET", consent_link),
    "approvals:consent-code": Row(PUBLIC, "POST", consent_link),
    "approvals:consent-terms": Row(PUBLIC, "POST", consent_link),
    "approvals:consent-answer": Row(CODE_HOLDER, "POST", consent_link),
    "approvals:consent-language": Row(PUBLIC, "POST", consent_link),
    "approvals:consent-renew": Row(PUBLIC, "POST", consent_link),
    "approvals:receipt": Row(PUBLIC, "GET", lambda w: {"token": w.receipt}),
    "approvals:delegation-list": Row(SEES_DEPUTIES),
    "approvals:delegation-give": Row(P.DECIDE, "POST"),
    "approvals:standing-deputy": Row(P.DECIDE, "POST"),
    "approvals:delegation-end": Row(
        frozenset({Role.PM, Role.LEGAL, Role.ADMIN}), "POST", lambda w: {"number": w.delegation.public_id}
    ),
    "approvals:role-deputy-add": Row(P.MANAGE_STAFF, "POST"),
    "approvals:role-deputy-remove": Row(
        P.MANAGE_STAFF, "POST", lambda w: {"role": "pm", "public_id": w.cast.legal.public_id}
    ),
    # mails to the request address
    "intake:mail-list": Row(P.SEE_MAIL),
    "intake:mail-detail": Row(P.SEE_MAIL, "GET", letter),
    "intake:mail-original": Row(P.SEE_MAIL, "GET", letter),
    "intake:mail-take": Row(P.MAKE_REQUESTS, "POST", letter),
    "intake:mail-set-aside": Row(P.MAKE_REQUESTS, "POST", letter),
    "intake:mail-bring-back": Row(P.MAKE_REQUESTS, "POST", letter),
    "approvals:not-me": Row(PUBLIC, "GET", lambda w: {"token": w.not_me}),
    "approvals:emergency-issue": Row(BREAKERS, "POST", lambda w: {"number": w.emergency_draft.public_id}),
    "approvals:doubt-look": Row(P.CLEAR_DOUBTS, "POST", lambda w: {"number": w.doubted.public_id}),
    "approvals:withdraw-start": Row(PUBLIC, "GET", lambda w: {"token": w.withdrawal}),
    "approvals:withdraw-code": Row(PUBLIC, "POST", lambda w: {"token": w.withdrawal}),
    "approvals:withdraw-sign": Row(PUBLIC, "POST", lambda w: {"token": w.withdrawal}),
    "approvals:withdraw-answer": Row(CODE_HOLDER, "POST", lambda w: {"token": w.withdrawal}),
    # gateways
    "verifier:block-list": Row(P.SEE_GATEWAYS),
    "verifier:block-lift": Row(P.REVOKE_KEYS, "POST", block),
    "verifier:gateway-list": Row(P.SEE_GATEWAYS),
    "verifier:gateway-detail": Row(P.SEE_GATEWAYS, "GET", gateway),
    "verifier:gateway-add": Row(P.MANAGE_GATEWAYS, "POST"),
    "verifier:gateway-change": Row(P.MANAGE_GATEWAYS, "POST", gateway),
    "verifier:gateway-disable": Row(P.MANAGE_GATEWAYS, "POST", gateway),
    "verifier:credential-rotate": Row(P.MANAGE_GATEWAYS, "POST", gateway),
    "verifier:credential-revoke": Row(
        P.MANAGE_GATEWAYS,
        "POST",
        lambda w: gateway(w) | {"credential_id": w.gateway.credentials.get().credential_id},
    ),
    # partners
    "partners:partner-list": Row(P.SEE_PARTNERS),
    "partners:partner-detail": Row(P.SEE_PARTNERS, "GET", partner),
    "partners:partner-register": Row(P.EDIT_PARTNERS, "POST"),
    "partners:partner-change": Row(P.EDIT_PARTNERS, "POST", partner),
    "partners:contact-add": Row(P.EDIT_PARTNERS, "POST", partner),
    "partners:contract-add": Row(P.EDIT_PARTNERS, "POST", partner),
    "keys:grant-list": Row(P.SEE_KEYS, "GET", key),
    "keys:grant-add": Row(P.GRANT_WORKSPACES, "GET", key),
    "keys:grant-end": Row(P.GRANT_WORKSPACES, "GET", grant),
    "keys:workspace-limits": Row(P.LIMIT_WORKSPACES, "POST", lambda w: {"number": w.key.workspace.public_id}),
    "partners:workspace-add": Row(P.EDIT_PARTNERS, "POST", partner),
    "partners:contact-change": Row(P.EDIT_PARTNERS, "POST", lambda w: {"number": w.contact.public_id}),
    "partners:contract-change": Row(P.EDIT_PARTNERS, "POST", lambda w: {"number": w.cast.small.public_id}),
    "partners:workspace-change": Row(
        P.EDIT_PARTNERS, "POST", lambda w: {"number": w.key.workspace.public_id}
    ),
    "partners:identity-check-add": Row(frozenset({Role.SECURITY, Role.TECH}), "POST", partner),
    # accounts
    "accounts:profile": Row(STAFF),
    "accounts:language-set": Row(PUBLIC, "POST"),
    "accounts:theme-set": Row(PUBLIC, "POST"),
    "accounts:second-factor": Row(STAFF),
    "accounts:form-kept": Row(STAFF),
    "accounts:staff-list": Row(P.SEE_STAFF),
    "accounts:permission-matrix": Row(P.SEE_STAFF),
    "accounts:staff-detail": Row(P.SEE_STAFF, "GET", staff),
    "accounts:staff-invite": Row(P.MANAGE_STAFF, "POST"),
    "accounts:staff-roles": Row(P.MANAGE_STAFF, "POST", staff),
    "accounts:staff-renew-invitation": Row(P.MANAGE_STAFF, "POST", staff),
    "accounts:staff-deactivate": Row(P.MANAGE_STAFF, "POST", staff),
    # signing in: django-allauth's pages
    "account_login": Row(PUBLIC),
    "account_logout": Row(PUBLIC),
    "account_inactive": Row(PUBLIC),
    "account_reset_password": Row(PUBLIC),
    "account_reset_password_done": Row(PUBLIC),
    "account_reset_password_from_key": Row(PUBLIC, "GET", lambda _: {"uidb36": "1", "key": "no-such"}),
    "account_reset_password_from_key_done": Row(PUBLIC),
    "account_reauthenticate": Row(STAFF),
    "account_change_password": Row(STAFF),
    "account_set_password": Row(STAFF),
    "mfa_authenticate": Row(PUBLIC),
    "mfa_login_webauthn": Row(PUBLIC),
    "mfa_index": Row(STAFF),
    "mfa_reauthenticate": Row(STAFF),
    "mfa_activate_totp": Row(STAFF),
    "mfa_deactivate_totp": Row(STAFF),
    "mfa_view_recovery_codes": Row(STAFF),
    "mfa_generate_recovery_codes": Row(STAFF),
    "mfa_download_recovery_codes": Row(STAFF),
    "mfa_edit_webauthn": Row(OWN_PASSKEY, "GET", lambda _: {"pk": 1}),
    "mfa_remove_webauthn": Row(OWN_PASSKEY, "GET", lambda _: {"pk": 1}),
    "mfa_list_webauthn": Row(STAFF),
    "mfa_add_webauthn": Row(STAFF),
    "mfa_reauthenticate_webauthn": Row(STAFF),
    "usersessions_list": Row(STAFF),
    # audit and notifications
    "audit:event-list": Row(P.SEE_AUDIT),
    "audit:event-detail": Row(P.SEE_AUDIT, "GET", event),
    "audit:event-bytes": Row(P.SEE_AUDIT, "GET", event),
    "audit:event-export": Row(EXPORTERS_OF_EVENTS, "POST"),
    "notifications:message-list": Row(P.SEE_MESSAGES),
    "notifications:bounce-hook": Row(PUBLIC, "POST"),
    "notifications:message-retry": Row(P.RETRY_MESSAGES, "POST", lambda w: {"uid": w.message.uid}),
}


LETTER = b"From: Rin <rin@stranger.example>\nSubject: A key\n\nPurpose: statistics\n"


def names_of(patterns: list[URLPattern | URLResolver], namespace: str = "") -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            yield from names_of(pattern.url_patterns, inner)
        else:
            yield f"{namespace}{pattern.name}"


def test_every_url_has_its_row() -> None:
    assert sorted(set(names_of(get_resolver().url_patterns))) == sorted(ROWS)


def make_gateway(cast: Cast) -> Gateway:
    made = add_gateway(
        actor=staff_actor(cast.admin),
        by=cast.admin,
        name="Edge",
        mode="standard",
        fail_policy="open",
        ip_ranges=[],
        reports_ends=False,
        now=timezone.now(),
    )
    return made.gateway


def let_act_elsewhere(cast: Cast, key: Key) -> None:
    other = key.partner.workspaces.create(public_id="WS-9990", code="elsewhere", name="Elsewhere")
    grant_workspace(
        actor=staff_actor(cast.security),
        by=cast.security,
        key=key,
        workspace=other.public_id,
        ends_on=timezone.now().date() + timedelta(days=3),
        reason="A drill.",
        now=timezone.now(),
    )


def make_stopped_key(cast: Cast) -> Key:
    """A key in quarantine that was suspended besides."""
    made, now, who = cast.key(), timezone.now(), staff_actor(cast.security)
    quarantine_key(actor=who, by=cast.security, key=made, reason="A drill.", hours=24, now=now)
    return suspend_key(actor=who, by=cast.security, key=made, reason="A drill.", now=now)


def make_world() -> World:
    cast = Cast()
    made = cast.key()
    let_act_elsewhere(cast, made)
    decided = cast.request(cast.star_contract)
    decide(decided, cast.pm)
    request = cast.request()
    step = request.steps.get(state=Step.State.OPEN)
    starred = cast.request(cast.star_contract)
    decide(starred, cast.pm2)
    consented = consent(starred)
    not_me = token_of(bytes(consented.receipt.nonce), purpose="not-me")
    raise_doubt(actor=staff_actor(cast.pm2), token=not_me, now=timezone.now())
    return World(
        cast=cast,
        key=made,
        stopped=make_stopped_key(cast),
        delivery=made.deliveries.get(),
        request=request,
        change=ask_change(made, cast.requester, rpm=50),
        draft=make_draft(cast.company, cast.requester),
        policy=start_policy_draft(
            actor=staff_actor(cast.legal), by=cast.legal, source=cast.policy, now=timezone.now()
        ),
        step=step,
        staff_link=step.links.filter(staff=cast.pm).get(),
        consent_link=StepLink.objects.get(step__request=decided, contact__isnull=False),
        decision=decided.decisions.get(),
        receipt=receipt_url(decided.decisions.get()).rstrip("/").rsplit("/", 1)[-1],
        delegation=give_delegation(
            actor=staff_actor(cast.pm),
            giver=cast.pm,
            deputy=cast.legal,
            role="pm",
            starts_at=timezone.now() + timedelta(days=1),  # planned: nobody decides by it yet
            ends_at=timezone.now() + timedelta(days=7),
            now=timezone.now(),
        ),
        emergency_draft=make_draft(cast.company, cast.security, draft_of(cast.terms())),
        doubted=starred,
        not_me=not_me,
        withdrawal=withdraw_url(consented).rstrip("/").rsplit("/", 1)[-1],
        gateway=make_gateway(cast),
        block=block_address(
            actor=staff_actor(cast.security),
            by=cast.security,
            network="198.51.100.9",
            reason="x",
            hours=1,
            now=timezone.now(),
        ),
        event=Event.objects.latest("id"),
        message=Message.objects.latest("id"),
        nobody=make_staff("Nobody Yet"),
        letter=receive_mail(raw=LETTER, via="pipe", now=timezone.now()).mail,
    )


@pytest.fixture(scope="module")
def kept_world(django_db_setup: None, django_db_blocker: Any) -> Iterator[World]:
    """Made once: every test of a module works in a savepoint of this transaction."""
    with django_db_blocker.unblock(), transaction.atomic():
        world = make_world()
        people = [*world.cast.everyone.values(), world.nobody]
        for user in people:
            TOTP.activate(user, generate_totp_secret())
            RecoveryCodes.activate(user)
        for user in [*people, world.cast.left]:
            world.cookies[user.public_id] = sign_in(user).cookies.output(header="", sep=";")
        yield world
        transaction.set_rollback(True)


@pytest.fixture
def world(kept_world: World, db: None) -> World:
    return kept_world


def ask(client: Client, row: Row, url: str) -> Response:
    """Ask, and undo whatever it did."""
    with transaction.atomic():
        response = client.generic(row.method, url)
        transaction.set_rollback(True)
    return response


def is_refused(response: Response) -> bool:
    return response.status_code in {401, 403, 404} or sends_to_sign_in(response)


def sends_to_sign_in(response: Response) -> bool:
    return response.status_code == 302 and response["Location"].split("?")[0] == reverse("account_login")


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.who != PUBLIC])
def test_who_gets_in(name: str, world: World) -> None:
    row = ROWS[name]
    url = reverse(name, kwargs=row.path(world))
    people: dict[str, User] = {**world.cast.everyone, "": world.nobody}
    for role, user in people.items():
        response = ask(world.browser_of(user), row, url)
        assert response.status_code < 500, (role, response.status_code)
        assert is_refused(response) is not row.lets_in(role), (role or "no role", response.status_code)
    stranger = ask(Client(), row, url)
    assert is_refused(stranger), stranger.status_code
    gone = ask(world.browser_of(world.cast.left), row, url)
    assert is_refused(gone), gone.status_code


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.who == PUBLIC])
def test_what_is_public_opens_for_anybody(name: str, world: World) -> None:
    row = ROWS[name]
    response = ask(Client(), row, reverse(name, kwargs=row.path(world)))
    assert response.status_code < 500
    assert response.status_code not in {401, 403}


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.method == "POST"])
def test_what_changes_state_does_nothing_by_get(name: str, world: World) -> None:
    row = ROWS[name]
    url = reverse(name, kwargs=row.path(world))
    before = Event.objects.count()
    for user in world.cast.everyone.values():
        response = world.browser_of(user).get(url)
        assert response.status_code < 500, response.status_code
    assert Event.objects.count() == before
