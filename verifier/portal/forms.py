"""The forms of gateways and of blocked addresses."""

from django import forms
from django.utils.translation import gettext_lazy as _

from core.fields import CidrListField, LineField, NetworkField
from verifier.models import Gateway


class GatewayForm(forms.Form):
    """What a gateway is called, how it is answered and from where it may ask."""

    name = LineField(label=_("Name"), max_length=120, help_text=_("What it stands in front of."))
    mode = forms.ChoiceField(
        label=_("Answers"),
        choices=Gateway.Mode.choices,
        initial=Gateway.Mode.STANDARD,
        widget=forms.RadioSelect,
        help_text=_(
            "nginx where its auth_request asks: it understands 401 and 403 only. Standard for all others: "
            "Traefik, Caddy, Envoy, APISIX, programs."
        ),
    )
    fail_policy = forms.ChoiceField(
        label=_("While the hot store is away"),
        choices=Gateway.FailPolicy.choices,
        initial=Gateway.FailPolicy.OPEN,
        widget=forms.RadioSelect,
        help_text=_(
            "The hot store (Valkey) counts for all servers together. Without it each can only count for "
            "itself."
        ),
    )
    ip_ranges = CidrListField(
        label=_("May ask from"),
        required=False,
        max_items=50,
        help_text=_("Addresses or networks, one a line. Empty: from everywhere, with the credential."),
    )
    reports_ends = forms.BooleanField(
        label=_("Reports when calls end"),
        required=False,
        help_text=_(
            "Tick this if the gateway, or the API behind it, tells /v1/usage when each call has ended. Only "
            "then do limits on concurrent requests apply to its calls. nginx, Traefik, Caddy and Envoy can't "
            "tell by themselves; the Python client can."
        ),
    )


class BlockForm(forms.Form):
    """From where no key is answered, why, and until when."""

    network = NetworkField(
        label=_("Address or network"),
        help_text=_("For example 203.0.113.9 or 203.0.113.0/24."),
        max_length=50,
    )
    reason = LineField(label=_("Reason"), max_length=200, help_text=_("Stays in the audit log."))
    hours = forms.IntegerField(
        label=_("Blocked for how many hours"),
        help_text=_("Ends by itself. At most 720 (thirty days)."),
        min_value=1,
        max_value=720,
        initial=24,
    )
