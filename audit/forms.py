"""The explorer's filters, as they stand in the URL."""

from datetime import date
from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils.translation import gettext_lazy as _

from audit.selectors import Filters
from audit.wording import GROUPS, Words, actions_in, label_of


def action_choices() -> list[tuple[Words, Any]]:
    """Everything; each group; below each group its actions in words. The values stand in URLs: they stay."""
    groups = [
        (words, [(f"group:{name}", words), *((action, label_of(action)) for action in actions_in(name))])
        for name, words in GROUPS.items()
    ]
    return [("", _("Everything")), *groups]


# Days beyond these are typing errors, and beyond the calendar's own ends no midnight can be reckoned.
DAYS = (MinValueValidator(date(1970, 1, 2)), MaxValueValidator(date(9998, 12, 31)))


class FilterForm(forms.Form):
    """All fields are optional; what can't be read is shown as an error and filters nothing."""

    action = forms.ChoiceField(label=_("What happened"), required=False, choices=action_choices)
    actor = forms.CharField(label=_("Who"), required=False, max_length=60)
    thing = forms.CharField(label=_("Number"), required=False, max_length=60)
    since = forms.DateField(
        label=_("From"),
        required=False,
        validators=DAYS,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    until = forms.DateField(
        label=_("Until"),
        required=False,
        validators=DAYS,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    q = forms.CharField(label=_("Text"), required=False, max_length=120)

    def clean(self) -> dict[str, Any]:
        """Days in their order."""
        data: dict[str, Any] = super().clean() or {}
        since, until = data.get("since"), data.get("until")
        if since and until and until < since:
            self.add_error("until", _("This day lies before the first one."))
        return data

    def chip(self, name: str) -> str:
        """What one filter is set to, in words."""
        value = str(self.data.get(name, ""))
        if name == "action" and value.startswith("group:"):
            return str(GROUPS[value.removeprefix("group:")])
        if name == "action":
            return label_of(value)
        return value if name == "thing" else f"{self.fields[name].label}: {value}"

    def filters(self) -> Filters:
        """What of the form could be read."""
        self.is_valid()
        data = getattr(self, "cleaned_data", {})
        return Filters(
            action=data.get("action") or "",
            actor=data.get("actor") or "",
            thing=data.get("thing") or "",
            since=data.get("since"),
            until=data.get("until"),
            text=data.get("q") or "",
        )
