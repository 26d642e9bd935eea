"""The fixed cast of the tests: people, partners and the catalogue that every test may count on.

Plain functions make one thing each; `Cast` is all of them, asked for by the fixture `cast`. Nothing here goes
round a service where a service has a say: requests, decisions and keys are made as the product makes them.
"""

import time
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.test import Client
from django.utils import timezone

from accounts.models import User
from approvals.decisions.services.answers import Answer
from approvals.decisions.services.deciding import decide_as_contact, decide_as_staff
from approvals.models import Decision, PolicyVersion, Request, Step
from approvals.requests.services.requests import save_draft, start_draft, submit_request
from core.actors import SYSTEM, staff_actor
from core.ids import next_public_id
from keys.life.services.issuing import issue_key
from keys.models import ApiProduct, Key, Plan, Scope
from keys.terms.terms import LICENCE_CHECKLIST, KeyTerms, office_day
from partners.models import Contact, Contract, IdentityCheck, Partner, Workspace

PASSWORD = "a long password of the tests only"


# --- people ---------------------------------------------------------------------------------------


def make_staff(name: str, *roles: str, address: str = "", **fields: Any) -> User:
    """A member of staff with these roles, who reads English."""
    number = next_public_id("ST")
    user: User = User.objects.create_user(
        address or f"{number.lower()}@kagiban.example",
        PASSWORD,
        public_id=number,
        name=name,
        roles=list(roles),
        **({"language": "en"} | fields),
    )
    return user


def sign_in(user: User, *, second_factor: bool = True, **options: Any) -> Client:
    """A browser in which this person has just signed in, with a second factor unless told otherwise."""
    client = Client(**options)
    client.force_login(user)
    session = client.session
    method = {"method": "mfa", "type": "totp"} if second_factor else {"method": "password"}
    session["account_authentication_methods"] = [method | {"at": time.time()}]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()
    return client


# --- partners ---------------------------------------------------------------------------------------


def make_contact(partner: Partner, name: str, *purposes: str, address: str = "") -> Contact:
    """A contact of a partner, who reads English."""
    number = next_public_id("CO")
    return Contact.objects.create(
        public_id=number,
        partner=partner,
        name=name,
        email=address or f"{number.lower()}@partner.example",
        language="en",
        purposes=list(purposes),
    )


def make_partner(name: str, kind: str = Partner.Kind.COMPANY) -> Partner:
    """An active partner with a contact who receives keys and sees bills, and one workspace."""
    partner = Partner.objects.create(
        public_id=next_public_id("PT"), kind=kind, name=name, created_at=timezone.now()
    )
    make_contact(partner, f"Recipient of {partner.public_id}", "technical", "billing")
    if partner.needs_consent:
        make_contact(partner, f"Star of {partner.public_id}", "consent")
    number = next_public_id("WS")
    Workspace.objects.create(
        public_id=number, partner=partner, code=number.lower(), name=f"Workspace of {partner.public_id}"
    )
    return partner


def make_contract(partner: Partner, monthly_amount_jpy: int = 300_000, **fields: Any) -> Contract:
    """A contract in force since a month and for eleven more, at licence level 2."""
    today = office_day(timezone.now())
    values: dict[str, Any] = {
        "title": f"Data licence, {monthly_amount_jpy:,} JPY",
        "starts_on": today - timedelta(days=30),
        "ends_on": today + timedelta(days=335),
        "licence_level": "partner",
        "terms_version": "2026-04",
        "created_at": timezone.now(),
    }
    return Contract.objects.create(
        public_id=next_public_id("CT"),
        partner=partner,
        monthly_amount_jpy=monthly_amount_jpy,
        **(values | fields),
    )


# --- catalogue ----------------------------------------------------------------------------------------


def make_product(code: str, level: str = "partner", **fields: Any) -> ApiProduct:
    """An API product with a reading, a writing and an administering scope."""
    values = {"name": code.title(), "name_en": code.title(), "licence_level": level} | fields
    product, _made = ApiProduct.objects.update_or_create(code=code, defaults=values)
    for what, flags in (("read", {}), ("write", {"is_write": True}), ("admin", {"is_admin": True})):
        names = {"name": f"{code} {what}", "name_en": f"{code} {what}"}
        Scope.objects.update_or_create(code=f"{code}:{what}", defaults={"product": product} | names | flags)
    return product


