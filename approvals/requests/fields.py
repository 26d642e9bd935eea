"""What a request asks for, field by field: labels, hints, bounds (R1). How it is read: requests.form."""

from django import forms
from django.utils.translation import gettext_lazy as _

from core.fields import (
    CidrListField,
    DateField,
    LineField,
    ParagraphField,
    PercentField,
    TextListField,
    UsdField,
    WholeNumberField,
)

THRESHOLDS = (50, 80, 90, 100)

# A limit is taken away by writing so, not by leaving a field empty.
NEVER_UNLIMITED_BY_MISTAKE = {"required": _("Write a number; for no limit write 0.")}


class RequestFields(forms.Form):
    """The fields, without the choices that hang on the partner."""

    name = LineField(
        label=_("Name of the key"),
        max_length=120,
        help_text=_("What it is for, in a few words. It stands in every list and mail."),
    )
    workspace = forms.ChoiceField(
        label=_("Workspace"), help_text=_("The partner's project; the key works in this one only.")
    )
    recipient = forms.ChoiceField(
        label=_("Receives the key"),
        help_text=_("Gets the link by mail and sees the key once. We never see it."),
    )
    consent_contact = forms.ChoiceField(
        label=_("Gives the rights-holder's consent"),
        help_text=_("Is asked by mail, at the registered address."),
    )
    # Both are ticked below one heading: each error has to say what it is about.
    products = forms.MultipleChoiceField(
        label=_("API products"),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": _("Choose at least one API product.")},
    )
    scopes = forms.MultipleChoiceField(
        label=_("Scopes"),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": _("Choose at least one scope.")},
    )
    model_names = forms.MultipleChoiceField(
        label=_("Models"), widget=forms.CheckboxSelectMultiple, required=False
    )
    feature_names = forms.MultipleChoiceField(
        label=_("Features"), widget=forms.CheckboxSelectMultiple, required=False
    )
    purpose_category = forms.ChoiceField(label=_("Purpose"), widget=forms.RadioSelect)
    purpose = ParagraphField(
        label=_("What exactly for"),
        max_length=4_000,
        help_text=_(
            "Who calls, from which service, to do what. The approvers, and a rights-holder, read this."
        ),
    )
    sla_latency_ms = WholeNumberField(
        label=_("Agreed response time"), required=False, min_value=1, max_value=600_000
    )
    sla_success_percent = PercentField(label=_("Agreed success rate"), required=False)
    environment = forms.ChoiceField(
        label=_("Environment"),
        widget=forms.RadioSelect,
        help_text=_("A key has one environment. Ask for one key for each that you need."),
    )
    contract = forms.ChoiceField(label=_("Contract"), widget=forms.RadioSelect, required=False)
    licence_checklist = forms.MultipleChoiceField(
        label=_("Data-licence checklist"),
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text=_("Confirm every point; legal relies on it."),
    )
    plan = forms.ChoiceField(label=_("Plan"), widget=forms.RadioSelect)
    plan_before = forms.CharField(widget=forms.HiddenInput, required=False, max_length=40)
    rpm = WholeNumberField(label=_("Requests a minute"), min_value=1, max_value=10_000_000)
    rph = WholeNumberField(label=_("Requests an hour"), min_value=1, max_value=100_000_000)
    burst = WholeNumberField(
        label=_("Burst"),
        max_value=10_000_000,
        help_text=_("More at once than the minute allows; 0 is no limit."),
        error_messages=NEVER_UNLIMITED_BY_MISTAKE,
    )
    concurrency = WholeNumberField(
        label=_("At the same time"),
        max_value=1_000_000,
        help_text=_("Calls that run side by side; 0 is no limit."),
        error_messages=NEVER_UNLIMITED_BY_MISTAKE,
    )
    monthly_budget_usd = UsdField(
        label=_("Monthly budget"), required=False, help_text=_("Left empty: costs are counted, not limited.")
    )
    billing_contact = forms.ChoiceField(label=_("Is told about costs"), required=False)
    budget_thresholds = forms.MultipleChoiceField(
        label=_("Warn at"),
        choices=[(str(share), f"{share} %") for share in THRESHOLDS],
        widget=forms.CheckboxSelectMultiple,
        required=False,
    )
    suspend_at_budget = forms.BooleanField(
        label=_("Suspend the key when the budget is used up"), required=False
    )
    ip_ranges = CidrListField(
        label=_("Addresses that call"),
        required=False,
        max_items=100,
        help_text=_(
            "One a line, like 203.0.113.7 or 203.0.113.0/24. Left empty, the key works from anywhere."
        ),
    )
    countries = TextListField(
        label=_("Countries that call"),
        required=False,
        max_items=50,
        max_length=2,
        help_text=_("Codes of two letters, like JP, US. Left empty, the key works from every country."),
    )
    rotation_days = forms.TypedChoiceField(label=_("Rotation class"), widget=forms.RadioSelect, coerce=int)
    expires_on = DateField(label=_("Last day"))
    end_of_life = forms.ChoiceField(label=_("At its end"), widget=forms.RadioSelect)
