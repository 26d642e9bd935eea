"""The small forms of a change that is approved: why it is taken back, what was seen after it (R3)."""

from django import forms
from django.utils.translation import gettext_lazy as _

from core.fields import ParagraphField


class ReasonForm(forms.Form):
    """Why something that was approved is taken back."""

    reason = ParagraphField(
        label=_("Reason"),
        max_length=2_000,
        help_text=_("Stays in the audit log; the requester, the owner and the recipient are told."),
    )


class LookForm(forms.Form):
    """What somebody saw who looked at what a change did."""

    note = ParagraphField(
        label=_("What you saw"),
        max_length=2_000,
        help_text=_("Does the partner work as before? Are calls refused that should not be?"),
    )