def make_plan(code: str, level: str, **fields: Any) -> Plan:
    """A plan with the usual default limits."""
    values = {"name": code.title(), "level": level, "max_rpm": 2_000, "max_rph": 60_000} | fields
    plan, _made = Plan.objects.update_or_create(code=code, defaults=values)
    return plan


def ensure_policy() -> PolicyVersion:
    """The approval path that every installation begins with (the migrations made it)."""
    return PolicyVersion.objects.filter(in_force_from__isnull=False).latest("number")


# --- requests and keys ----------------------------------------------------------------------------------


def make_terms(partner: Partner, contract: Contract | None, **changes: Any) -> KeyTerms:
    """Terms that can be submitted: a live key of the standard plan that reads the catalogue."""
    technical = partner.contacts.get(purposes__contains=["technical"])
    consent = partner.contacts.filter(purposes__contains=["consent"]).first()
    today = office_day(timezone.now())
    terms = KeyTerms(
        name="Delivery status",
        partner=partner.public_id,
        partner_kind=partner.kind,
        workspace=partner.workspaces.order_by("id")[0].public_id,
        recipient=technical.public_id,
        consent_contact=consent.public_id if consent else "",
        contract=contract.public_id if contract else "",
        monthly_amount_jpy=contract.monthly_amount_jpy if contract else 0,
        contract_starts_on=contract.starts_on.isoformat() if contract else "",
        contract_ends_on=contract.ends_on.isoformat() if contract else "",
        licence_level=contract.licence_level if contract else "",
        terms_version=contract.terms_version if contract else "",
        licence_checklist=LICENCE_CHECKLIST if contract else (),
        plan="partner" if contract else "internal",
        products=("catalog",),
        scopes=("catalog:read",),
        model_names=(),
        feature_names=(),
        environment="live",
        purpose_category="integration",
        purpose="Shows our customers where their parcels are.",
        sla_latency_ms=None,
        sla_success_percent="",
        rpm=100,
        rph=1_000,
        burst=20,
        concurrency=10,
        monthly_budget_usd="",
        budget_thresholds=(),
        suspend_at_budget=False,
        billing_contact="",
        ip_ranges=("203.0.113.0/24",),
        rotation_days=90,
        expires_on=(today + timedelta(days=180)).isoformat(),
        auto_renew=False,
        end_of_life="expire",
    )
    return replace(terms, **changes)


def make_request(terms: KeyTerms, by: User, *, now: datetime | None = None) -> Request:
    """A request for these terms, submitted by `by`: its first step is open."""
    now = now or timezone.now()
    actor = staff_actor(by)
    partner = Partner.objects.get(public_id=terms.partner)
    request = start_draft(actor=actor, by=by, partner=partner, now=now)
    return submit_request(actor=actor, by=by, request=request, version=request.version, terms=terms, now=now)


def make_draft(partner: Partner, by: User, draft: dict[str, Any] | None = None) -> Request:
    """A draft as `by` left it."""
    now, actor = timezone.now(), staff_actor(by)
    request = start_draft(actor=actor, by=by, partner=partner, now=now)
    if draft is None:
        return request
    return save_draft(
        actor=actor,
        by=by,
        request=request,
        version=request.version,
        draft=draft,
        title=str(draft.get("name", "")),
        now=now,
    )


def decide(
    request: Request,
    by: User,
    outcome: str = "approve",
    *,
    reason: str = "",
    now: datetime | None = None,
) -> Decision:
    """`by`'s answer on the request's open step, in the portal, with a fresh second factor."""
    step = open_step(request)
    now = now or timezone.now()
    answer = Answer(
        outcome=outcome,
        digest=bytes(step.revision.digest),
        reason=reason or ("" if outcome == "approve" else "The purpose is not clear."),
        checklist=tuple(IdentityCheck.points_for(step.request.partner.kind)) if step.role == "tech" else (),
    )
    return decide_as_staff(
        actor=staff_actor(by), by=by, step=step, answer=answer, second_factor_at=now, link=None, now=now
    )


