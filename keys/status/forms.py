"""Forms of stopping, starting and ending a key: the services check again what they say (K6)."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from keys.models import Key
from keys.status.services import MAX_NOTE, NOT_FOR_PEOPLE

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
