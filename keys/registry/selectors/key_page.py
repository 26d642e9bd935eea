"""All that the page of one key shows (K5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from accounts.models import User
from accounts.roles import Permission
from keys.models import ApiProduct, Delivery, Key, Retirement, Scope, Secret, WorkspaceGrant
from keys.registry.selectors.conditions import Condition, NextDate, condition_of, next_date_of
from keys.rights import lifecycle
from keys.rights.limits import Limits
from keys.rights.quarantine import limits_in_force
from keys.rights.retirement import Point, schedule_of, share_at
from keys.use.selectors.addresses import Addresses, addresses_of, known_addresses
from keys.use.selectors.after_end import DeadUse, dead_use_of
from keys.use.selectors.limits import Now, use_now
from keys.use.selectors.outcomes import Outcomes, outcomes_of
from keys.use.selectors.use import Use, use_of


@dataclass(frozen=True, slots=True)
class May:
    """What this person can do with this key now; the services ask again."""

    suspend: bool
    quarantine: bool
    end_quarantine: bool
    reactivate: bool
    revoke: bool
    redeliver: bool

    @property
    def anything_dangerous(self) -> bool:
        """Whether the danger zone has a button."""
        return self.suspend or self.reactivate or self.revoke or self.end_quarantine


@dataclass(frozen=True, slots=True)
class RetirementView:
    """A planned retirement with its schedule. `current` is the point that is in force, None before notice.

    `newer` are the partner's keys that could take over though nobody named them yet: issued since, for one of
    the same products, and with a later end.
    """

    plan: Retirement | None
    points: Sequence[Point]
    current: Point | None
    share: int
    newer: Sequence[Key]


def retirement_view(key: Key, *, now: datetime) -> RetirementView | None:
    """The schedule that a running key follows; None for a key without one."""
    if key.has_ended or key.retires_at is None or key.retiring_from is None:
        return None
    points = schedule_of(key.retiring_from, key.retires_at)
    plan = key.retirements.filter(state__in=Retirement.OPEN).select_related("asked_by").first()
    return RetirementView(
        plan=plan,
        points=points,
        current=next((point for point in reversed(points) if point.at <= now), None),
        share=share_at(key.retires_at, now),
        newer=[] if plan is None or key.replacement_id else _newer(key, plan),
    )


def _newer(key: Key, plan: Retirement) -> list[Key]:
    others = Key.objects.filter(
        partner=key.partner_id,
        environment=key.environment,
        products__in=key.products.all(),
        issued_at__gte=plan.planned_at,
        status__in=[Key.Status.PENDING, Key.Status.ACTIVE],
        expires_at__gt=plan.ends_at,
        retires_at=None,
    )
    return list(others.exclude(pk=key.pk).distinct().order_by("id")[:3])


@dataclass(frozen=True, slots=True)
class KeyPage:
    """One key with what belongs to it. `delivery` is the newest one."""

    key: Key
    products: Sequence[ApiProduct]
    scopes: Sequence[Scope]
    secrets: Sequence[Secret]
    deliveries: Sequence[Delivery]
    use: Use
    outcomes: Outcomes | None
    addresses: Addresses
    now: Now | None
    condition: Condition
    next_date: NextDate
    may: May
    limits: Limits
    retirement: RetirementView | None
    replaces: Sequence[Key]
    dead_use: DeadUse
    grants: Sequence[WorkspaceGrant]
    known_addresses: Sequence[str]

    @property
    def live(self) -> Secret | None:
        """The secret in use."""
        return next((s for s in self.secrets if s.status == Secret.Status.LIVE), None)

    @property
    def delivery(self) -> Delivery | None:
        """The newest delivery."""
        return self.deliveries[0] if self.deliveries else None


def key_page(user: User, key: Key, *, now: datetime) -> KeyPage:
    """Read the page of a key that `keys.access.find_key` let this person see."""
    secrets = list(key.secrets.all())
    deliveries = list(key.deliveries.select_related("recipient", "secret"))
    overlap = next((s for s in secrets if s.status == Secret.Status.OVERLAP), None)
    waiting = next((d for d in deliveries if d.state == Delivery.State.WAITING), None)
    return KeyPage(
        key=key,
        products=list(key.products.all()),
        scopes=list(Scope.objects.filter(code__in=key.scopes)),
        secrets=secrets,
        deliveries=deliveries,
        use=use_of([key], now=now)[key.pk],
        outcomes=outcomes_of(key, now=now),
        addresses=addresses_of(key),
        now=use_now([key], now=now).get(key.pk),
        condition=condition_of(key, overlap=overlap, waiting=waiting, now=now),
        next_date=next_date_of(key, overlap=overlap, waiting=waiting, now=now),
        may=what_may(user, key, deliveries[0] if deliveries else None),
        limits=limits_in_force(key, now),
        retirement=retirement_view(key, now=now),
        replaces=list(key.replaces.order_by("id")),
        dead_use=dead_use_of(key, now=now),
        grants=list(
            key.grants.filter(taken_back_at=None, ends_at__gt=now).select_related("workspace", "granted_by")
        ),
        known_addresses=known_addresses(key, now),
    )


def what_may(user: User, key: Key, delivery: Delivery | None) -> May:
    """The buttons for this person and this state."""
    stopped = key.status == Key.Status.SUSPENDED
    suspend = user.may(Permission.SUSPEND_KEYS)
    return May(
        quarantine=suspend and not key.is_quarantined and lifecycle.can(key, Key.Status.SUSPENDED),
        end_quarantine=suspend and key.is_quarantined,
        suspend=suspend and lifecycle.can(key, Key.Status.SUSPENDED),
        reactivate=suspend and stopped and not key.held_for,
        revoke=user.may(Permission.REVOKE_KEYS) and lifecycle.can(key, Key.Status.REVOKED),
        redeliver=user.may(Permission.REDELIVER_KEYS) and can_redeliver(key, delivery),
    )


def can_redeliver(key: Key, delivery: Delivery | None) -> bool:
    """Whether a new link would help: nothing was revealed yet, or what was revealed was never used."""
    if delivery is None or key.has_ended or key.status == Key.Status.SUSPENDED:
        return False
    secret = delivery.secret
    if secret is None:
        return key.status == Key.Status.PENDING
    return secret.status == Secret.Status.LIVE and not (
        secret.first_used_at or secret.last_used_at or key.last_used_at
    )
