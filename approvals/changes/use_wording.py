"""What a key really uses of a limit, in a sentence to stand beside it (R3)."""

from decimal import Decimal

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from core.wording import date_text, money_text
from keys.terms.terms import KeyTerms
from keys.use.selectors.peaks import Peaks

LIMITS = ("rpm", "rph", "burst", "concurrency", "monthly_budget_usd")


def uses_of(terms: KeyTerms, peaks: Peaks) -> dict[str, str]:
    """A sentence for each of LIMITS; "" where there is nothing to say. `terms` are those that the key has."""
    return {
        "rpm": _busiest(peaks, peaks.in_minute),
        "rph": _busiest(peaks, peaks.in_hour),
        "burst": _at_once(peaks, "burst", terms.burst),
        "concurrency": _at_once(peaks, "concurrency", terms.concurrency),
        "monthly_budget_usd": _spent(peaks) if terms.monthly_budget_usd else "",
    }


def has_text(limit: str, terms: KeyTerms) -> str:
    """What the key has of this limit now, in words."""
    if limit == "monthly_budget_usd":
        return money_text(Decimal(terms.monthly_budget_usd), "USD") if terms.monthly_budget_usd else ""
    number: int = getattr(terms, limit)
    return f"{number:,}" if number else _("no limit")


def _busiest(peaks: Peaks, peak: int) -> str:
    return _("The busiest of the last {days} days needed {peak}.").format(days=peaks.days, peak=f"{peak:,}")


def _at_once(peaks: Peaks, limit: str, has: int) -> str:
    most, n_refused = peaks.at_once[limit], peaks.n_refused[limit]
    if most.day is not None:
        sentence = _("In the last {days} days at most {n} at once, on {day}.")
        text = sentence.format(n=f"{most.n:,}", day=date_text(most.day), days=peaks.days)
    elif peaks.is_unused:
        text = _("Not used in the last {days} days.").format(days=peaks.days)
    elif has:
        text = _("How much is used at once was not measured in the last {days} days.").format(days=peaks.days)
    else:
        text = _("Without a limit, how much is used at once is not measured.")
    if not n_refused:
        return text
    refused = ngettext("It refused {n} call.", "It refused {n} calls.", n_refused).format(n=f"{n_refused:,}")
    return _("{sentence} {another}").format(sentence=text, another=refused)


def _spent(peaks: Peaks) -> str:
    if peaks.spent_usd is None:
        return ""
    return _("{spent} used this month.").format(spent=money_text(peaks.spent_usd, "USD"))
