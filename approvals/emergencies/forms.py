"""The form of breaking the glass (A8)."""

from django import forms
from django.utils.translation import gettext_lazy as _

from core.fields import LineField, ParagraphField


class BreakGlassForm(forms.Form):
    """Why a key has to be there before its approvals (A8)."""

    reason = ParagraphField(
        label=_("What the emergency is"),
        help_text=_("PM, legal and the COO read it at once, and those who approve afterwards."),
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": _("Say what the emergency is.")},
    )
    incident = LineField(
        label=_("Incident"), help_text=_("Its number, if there is one."), required=False, max_length=120
    )
    typed_number = forms.CharField(label=_("The request's number"), max_length=40)
