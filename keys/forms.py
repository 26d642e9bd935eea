"""Forms of the danger zone: what they say again is checked by the services (K6)."""

from typing import Any, cast

from django import forms
from django.utils.translation import gettext_lazy as _

from core.fields import DateField, UsdField, WholeNumberField
from keys.models import Key
from keys.quarantine import MAX_HOURS
from keys.services.status import MAX_NOTE, NOT_FOR_PEOPLE
from keys.services.workspace_limits import LIMITS
from partners.models import Workspace
from partners.services.changes import fingerprint

PERSONS_REASONS = [choice for choice in Key.RevokeReason.choices if choice[0] not in NOT_FOR_PEOPLE]
NOTE = forms.Textarea(attrs={"rows": 2, "maxlength": MAX_NOTE})


class ReasonField(forms.CharField):
    """Why: a few lines that are kept."""

    def __init__(self, **options: Any) -> None:
        said = {"label": _("Reason"), "help_text": _("Stays in the audit log.")}
        super().__init__(max_length=MAX_NOTE, widget=NOTE, **(said | options))


class SuspendForm(forms.Form):
    """Stopping for a while: a reason, and no more."""

    reason = ReasonField(help_text=_("Stays in the audit log and on the key's page."))


class QuarantineForm(forms.Form):
    """Narrowing for a while: a reason and an end."""

    reason = ReasonField(help_text=_("Stays in the audit log and on the key's page."))
    hours = forms.IntegerField(
        label=_("For how many hours"),
        help_text=_("Ends by itself. At most 168 (seven days)."),
        min_value=1,
        max_value=MAX_HOURS,
        initial=24,
    )


class QuarantineEndForm(forms.Form):
    """Giving back what the key may do: why that is safe."""

    reason = ReasonField(label=_("Why it is safe to end the quarantine"))


class ReactivateForm(forms.Form):
    """Starting again: why it is safe."""

    reason = ReasonField(label=_("Why it is safe to start the key again"))


class RevokeForm(forms.Form):
    """Ending for ever: a reason from the list, a note, and the key's number typed by hand."""

    reason = forms.ChoiceField(
        label=_("Reason"),
        choices=[("", _("Choose a reason")), *PERSONS_REASONS],
    )
    note = forms.CharField(
        label=_("Remark"),
        help_text=_("Required for “Other”. Stays in the audit log; the partner is told the reason only."),
        max_length=MAX_NOTE,
        required=False,
        widget=NOTE,
    )
    typed_number = forms.CharField(label=_("The key's number"), max_length=40)


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