def consent(request: Request, outcome: str = "approve", *, now: datetime | None = None) -> Decision:
    """The rights-holder's answer by the link that is open."""
    step = open_step(request)
    assert step.contact is not None
    answer = Answer(
        outcome=outcome,
        digest=bytes(step.revision.digest),
        reason="" if outcome == "approve" else "Not in this season.",
        signed_name=step.contact.name,
        signed_capacity="Star",
    )
    return decide_as_contact(
        actor=replace(SYSTEM("link"), kind="contact", ref=step.contact.public_id),
        contact=step.contact,
        step=step,
        answer=answer,
        link=step.links.get(used_at=None, died_at=None),
        now=now or timezone.now(),
    )


def open_step(request: Request) -> Step:
    """The step that waits for a decision."""
    return Step.objects.select_related("request__partner", "revision", "contact").get(
        request=request, state=Step.State.OPEN
    )


@transaction.atomic
def make_key(terms: KeyTerms, owner: User, *, now: datetime | None = None) -> Key:
    """A key on these terms that waits for its recipient, without a request behind it."""
    return issue_key(
        actor=SYSTEM("tests"),
        terms=terms,
        owner=owner,
        request_ref="",
        decisions=[],
        now=now or timezone.now(),
    )


# --- all of it ----------------------------------------------------------------------------------------------


@dataclass
class Cast:
    """Everybody. Each role is held by one person, except PM, which two people have."""

    requester: User = field(default_factory=lambda: make_staff("Rin Nakamura", "requester"))
    pm: User = field(default_factory=lambda: make_staff("Misaki Sato", "pm"))
    pm2: User = field(default_factory=lambda: make_staff("Ken Suzuki", "pm"))
    legal: User = field(default_factory=lambda: make_staff("Sakura Ito", "legal"))
    tech: User = field(default_factory=lambda: make_staff("Naoto Takahashi", "tech"))
    security: User = field(default_factory=lambda: make_staff("Takeshi Watanabe", "security"))
    coo: User = field(default_factory=lambda: make_staff("Sho Kato", "coo"))
    ops: User = field(default_factory=lambda: make_staff("Yuki Kobayashi", "ops"))
    auditor: User = field(default_factory=lambda: make_staff("Aoi Matsumoto", "auditor"))
    admin: User = field(default_factory=lambda: make_staff("Taro Yamamoto", "admin"))
    left: User = field(default_factory=lambda: make_staff("Gone Long", is_active=False))

    company: Partner = field(default_factory=lambda: make_partner("みなと物流株式会社"))
    star: Partner = field(default_factory=lambda: make_partner("Hoshino Office", Partner.Kind.RIGHTS_HOLDER))
    team: Partner = field(default_factory=lambda: make_partner("Data platform", Partner.Kind.INTERNAL))

    def __post_init__(self) -> None:
        """The catalogue, and contracts at, below and above the COO's threshold (A1)."""
        self.policy = ensure_policy()
        make_product("catalog", model_names=["small", "large"], feature_names=["search"])
        make_product("orders")
        make_product("vault", "restricted")
        make_plan("partner", "standard", position=1)
        make_plan("reader", "read_only", position=2)
        make_plan("premium", "premium", position=3, default_rpm=500, default_rph=10_000)
        make_plan("internal", "admin", position=4, is_internal=True)
        self.small = make_contract(self.company, 300_000)
        self.edge = make_contract(self.company, 500_000)
        self.big = make_contract(self.company, 600_000)
        self.star_contract = make_contract(self.star, 300_000)

    def terms(self, contract: Contract | None = None, **changes: Any) -> KeyTerms:
        """Terms of the company's small contract, or of another one."""
        contract = contract or self.small
        return make_terms(contract.partner, contract, **changes)

    def team_terms(self, **changes: Any) -> KeyTerms:
        """Terms of the internal team, which has no contract."""
        return make_terms(self.team, None, **changes)

    def request(self, contract: Contract | None = None, *, by: User | None = None, **changes: Any) -> Request:
        """A submitted request, by the requester unless told otherwise."""
        return make_request(self.terms(contract, **changes), by or self.requester)

    def key(self, contract: Contract | None = None, *, owner: User | None = None, **changes: Any) -> Key:
        """A key that waits for its recipient, owned by the requester unless told otherwise."""
        return make_key(self.terms(contract, **changes), owner or self.requester)

    @property
    def everyone(self) -> dict[str, User]:
        """All active staff, by the role they have."""
        names = ["requester", "pm", "legal", "tech", "security", "coo", "ops", "auditor", "admin"]
        return {name: getattr(self, name) for name in names}
