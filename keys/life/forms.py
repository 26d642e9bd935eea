"""Forms of the danger zone: what they say again is checked by the services (K6)."""

from django import forms
from django.utils.translation import gettext_lazy as _

from keys.rights.quarantine import MAX_HOURS
from keys.status.forms import ReasonField


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
