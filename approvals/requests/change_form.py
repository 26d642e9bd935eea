"""The form of a request to change a key: the new key's form, filled with what the key has now (R3)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from approvals.changes.differences import TermChange, diff_terms
from approvals.changes.selectors.changes import direction_of, present_terms
from approvals.changes.services.changing import NOTHING_DIFFERS, Wish, retirement_problem, wrong_time
from approvals.changes.use_wording import has_text, uses_of
from approvals.models import Request
from approvals.requests.form import RequestForm
from core.fields import ParagraphField
from core.parsing import clean_text
from keys.models import Key
from keys.rights.retirement import Point, notice_from, schedule_of
from keys.terms.checks import Problem
from keys.terms.settings import digest_of_settings
from keys.terms.terms import OFFICE_ZONE, KeyTerms, office_minute, says_the_same
from keys.use.selectors.peaks import Peaks, peaks_of


@dataclass(frozen=True, slots=True)
class Present:
    """The key as it is now: its terms, and what it really uses of them."""

    key: Key
    terms: KeyTerms
    peaks: Peaks

    @property
    def digest(self) -> str:
        """The digest of the key's settings, for the page to carry."""
        return digest_of_settings(self.terms).hex()


def present_of(request: Request, *, now: datetime) -> Present:
    """What a change starts from."""
    key = Key.objects.select_related(
        "partner", "workspace", "contract", "recipient", "billing_contact", "plan", "owner", "replacement"
    ).get(pk=request.change.key_id)
    return Present(key, present_terms(key), peaks_of(key, now=now))


_YEAR = re.compile(r"(20[0-9]{2}-.*)?", re.ASCII).fullmatch
# Limits of which 0 may be asked for.
ENDLESS = ("burst", "concurrency")
RETIREMENT = ("retires_at", "replacement", "short_notice")


class OfficeTimeField(forms.DateTimeField):
    """A day and time in Japan, whatever zone the person reads the portal in; cleaned to an aware datetime."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local"})

    def to_python(self, value: Any) -> datetime | None:
        """The moment in Japan, in the calendar's bounds."""
        with timezone.override(OFFICE_ZONE):
            # Of a year near the calendar's edge the zone could not be told.
            if isinstance(value, str) and not _YEAR(value.strip()):
                raise ValidationError(self.error_messages["invalid"], code="invalid")
            return super().to_python(value) if value else None

    def prepare_value(self, value: Any) -> Any:
        """As browsers write it: `2026-11-25T02:00`."""
        return f"{value.astimezone(OFFICE_ZONE):%Y-%m-%dT%H:%M}" if isinstance(value, datetime) else value


