"""Forms of the danger zone: what they say again is checked by the services (K6)."""

from django import forms
from django.utils.translation import gettext_lazy as _

from keys.models import Key
from keys.services.status import MAX_NOTE, NOT_FOR_PEOPLE

PERSONS_REASONS = [choice for choice in Key.RevokeReason.choices if choice[0] not in NOT_FOR_PEOPLE]
REASON = forms.Textarea(attrs={"rows": 2, "maxlength": MAX_NOTE})


class SuspendForm(forms.Form):
    """Stopping for a while: a reason, and no more."""

    reason = forms.CharField(
        label=_("Reason"),
        help_text=_("Stays in the audit log and on the key's page."),
        max_length=MAX_NOTE,
        widget=REASON,
    )


class ReactivateForm(forms.Form):
    """Starting again: why it is safe."""

    reason = forms.CharField(
        label=_("Why it is safe to start the key again"),
        help_text=_("Stays in the audit log."),
        max_length=MAX_NOTE,
        widget=REASON,
    )


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
        widget=REASON,
    )
    typed_number = forms.CharField(label=_("The key's number"), max_length=40)
