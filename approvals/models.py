"""Requests, their revisions, approval steps, decisions and the mail links that lead to them."""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from approvals.change_models import KeyChange
from approvals.deputy_models import DelegableRole, Delegation, RoleDeputy, StepReminder
from approvals.emergency_models import ConsentWithdrawal, DecisionReceipt, Doubt, Emergency
from partners.models import Contact

__all__ = [
    "ConsentCode",
    "ConsentWithdrawal",
    "Decision",
    "DecisionReceipt",
    "DelegableRole",
    "Delegation",
    "Doubt",
    "Emergency",
    "KeyChange",
    "LinkOpening",
    "PolicyVersion",
    "Request",
    "Revision",
    "RoleDeputy",
    "Standing",
    "Step",
    "StepLink",
    "StepReminder",
    "StepRole",
]


class StepRole(models.TextChoices):
    """Who decides a step. All but the rights-holder are roles of staff (A1)."""

    PM = "pm", _("PM")
    RIGHTS_HOLDER = "rights_holder", _("Rights-holder")
    LEGAL = "legal", _("Legal")
    TECH = "tech", _("Tech")
    COO = "coo", _("COO")
    # A change that only tightens: one approval, by whichever of the two comes first (R3).
    PM_OR_SECURITY = "pm_or_security", _("PM or security")


class PolicyVersion(models.Model):
    """One version of the approval path: data, never changed once in force (A2). See approvals.policy.

    The version in force is the one whose `in_force_from` is the latest past one. Versions without an author
    came with the product. `version` grows with every act: a form that carries an older one is stale (409).
    """

    class State(models.TextChoices):
        DRAFT = "draft", _("Draft")
        PROPOSED = "proposed", _("Waits for a second person")
        IN_FORCE = "in_force", _("Put in force")
        REJECTED = "rejected", _("Rejected")
        WITHDRAWN = "withdrawn", _("Withdrawn")

    number = models.PositiveIntegerField(unique=True)
    state = models.CharField(max_length=12, choices=State.choices, default=State.DRAFT)
    version = models.PositiveIntegerField(default=1)
    rules = models.JSONField()
    source = models.ForeignKey("self", on_delete=models.PROTECT, related_name="+", null=True, blank=True)
    author = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    reason = models.TextField(blank=True, max_length=2000)
    proposed_at = models.DateTimeField(null=True, blank=True)
    decider = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_reason = models.TextField(blank=True, max_length=2000)
    in_force_from = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-number"]
        constraints = [
            # The second person (A2). What comes with the product has neither author nor decider.
            models.CheckConstraint(
                condition=Q(author__isnull=True) | Q(decider__isnull=True) | ~Q(author=F("decider")),
                name="approvals_policy_two_people",
            ),
            models.CheckConstraint(
                condition=Q(author__isnull=False) | Q(decider__isnull=True, state="in_force"),
                name="approvals_policy_has_author",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["in_force", "rejected"])
                | Q(author__isnull=True)
                | Q(decider__isnull=False, decided_at__isnull=False),
                name="approvals_policy_was_decided",
            ),
            models.CheckConstraint(
                condition=Q(state="in_force", in_force_from__isnull=False)
                | (~Q(state="in_force") & Q(in_force_from__isnull=True)),
                name="approvals_policy_in_force_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["proposed", "in_force", "rejected"])
                | Q(author__isnull=True)
                | ~Q(reason=""),
                name="approvals_policy_has_reason",
            ),
            models.CheckConstraint(
                condition=~Q(state="rejected") | ~Q(decision_reason=""),
                name="approvals_policy_rejection_has_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"v{self.number}"


class Request(models.Model):
    """申請: asks for a new key, or to change one: then it has a `change`.

    `draft` is the form as last saved; submitting makes a revision.

    `version` grows with every act on the request: a form that carries an older one is stale (409).
    """

    class Kind(models.TextChoices):
        NEW_KEY = "new_key", _("New key")
        CHANGE = "change", _("Change of a key")

    class State(models.TextChoices):
        DRAFT = "draft", _("Draft")
        IN_REVIEW = "in_review", _("In review")
        CHANGES_WANTED = "changes_wanted", _("Changes wanted")
        APPROVED = "approved", _("Approved")
        REJECTED = "rejected", _("Rejected")
        WITHDRAWN = "withdrawn", _("Withdrawn")
        EXPIRED = "expired", _("Expired without a decision")

    public_id = models.CharField(max_length=12, unique=True)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices, default=Kind.NEW_KEY)
    state = models.CharField(_("state"), max_length=16, choices=State.choices, default=State.DRAFT)
    version = models.PositiveIntegerField(default=1)
    requester = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="requests")
    partner = models.ForeignKey("partners.Partner", on_delete=models.PROTECT, related_name="requests")
    title = models.CharField(max_length=120, blank=True)
    draft = models.JSONField(default=dict)
    policy = models.ForeignKey(PolicyVersion, on_delete=models.PROTECT, null=True, blank=True)
    key = models.OneToOneField(
        "keys.Key", on_delete=models.PROTECT, related_name="request", null=True, blank=True
    )
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    submitted_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    # Somebody said of a decision "this was not me": nothing happens until security has looked (A7).
    frozen_at = models.DateTimeField(null=True, blank=True)
    # Security issued the key before the approvals (A8): only such a request has a key while it is in review.
    emergency_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            # With this pair a decision's copy of the requester can't differ from the request's (A4).
            models.UniqueConstraint(fields=["id", "requester"], name="approvals_request_requester"),
            models.CheckConstraint(
                condition=Q(state="draft") | Q(submitted_at__isnull=False) | Q(state="withdrawn"),
                name="approvals_request_submitted_has_time",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["draft", "in_review", "changes_wanted"], ended_at__isnull=True)
                | (~Q(state__in=["draft", "in_review", "changes_wanted"]) & Q(ended_at__isnull=False)),
                name="approvals_request_ended_has_time",
            ),
            models.CheckConstraint(
                condition=Q(kind="new_key", state="approved", key__isnull=False, emergency_at__isnull=True)
                | (Q(kind="new_key", key__isnull=True, emergency_at__isnull=True) & ~Q(state="approved"))
                | (Q(kind="new_key", key__isnull=False, emergency_at__isnull=False) & ~Q(state="draft"))
                | Q(kind="change", key__isnull=True, emergency_at__isnull=True),
                name="approvals_request_key_iff_approved",
            ),
        ]
        indexes = [
            models.Index(fields=["state", "-id"], name="approvals_request_state"),
            models.Index(fields=["requester", "-id"], name="approvals_request_mine"),
        ]

    def __str__(self) -> str:
        return f"{self.public_id} {self.title}"

    @property
    def is_editable(self) -> bool:
        """Whether its requester has it on the desk: a draft, or sent back."""
        return self.state in {self.State.DRAFT, self.State.CHANGES_WANTED}