class ChangeForm(RequestForm):
    """All of a key that can be changed. Partner, workspace and environment can't: they need a new key."""

    why = ParagraphField(
        label=_("Why it is to be changed"),
        max_length=2_000,
        help_text=_("The approvers read this first."),
    )
    not_before = OfficeTimeField(
        label=_("Not before"),
        required=False,
        help_text=_("Japanese time. Once approved, the change waits for this time; empty is at once."),
    )
    reactivates = forms.BooleanField(
        label=_("Start the suspended key again"),
        required=False,
        help_text=_("The key works again as soon as the change is in force."),
    )

    retires_at = OfficeTimeField(
        label=_("Ends at"),
        required=False,
        help_text=_("Japanese time; best in office hours, when somebody can help. Empty: no retirement."),
    )
    replacement = forms.ChoiceField(
        label=_("Replaced by"),
        required=False,
        help_text=_("The key that the partner is to move to, if there is one already."),
    )
    short_notice = ParagraphField(
        label=_("Why with less than 30 days of notice"),
        required=False,
        max_length=2_000,
        help_text=_(
            "Needed if less than 30 days are likely to be left once it is approved. The partner is told that "
            "the notice is short, not why."
        ),
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, present: Present, **arguments: Any) -> None:
        super().__init__(data, **arguments)
        self.present = present
        for name in ("workspace", "environment"):
            del self.fields[name]
        if present.key.status != Key.Status.SUSPENDED or present.key.held_for:
            del self.fields["reactivates"]
        if present.key.status == Key.Status.PENDING:
            # The link is on its way to the one who stands there; another can't be told apart from a thief.
            self.fields["recipient"].disabled = True
            self.initial["recipient"] = present.terms.recipient
        if present.key.activated_at is None:
            # Nobody has it yet: it is revoked, not retired.
            for name in RETIREMENT:
                del self.fields[name]
        else:
            self._choose("replacement", [("", _("None")), *_replacements(present.key)])
        for name, hint in _use_hints(present):
            self.fields[name].help_text = hint

    def clean(self) -> dict[str, Any]:
        """The usual, and what the service would find wrong with the change itself."""
        cleaned = super().clean()
        wrong = wrong_time(cleaned.get("not_before"), self.present.key, self.now)
        if wrong:
            self.add_error("not_before", wrong)  # type: ignore[arg-type]  # the stubs know no lazy text
        if "retires_at" in self.fields and self.moves_retirement:
            self._judge_retirement()
        if not self.way:
            self.add_error(None, NOTHING_DIFFERS)
        return cleaned

    def _judge_retirement(self) -> None:
        problem = retirement_problem(
            self.present.key,
            self.terms,
            now=self.now,
            not_before=self.cleaned_data.get("not_before"),
            short_notice=self.cleaned_data.get("short_notice") or "",
        )
        if problem is not None and problem[0] not in self.errors:
            self.add_error(*problem)  # type: ignore[arg-type]  # the stubs know no lazy text

    @property
    def moves_retirement(self) -> bool:
        """Whether a retirement is planned, moved or called off."""
        now, terms = self.present.terms, self.terms
        return (terms.retires_at, terms.replacement) != (now.retires_at, now.replacement)

    @cached_property
    def way(self) -> str:
        """`tightens`, `loosens`, or `""` where nothing differs yet."""
        return direction_of(self.present.terms, self.terms, reactivates=self.reactivates_key)

    @property
    def reactivates_key(self) -> bool:
        """Whether the key is to be started again."""
        return bool(self.cleaned_data.get("reactivates"))

    def read_terms(self) -> KeyTerms:
        """The new terms; what says the same in another order or with other spaces is no difference."""
        now = self.present.terms
        terms = replace(
            super().read_terms(),
            workspace=now.workspace,
            environment=now.environment,
            **self._retirement_terms(),
        )
        same = {
            field.name: getattr(now, field.name)
            for field in fields(KeyTerms)
            if _says_the_same(getattr(now, field.name), getattr(terms, field.name))
        }
        return replace(terms, **same)

    def _retirement_terms(self) -> dict[str, Any]:
        now = self.present.terms
        if "retires_at" not in self.fields:
            return {"retires_at": now.retires_at, "replacement": now.replacement}
        ends_at: datetime | None = self.cleaned_data.get("retires_at")
        # With a retirement that is called off, what was to replace the key is let go of, too.
        called_off = ends_at is None and bool(now.retires_at) and "retires_at" not in self.errors
        replacement = "" if called_off else self.cleaned_data.get("replacement") or ""
        return {"retires_at": office_minute(ends_at) if ends_at else "", "replacement": replacement}

    def wish(self, based_on: str) -> Wish:
        """What the request says beside the terms; `based_on` is what the page carried."""
        return Wish(
            based_on=bytes.fromhex(based_on) if len(based_on) == 64 and based_on.isalnum() else b"",
            why=self.cleaned_data.get("why") or "",
            not_before=self.cleaned_data.get("not_before"),
            reactivates=self.reactivates_key,
            short_notice=(self.cleaned_data.get("short_notice") or "") if self.moves_retirement else "",
        )

    def schedule(self) -> list[Point]:
        """What the retirement that is asked for would bring, if it were approved now; nothing for none."""
        if not self.moves_retirement or not self.terms.retires_at:
            return []
        key, ends_at = self.present.key, datetime.fromisoformat(self.terms.retires_at)
        begins = max(self.now, self.cleaned_data.get("not_before") or self.now)
        if ends_at <= begins:
            return []
        noticed = key.retiring_from is not None and key.retiring_from <= begins
        notice_at = key.retiring_from if noticed and key.retiring_from else notice_from(ends_at, begins)
        return schedule_of(notice_at, ends_at)

    def surpluses(self) -> list[Problem]:
        """Where a higher limit is asked for than use speaks for: "start with less" (R2, R3)."""
        now, peaks, found = self.present.terms, self.present.peaks, list[Problem]()
        sentence = _("{asked} is asked for, {has} is allowed, and the busiest of {days} days needed {peak}.")
        needed = {"rpm": peaks.in_minute, "rph": peaks.in_hour}
        needed |= {name: most.n for name, most in peaks.at_once.items() if most.n or peaks.is_unused}
        for name, peak in needed.items():
            asked, has = getattr(self.terms, name), getattr(now, name)
            if asked > has > 2 * peak:
                text = format_lazy(
                    sentence, asked=f"{asked:,}", has=f"{has:,}", days=peaks.days, peak=f"{peak:,}"
                )
                found.append((name, format_lazy("{label}: {text}", label=self.fields[name].label, text=text)))
        return found


@dataclass(frozen=True, slots=True)
class ChangePanel:
    """Beside the form: which way the change goes, and what differs. `way` is `""` while nothing does."""

    way: str
    changes: list[TermChange]
    surpluses: list[Problem]
    reactivates: bool
    schedule: list[Point]


def change_panel(form: ChangeForm) -> ChangePanel:
    """The panel for a form that was judged."""
    return ChangePanel(
        way=form.way,
        changes=diff_terms(form.present.terms, form.terms),
        surpluses=form.surpluses(),
        reactivates=form.reactivates_key,
        schedule=form.schedule(),
    )


def _replacements(key: Key) -> list[tuple[str, str]]:
    """The partner's other keys of the same environment that run, and the one that was chosen before."""
    others = Key.objects.filter(partner=key.partner, environment=key.environment).exclude(pk=key.pk)
    runs = Q(status__in=[Key.Status.ACTIVE, Key.Status.PENDING])
    found = others.filter(runs | Q(replaces=key)).distinct().order_by("id")
    return [(other.public_id, str(other)) for other in found]


def _says_the_same(one: Any, other: Any) -> bool:
    if isinstance(one, str):
        return clean_text(one, lines=True) == clean_text(other, lines=True)
    return says_the_same(one, other)


def _use_hints(present: Present) -> list[tuple[str, str]]:
    """What the key has now and really uses, in sentences beside each limit."""
    hints = []
    for name, used in uses_of(present.terms, present.peaks).items():
        if used:
            sentence = _("Now {now}. {used} 0 is no limit.") if name in ENDLESS else _("Now {now}. {used}")
            hints.append((name, str(sentence).format(now=has_text(name, present.terms), used=used)))
    return hints
