"""A change of a key as it is submitted: bound to the key as it is now (R3)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils.functional import Promise, lazy
from django.utils.text import format_lazy
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from approvals.changes.selectors.changes import OPEN_STATES, direction_of, present_terms
from approvals.models import KeyChange, Request
from core.business_time import add_business_hours
from core.errors import Conflict, Invalid
from core.wording import date_text
from keys.life.services.changing import lock_key
from keys.life.services.retiring import why_not
from keys.models import Key
from keys.models.retirements import is_short
from keys.terms.checks import Problem
from keys.terms.settings import FIXED, digest_of_settings, require_unchanged
from keys.terms.terms import KeyTerms, office_day

S = KeyChange.State
NOTHING_DIFFERS = _("Nothing differs from the key's present terms.")

FIXED_HERE = [
    "state",
    "base",
    "base_digest",
    "direction",
    "reactivates",
    "why",
    "not_before",
    "short_notice",
]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request to change a key says beside the new terms.

    `based_on` is the digest of the settings that the form showed as the present ones. `not_before` is an
    aware time, or None for at once. `short_notice` says why a key is to retire with less than 30 days of
    notice (K9).
    """

    based_on: bytes
    why: str
    not_before: datetime | None = None
    reactivates: bool = False
    short_notice: str = ""

    def to_json(self) -> dict[str, Any]:
        """The part of a revision that decisions are bound to, beside the terms."""
        said = {
            "based_on": self.based_on.hex(),
            "why": self.why,
            "not_before": self.not_before.isoformat() if self.not_before else "",
            "reactivates": self.reactivates,
        }
        return {**said, "short_notice": self.short_notice} if self.short_notice else said


def fix_change(*, request: Request, terms: KeyTerms, wish: Wish, now: datetime) -> str:
    """Bind a locked request to the key as it is now; returns the fact `change` for the policy (R3).

    Raises Conflict when the key has ended, was changed since the form was opened or has another open change;
    Invalid when nothing differs, no reason is given, or the time can't be kept.
    """
    change = KeyChange.objects.select_for_update(of=("self",)).get(request=request)
    key = lock_key(change.key)
    base = present_terms(key)
    require_unchanged(key, base, wish.based_on)
    other = open_change_of(key)
    if other is not None and other.pk != change.pk:
        raise Conflict(
            _("Request %(number)s already asks for a change of this key. Only one can be open.")
            % {"number": other.request.public_id}
        )
    if any(getattr(base, name) != getattr(terms, name) for name in FIXED):
        raise Conflict(_("For another partner, workspace or environment a new key is needed."))
    require_approved(key)
    if key.status == Key.Status.PENDING and base.recipient != terms.recipient:
        raise Invalid(_("The link to collect the key is on its way to its recipient."), field="recipient")
    if wish.reactivates and key.status != Key.Status.SUSPENDED:
        raise Conflict(_("The key is not suspended any more."))
    # A consent that was withdrawn can be given anew, on the path of this very change (A9); nothing else can.
    if wish.reactivates and set(key.held_for) - {Key.Hold.CONSENT}:
        raise Conflict(key.holds[0])
    change.direction = direction_of(base, terms, reactivates=wish.reactivates)
    if not change.direction:
        raise Invalid(NOTHING_DIFFERS)
    if not wish.why.strip():
        raise Invalid(_("Say why the key is to be changed."), field="why")
    wrong = wrong_time(wish.not_before, key, now)
    if wrong:
        raise Invalid(wrong, field="not_before")
    if terms.retires_at != base.retires_at or terms.replacement != base.replacement:
        _check_retirement(key, terms, wish, now)
    change.state = S.IN_REVIEW
    change.base, change.base_digest = base.to_json(), digest_of_settings(base)
    change.reactivates, change.why = wish.reactivates, wish.why.strip()
    change.not_before, change.short_notice = wish.not_before, wish.short_notice.strip()
    change.save(update_fields=FIXED_HERE)
    return change.direction


def wrong_time(not_before: datetime | None, key: Key, now: datetime) -> str | Promise:
    """What keeps a change of this key from waiting for this time, in words; `""` when nothing does."""
    if not_before is None:
        return ""
    if not_before <= now:
        return _("This time has passed.")
    if not_before > now + settings.CHANGE_WINDOW:
        return gettext("At most %(days)s days ahead.") % {"days": settings.CHANGE_WINDOW.days}
    return _("The key ends before this time.") if not_before >= key.ends_at else ""


def require_approved(key: Key) -> None:
    """Conflict for a key of an emergency: its last approval gives it what was asked for then (A8)."""
    if key.provisional_until is not None:
        raise Conflict(
            _("The key was issued in an emergency and is not approved yet. It can be changed after that.")
        )


def _check_retirement(key: Key, terms: KeyTerms, wish: Wish, now: datetime) -> None:
    problem = retirement_problem(
        key, terms, now=now, not_before=wish.not_before, short_notice=wish.short_notice
    )
    if problem is not None:
        field, sentence = problem
        raise Invalid(sentence, field=field)


def retirement_problem(
    key: Key, terms: KeyTerms, *, now: datetime, not_before: datetime | None, short_notice: str
) -> Problem | None:
    """What keeps the key from being retired as these terms say, beside what their own check finds (K9)."""
    if not terms.retires_at:
        return None
    ends_at, begins = datetime.fromisoformat(terms.retires_at), max(now, not_before or now)
    replacement = Key.objects.filter(public_id=terms.replacement).first() if terms.replacement else None
    refusal = why_not(key, ends_at=ends_at, replacement=replacement)
    if refusal:
        return ("retires_at" if key.activated_at is None else "replacement"), refusal
    if ends_at <= begins:
        return "retires_at", _("The retirement would end before this change is in force.")
    begins = max(likely_approval(now), not_before or now)
    if shortens(key, ends_at) and is_short(ends_at, begins) and not short_notice.strip():
        sentence = _("Likely approved by {day}, it leaves less than 30 days of notice: say why so soon.")
        return "short_notice", format_lazy(sentence, day=lazy(date_text, str)(office_day(begins)))
    return None


def likely_approval(now: datetime) -> datetime:
    """By when a change that is submitted now is likely approved: when its first step is due (A5)."""
    return add_business_hours(now, settings.ESCALATION_HOURS)


def shortens(key: Key, ends_at: datetime) -> bool:
    """Whether the partner gets less time than before: moving an end later needs no excuse."""
    return key.retires_at is None or ends_at < key.retires_at


def require_notice(change: KeyChange, terms: KeyTerms, now: datetime) -> None:
    """At the last approval: Conflict when so much time went by that a reason for short notice is missing."""
    base = KeyTerms.from_json(change.base)
    if not terms.retires_at or terms.retires_at == base.retires_at or change.short_notice:
        return
    ends_at, begins = datetime.fromisoformat(terms.retires_at), max(now, change.not_before or now)
    if shortens(change.key, ends_at) and is_short(ends_at, begins):
        raise Conflict(
            _(
                "While this waited for approval, its notice fell below 30 days, and no reason stands here. "
                "Ask for changes, so that the requester gives a reason or a later end."
            )
        )


def open_change_of(key: Key) -> KeyChange | None:
    """The change of this key that is in approval or waits for its time."""
    return KeyChange.objects.filter(key=key, state__in=OPEN_STATES).select_related("request").first()