class Revision(models.Model):
    """What was submitted: decisions are bound to `digest`, the SHA-256 of the canonical terms (A6)."""

    request = models.ForeignKey(Request, on_delete=models.PROTECT, related_name="revisions")
    number = models.PositiveSmallIntegerField()
    terms = models.JSONField()
    digest = models.BinaryField(max_length=32)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["request", "number"], name="approvals_revision_number_once")
        ]

    def __str__(self) -> str:
        return f"{self.request_id}/{self.number}"


class Step(models.Model):
    """One approval in a request."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Not yet its turn")
        OPEN = "open", _("Waiting for a decision")
        APPROVED = "approved", _("Approved")
        REJECTED = "rejected", _("Rejected")
        CHANGES_WANTED = "changes_wanted", _("Changes wanted")
        STANDS = "stands", _("Stands from an earlier revision")
        CANCELLED = "cancelled", _("No longer needed")

    request = models.ForeignKey(Request, on_delete=models.PROTECT, related_name="steps")
    revision = models.ForeignKey(Revision, on_delete=models.PROTECT, related_name="steps")
    position = models.PositiveSmallIntegerField()
    role = models.CharField(max_length=20, choices=StepRole.choices)
    reason = models.CharField(max_length=60)
    n_needed = models.PositiveSmallIntegerField(default=1)
    needs_second_factor = models.BooleanField(default=False)
    # From the policy's rule (A2): the only people asked, by number (none: all of the role); business hours
    # for an answer (None: the portal's own); when the rule asks for the step, to say why.
    people = ArrayField(models.CharField(max_length=12), default=list, blank=True)
    deadline_hours = models.PositiveSmallIntegerField(null=True, blank=True)
    conditions = models.JSONField(default=list, blank=True)
    contact = models.ForeignKey(
        "partners.Contact", on_delete=models.PROTECT, related_name="steps", null=True, blank=True
    )
    state = models.CharField(max_length=16, choices=State.choices, default=State.WAITING)
    opened_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    stuck_at = models.DateTimeField(null=True, blank=True)
    escalated_at = models.DateTimeField(null=True, blank=True)
    undeliverable_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["revision", "position"], name="approvals_step_position_once"),
            models.UniqueConstraint(
                fields=["request"], condition=Q(state="open"), name="approvals_one_open_step"
            ),
            models.CheckConstraint(
                condition=Q(state="waiting", opened_at__isnull=True)
                | Q(state__in=["open", "approved", "rejected", "changes_wanted"], opened_at__isnull=False)
                | Q(state__in=["stands", "cancelled"]),
                name="approvals_step_open_has_time",
            ),
            models.CheckConstraint(
                condition=(Q(role="rights_holder") & Q(contact__isnull=False))
                | (~Q(role="rights_holder") & Q(contact__isnull=True)),
                name="approvals_step_consent_has_contact",
            ),
            models.CheckConstraint(condition=Q(n_needed__gte=1), name="approvals_step_needs_somebody"),
        ]
        indexes = [models.Index(fields=["role", "state"], name="approvals_step_queue")]

    def __str__(self) -> str:
        return f"{self.request_id} {self.role}"


class StepLink(models.Model):
    """A personal link to a step, for one member of staff or one contact (A3).

    The token is an HMAC under LINK_SECRET of `nonce` and what the link is bound to; only its hash is kept.
    """

    uid = models.UUIDField(unique=True, default=uuid.uuid4)
    step = models.ForeignKey(Step, on_delete=models.PROTECT, related_name="links")
    staff = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    contact = models.ForeignKey(
        "partners.Contact", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    nonce = models.BinaryField(max_length=33)
    token_hash = models.BinaryField(max_length=32, unique=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)
    died_at = models.DateTimeField(null=True, blank=True)
    n_renewals = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(staff__isnull=False, contact__isnull=True)
                | Q(staff__isnull=True, contact__isnull=False),
                name="approvals_link_one_recipient",
            )
        ]
        indexes = [
            models.Index(
                fields=["expires_at"],
                name="approvals_link_due",
                condition=Q(used_at__isnull=True, died_at__isnull=True),
            )
        ]

    def __str__(self) -> str:
        return f"{self.step_id} {self.staff_id or self.contact_id}"

    @property
    def recipient(self) -> User | Contact:
        """Whose link it is."""
        person = self.staff or self.contact
        if person is None:
            raise ValueError("A link without a recipient breaks approvals_link_one_recipient.")
        return person


class LinkOpening(models.Model):
    """That a link was fetched: by a mail scanner or by a person, nobody can tell: it proves nothing (A3)."""

    link = models.ForeignKey(StepLink, on_delete=models.CASCADE, related_name="openings")
    opened_at = models.DateTimeField()
    user_agent = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.link_id} {self.opened_at:%Y-%m-%d %H:%M}"


class ConsentCode(models.Model):
    """An eight-digit code sent to the registered address of someone without an account (A3).

    The code itself is derived from `nonce` under LINK_SECRET when its mail is written; it stands nowhere.
    """

    uid = models.UUIDField(unique=True, default=uuid.uuid4)
    link = models.ForeignKey(StepLink, on_delete=models.PROTECT, related_name="codes")
    nonce = models.BinaryField(max_length=33)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    n_attempts = models.PositiveSmallIntegerField(default=0)
    passed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.link_id}"


class Decision(models.Model):
    """One person's answer on one step, bound to the digest of what was decided on. Never changed.

    But for one thing: when a later revision touches what it was about it has *fallen*, for good (A6). What a
    later revision leaves alone still stands: see Standing.
    """

    class Outcome(models.TextChoices):
        APPROVE = "approve", _("Approve")
        REJECT = "reject", _("Reject")
        CHANGES = "changes", _("Ask for changes")

    class Basis(models.TextChoices):
        OWN = "own", _("Own role")
        DELEGATION = "delegation", _("Delegation")
        ESCALATION = "escalation", _("Escalation")

    uid = models.UUIDField(unique=True, default=uuid.uuid4)
    request = models.ForeignKey(Request, on_delete=models.PROTECT, related_name="decisions")
    requester_id_copy = models.BigIntegerField()
    step = models.ForeignKey(Step, on_delete=models.PROTECT, related_name="decisions")
    staff = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, related_name="decisions", null=True, blank=True
    )
    contact = models.ForeignKey(
        "partners.Contact", on_delete=models.PROTECT, related_name="decisions", null=True, blank=True
    )
    outcome = models.CharField(max_length=8, choices=Outcome.choices)
    reason = models.TextField(blank=True, max_length=2000)
    digest = models.BinaryField(max_length=32)
    checklist = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    signed_name = models.CharField(max_length=120, blank=True)
    signed_capacity = models.CharField(max_length=120, blank=True)
    # In whose place: nobody's, a person's who is away, or the role's, by escalation (A5).
    basis = models.CharField(max_length=10, choices=Basis.choices, default=Basis.OWN, db_default=Basis.OWN)
    on_behalf_of = models.ForeignKey(
        "accounts.User", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    delegation = models.ForeignKey(Delegation, on_delete=models.PROTECT, null=True, blank=True)
    via_link = models.ForeignKey(StepLink, on_delete=models.PROTECT, null=True, blank=True)
    decided_at = models.DateTimeField()
    fallen_at = models.DateTimeField(null=True, blank=True)
    fell_with = models.ForeignKey(
        Revision, on_delete=models.PROTECT, related_name="fallen", null=True, blank=True
    )

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(staff__isnull=False, contact__isnull=True)
                | Q(staff__isnull=True, contact__isnull=False),
                name="approvals_decision_one_person",
            ),
            # Four eyes (A4): not on one's own request, not on two steps of one request. That nobody decides
            # for two roles, be it on two revisions, is kept by the trigger approvals_decision_open_step.
            models.CheckConstraint(
                condition=Q(staff__isnull=True) | ~Q(staff=F("requester_id_copy")),
                name="approvals_decision_not_own",
            ),
            models.UniqueConstraint(
                fields=["request", "staff"],
                condition=Q(fallen_at__isnull=True),
                name="approvals_decision_one_step_each",
            ),
            models.UniqueConstraint(
                fields=["request", "contact"],
                condition=Q(fallen_at__isnull=True),
                name="approvals_decision_one_consent_each",
            ),
            models.CheckConstraint(
                condition=Q(fallen_at__isnull=True, fell_with__isnull=True)
                | Q(fallen_at__isnull=False, fell_with__isnull=False),
                name="approvals_decision_fell_with_a_revision",
            ),
            models.CheckConstraint(
                condition=Q(basis="delegation", on_behalf_of__isnull=False, delegation__isnull=False)
                | (~Q(basis="delegation") & Q(on_behalf_of__isnull=True, delegation__isnull=True)),
                name="approvals_decision_in_whose_name",
            ),
            # Nor for a requester, whose deputy is no second pair of eyes (A4, A5).
            models.CheckConstraint(
                condition=Q(on_behalf_of__isnull=True) | ~Q(on_behalf_of=F("requester_id_copy")),
                name="approvals_decision_not_for_requester",
            ),
            models.CheckConstraint(
                condition=Q(outcome="approve") | ~Q(reason=""), name="approvals_reject_has_reason"
            ),
            models.CheckConstraint(
                condition=Q(contact__isnull=True) | (~Q(signed_name="") & ~Q(signed_capacity="")),
                name="approvals_consent_is_signed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.step_id} {self.outcome}"


class Standing(models.Model):
    """That an approval of an earlier revision counts for a step of this one: bound to both digests (A6)."""

    decision = models.ForeignKey(Decision, on_delete=models.PROTECT, related_name="standings")
    step = models.ForeignKey(Step, on_delete=models.PROTECT, related_name="standings")
    digest = models.BinaryField(max_length=32)
    carried_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["decision", "step"], name="approvals_standing_once")]

    def __str__(self) -> str:
        return f"{self.decision_id} {self.step_id}"
