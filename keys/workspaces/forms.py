"""Forms of what a key may do in workspaces, and of what a workspace may do (V2, V3)."""

from typing import Any, cast

from django import forms
from django.utils.translation import gettext_lazy as _

from core.fields import DateField, UsdField, WholeNumberField
from keys.models import Key
from keys.status.forms import ReasonField
from keys.workspaces.services.limits import LIMITS
from partners.models import Workspace
from partners.services.changes import fingerprint


class GrantForm(forms.Form):
    """Lets a key act in another workspace of its partner."""

    workspace = forms.ChoiceField(label=_("Workspace"))
    ends_on = DateField(label=_("Last day"), help_text=_("It ends by itself with this day in Japan."))
    reason = ReasonField()

    def __init__(self, *args: Any, key: Key, **options: Any) -> None:
        super().__init__(*args, **options)
        others = key.partner.workspaces.filter(is_active=True).exclude(pk=key.workspace_id)
        choices = [(place.public_id, f"{place.name} ({place.code})") for place in others]
        field = cast("forms.ChoiceField", self.fields["workspace"])
        field.choices = [("", _("Choose a workspace")), *choices]


class EndGrantForm(forms.Form):
    """Takes such a grant back."""

    reason = ReasonField()


class WorkspaceLimitsForm(forms.Form):
    """What the keys of a workspace may use together; empty is no limit."""

    rpm = WholeNumberField(label=_("Requests a minute"), required=False, min_value=1, max_value=10_000_000)
    rph = WholeNumberField(label=_("Requests an hour"), required=False, min_value=1, max_value=100_000_000)
    monthly_budget_usd = UsdField(label=_("Monthly budget"), required=False)
    reason = ReasonField()
    seen = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)

    @classmethod
    def values_of(cls, workspace: Workspace) -> dict[str, Any]:
        """The initial values."""
        limits = {name: getattr(workspace, name) for name in LIMITS}
        shown = {name: value or None for name, value in limits.items() if name != "monthly_budget_usd"}
        budget = workspace.monthly_budget_usd
        return {**shown, "monthly_budget_usd": budget, "seen": fingerprint(workspace, LIMITS)}

    def limits(self) -> dict[str, Any]:
        """The cleaned data as the service takes it."""
        data = self.cleaned_data
        return {**data, "rpm": data["rpm"] or 0, "rph": data["rph"] or 0}
