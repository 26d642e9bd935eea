"""The form of a request to change a key: the new key's form, filled with what the key has now (R3)."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from approvals.forms import RequestForm
from approvals.models import Request
from approvals.selectors.changes import direction_of, present_terms
from approvals.services.changing import NOTHING_DIFFERS, Wish, wrong_time
from approvals.terms_diff import TermChange, diff_terms
from core.fields import ParagraphField
from core.parsing import clean_text
from core.wording import money_text
from keys.models import Key
from keys.selectors.limits import use_now
from keys.selectors.peaks import Peaks, peaks_of
from keys.selectors.settings import digest_of_settings
from keys.terms import OFFICE_ZONE, KeyTerms, says_the_same
from keys.terms_check import Problem


@dataclass(frozen=True, slots=True)
class Present:
    """The key as it is now: its terms, and what it really uses of them."""

    key: Key
    terms: KeyTerms
    peaks: Peaks
    spent_usd: Decimal | None

    @property
    def digest(self) -> str:
        """The digest of the key's settings, for the page to carry."""
        return digest_of_settings(self.terms).hex()


def present_of(request: Request, *, now: datetime) -> Present:
    """What a change starts from."""
    key = Key.objects.select_related(
        "partner", "workspace", "contract", "recipient", "billing_contact", "plan", "owner"
    ).get(pk=request.change.key_id)
    running = use_now([key], now=now).get(key.pk)
    return Present(key, present_terms(key), peaks_of(key, now=now), running.spent_usd if running else None)


class OfficeTimeField(forms.DateTimeField):
    """A day and time in Japan, whatever zone the person reads the portal in; cleaned to an aware datetime."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local"})

    def to_python(self, value: Any) -> datetime | None:
        """The moment in Japan."""
        with timezone.override(OFFICE_ZONE):
            return super().to_python(value)

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
        for name, hint in _use_hints(present):
            self.fields[name].help_text = hint

    def clean(self) -> dict[str, Any]:
        """The usual, and what the service would find wrong with the change itself."""
        cleaned = super().clean()
        wrong = wrong_time(cleaned.get("not_before"), self.present.key, self.now)
        if wrong:
            self.add_error("not_before", wrong)  # type: ignore[arg-type]  # the stubs know no lazy text
        if not self.way:
            self.add_error(None, NOTHING_DIFFERS)
        return cleaned

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
        terms = replace(super().read_terms(), workspace=now.workspace, environment=now.environment)
        same = {
            field.name: getattr(now, field.name)
            for field in fields(KeyTerms)
            if _says_the_same(getattr(now, field.name), getattr(terms, field.name))
        }
        return replace(terms, **same)

    def wish(self, based_on: str) -> Wish:
        """What the request says beside the terms; `based_on` is what the page carried."""
        return Wish(
            based_on=bytes.fromhex(based_on) if len(based_on) == 64 and based_on.isalnum() else b"",
            why=self.cleaned_data.get("why") or "",
            not_before=self.cleaned_data.get("not_before"),
            reactivates=self.reactivates_key,
        )

    def surpluses(self) -> list[Problem]:
        """Where a higher limit is asked for than use speaks for: "start with less" (R2, R3)."""
        now, peaks, found = self.present.terms, self.present.peaks, list[Problem]()
        sentence = _("{asked} is asked for, {has} is allowed, and the busiest of {days} days needed {peak}.")
        for name, peak in (("rpm", peaks.in_minute), ("rph", peaks.in_hour)):
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


def change_panel(form: ChangeForm) -> ChangePanel:
    """The panel for a form that was judged."""
    return ChangePanel(
        way=form.way,
        changes=diff_terms(form.present.terms, form.terms),
        surpluses=form.surpluses(),
        reactivates=form.reactivates_key,
    )


def _says_the_same(one: Any, other: Any) -> bool:
    if isinstance(one, str):
        return clean_text(one, lines=True) == clean_text(other, lines=True)
    return says_the_same(one, other)


def _use_hints(present: Present) -> list[tuple[str, Any]]:
    """What the key has now and really uses, in a sentence beside each limit."""
    now, peaks = present.terms, present.peaks
    used = _("Now {now}; the busiest of the last {days} days needed {peak}.")
    hints: list[tuple[str, Any]] = [
        ("rpm", format_lazy(used, now=_limit(now.rpm), days=peaks.days, peak=f"{peaks.in_minute:,}")),
        ("rph", format_lazy(used, now=_limit(now.rph), days=peaks.days, peak=f"{peaks.in_hour:,}")),
        ("burst", format_lazy(_("Now {now}. 0 is no limit."), now=_limit(now.burst))),
        ("concurrency", format_lazy(_("Now {now}. 0 is no limit."), now=_limit(now.concurrency))),
    ]
    if now.monthly_budget_usd and present.spent_usd is not None:
        sentence = _("Now {now}; {spent} used this month.")
        budget, spent = Decimal(now.monthly_budget_usd), present.spent_usd
        text = format_lazy(sentence, now=money_text(budget, "USD"), spent=money_text(spent, "USD"))
        hints.append(("monthly_budget_usd", text))
    return hints


def _limit(number: int) -> Any:
    return f"{number:,}" if number else _("no limit")
