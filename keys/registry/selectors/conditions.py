"""The one worst condition of a key, in words, and its next date with the reason (UX)."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import Exists, OuterRef, Q
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from core.badges import look_of
from core.wording import days_left_text, short_text
from keys.models import LIVE, Delivery, Key, Secret
from keys.rights.limits import limits_of
from keys.rights.quarantine import is_in_force
from keys.rights.retirement import WHOLE
from keys.terms.terms import end_of_day, last_day, office_day

EXPIRY_WARNING_DAYS = 30
ROTATION_WARNING_DAYS = 14
UNUSED_DAYS = 90
USABLE = (Key.Status.ACTIVE, Key.Status.RETIRING)


@dataclass(frozen=True, slots=True)
class Condition:
    """A state of `core.badges` (kind "key") and, where they say more, words of its own."""

    state: str
    text: str | Promise = ""

    @property
    def needs_attention(self) -> bool:
        """Whether somebody should do something about it."""
        return look_of("key", self.state).tone in {"warn", "bad"}


@dataclass(frozen=True, slots=True)
class NextDate:
    """The date that matters next and why; `tone` is "", "warn" or "bad"."""

    on: date | None
    note: str | Promise
    tone: str = ""


def is_unused(key: Key, now: datetime) -> bool:
    """Whether a key that could be used was not used for 90 days."""
    seen = key.last_used_at or key.activated_at
    return seen is not None and seen <= now - timedelta(days=UNUSED_DAYS)


def condition_of(key: Key, *, overlap: Secret | None, waiting: Delivery | None, now: datetime) -> Condition:
    """What is most wrong with the key; its status, when nothing is."""
    if key.status == Key.Status.PENDING:
        return Condition("pending" if waiting and waiting.expires_at > now else "undelivered")
    if key.status not in USABLE:
        return Condition(key.status)
    idle = ngettext_lazy("Unused for %d day", "Unused for %d days") % _idle_days(key, now)
    today = office_day(now)
    until_rotation = (key.rotation_due_on - today).days if key.rotation_due_on else ROTATION_WARNING_DAYS + 1
    worst_first = (
        (is_in_force(key, now), Condition("quarantined")),
        (until_rotation < 0, Condition("rotation_late")),
        (key.status == Key.Status.RETIRING, Condition("retiring", _retiring_words(key, now))),
        ((last_day(key) - today).days <= EXPIRY_WARNING_DAYS, Condition("expiring")),
        (until_rotation <= ROTATION_WARNING_DAYS, Condition("rotation_due")),
        (is_unused(key, now), Condition("unused", idle)),
        (overlap is not None, Condition("rotating")),
    )
    return next((condition for holds, condition in worst_first if holds), Condition("active"))


def _retiring_words(key: Key, now: datetime) -> str | Promise:
    share = limits_of(key, now).share
    return format_lazy(_("Retiring: limits at {} %"), share) if share < WHOLE else ""


def _idle_days(key: Key, now: datetime) -> int:
    seen = key.last_used_at or key.activated_at or now
    return (now - seen).days


def needs_attention(now: datetime) -> Q:
    """The same question for the database: keys whose condition has the tone of a warning or worse."""
    today = office_day(now)
    idle = now - timedelta(days=UNUSED_DAYS)
    open_links = Delivery.objects.filter(key=OuterRef("pk"), state=Delivery.State.WAITING, expires_at__gt=now)
    return LIVE & (
        Q(status=Key.Status.RETIRING)
        | Q(status=Key.Status.ACTIVE, quarantined_until__gt=now)
        | Q(status=Key.Status.PENDING) & ~Exists(open_links)
        | Q(status=Key.Status.ACTIVE, rotation_due_on__lte=today + timedelta(days=ROTATION_WARNING_DAYS))
        | Q(
            status=Key.Status.ACTIVE,
            expires_at__lte=end_of_day(today + timedelta(days=EXPIRY_WARNING_DAYS)),
        )
        | Q(status=Key.Status.ACTIVE) & unused_for(idle)
    )


def unused_for(since: datetime) -> Q:
    """Keys that could be used and were not, since this moment."""
    never, idle = Q(last_used_at=None, activated_at__lte=since), Q(last_used_at__lte=since)
    # The hour says nothing new; it is what the index knows.
    return LIVE & Q(status__in=USABLE, used_hour__lte=since) & (idle | never)


def next_date_of(key: Key, *, overlap: Secret | None, waiting: Delivery | None, now: datetime) -> NextDate:
    """The day a key ends, and what comes before it: a link that runs out, an old secret, a rotation."""
    on = last_day(key)
    if key.status == Key.Status.REVOKED and key.ended_at:
        reason = Key.RevokeReason(key.revoke_reason).label
        return NextDate(office_day(key.ended_at), format_lazy("{}: {}", _("revoked"), reason))
    if key.status == Key.Status.EXPIRED:
        return NextDate(on, _("expired"))
    if key.status == Key.Status.SUSPENDED:
        return NextDate(on, key.holds[0] if key.held_for else key.status_reason[:60])
    if key.status == Key.Status.PENDING:
        is_open = waiting is not None and waiting.expires_at > now
        link_ends = short_text(waiting.expires_at) if waiting else ""
        return NextDate(
            on, format_lazy(_("link ends {}"), link_ends) if is_open else _("no link is open"), "warn"
        )
    return _next_of_usable(key, on, overlap, office_day(now))


def _next_of_usable(key: Key, on: date, overlap: Secret | None, today: date) -> NextDate:
    left, rotation = (on - today).days, key.rotation_due_on
    if rotation and rotation < today:
        days = (today - rotation).days
        return NextDate(on, ngettext_lazy("rotation %d day late", "rotation %d days late") % days, "bad")
    if key.retires_at:
        on = office_day(key.retires_at)
        return NextDate(on, format_lazy(_("retires: {}"), days_left_text(on, today)), "warn")
    if left <= EXPIRY_WARNING_DAYS:
        return NextDate(on, days_left_text(on, today), "bad" if left <= 7 else "warn")
    if overlap and overlap.ends_at:
        return NextDate(on, format_lazy(_("old secret ends {}"), short_text(overlap.ends_at)), "warn")
    if rotation and (rotation - today).days <= ROTATION_WARNING_DAYS:
        return NextDate(on, format_lazy(_("rotation due {}"), rotation.isoformat()), "warn")
    return NextDate(on, days_left_text(on, today))
