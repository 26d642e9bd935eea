"""The form of a gateway."""

from django import forms
from django.utils.translation import gettext_lazy as _

from core.fields import CidrListField, LineField
from verifier.models import Gateway


class GatewayForm(forms.Form):
    """What a gateway is called, how it is answered and from where it may ask."""

    name = LineField(label=_("Name"), max_length=120, help_text=_("What it stands in front of."))
    mode = forms.ChoiceField(
        label=_("Answers"),
        choices=Gateway.Mode.choices,
        initial=Gateway.Mode.STANDARD,
        widget=forms.RadioSelect,
        help_text=_("nginx turns every status but 401 and 403 into 500: then 429 travels in a field."),
    )
    fail_policy = forms.ChoiceField(
        label=_("While the hot store is away"),
        choices=Gateway.FailPolicy.choices,
        initial=Gateway.FailPolicy.OPEN,
        widget=forms.RadioSelect,
    )
    ip_ranges = CidrListField(
        label=_("May ask from"),
        required=False,
        max_items=50,
        help_text=_("Addresses or networks, one a line. Empty: from everywhere, with the credential."),
    )
