"""Forms of partners and what belongs to them. A hidden `seen` tells whether a form is stale (409)."""

import re
from collections.abc import Iterable
from typing import Any, cast

from django import forms
from django.conf import settings
from django.core.validators import RegexValidator
from django.db.models import Model
from django.utils.text import format_lazy
from django.utils.translation import get_language_info
from django.utils.translation import gettext_lazy as _

from accounts.forms import COMMON_ZONES
from core.days import NO_END
from core.fields import DateField, EmailField, LineField, ParagraphField, YenField
from core.parsing import narrow
from core.wording import money_text
from partners.corporate_number import parse_corporate_number
from partners.models import Contact, Contract, IdentityCheck, LicenceLevel, Partner, Workspace
from partners.services.changes import fingerprint
from partners.services.contacts import CONTACT_FIELDS
from partners.services.contracts import CONTRACT_FIELDS
from partners.services.partners import PARTNER_FIELDS
from partners.services.workspaces import WORKSPACE_FIELDS

# Each in its own words, whoever reads.
LANGUAGES = [(code, get_language_info(code)["name_local"]) for code, _name in settings.LANGUAGES]


class _NarrowField(forms.CharField):
    """Codes and numbers: full-width letters and digits are made half-width before anything is checked."""

    def to_python(self, value: Any) -> str:
        return narrow(super().to_python(value) or "")


class CorporateNumberField(_NarrowField):
    """A 法人番号 with its check digit; `""` where there is none."""

    def clean(self, value: Any) -> str:
        """The 13 digits."""
        return parse_corporate_number(super().clean(value))


def changing(row: Model, fields: Iterable[str]) -> dict[str, Any]:
    """The initial values of a form that changes this row, with what it shows in `seen`."""
    fields = tuple(fields)
    return {name: getattr(row, name) for name in fields} | {"seen": fingerprint(row, fields)}


class PartnerForm(forms.Form):
    """Registers a partner."""

    kind = forms.ChoiceField(
        label=_("Kind"),
        choices=Partner.Kind.choices,
        widget=forms.RadioSelect,
        help_text=_("A rights-holder's keys need the consent of the star or the office."),
    )
    name = LineField(label=_("Name"), max_length=160, help_text=_("As it stands in the contract."))
    name_kana = LineField(
        label=_("Name in kana or Latin letters"),
        max_length=160,
        required=False,
        help_text=_("For searching and sorting."),
    )
    corporate_number = CorporateNumberField(
        label=_("Corporate number"),
        max_length=40,
        required=False,
        help_text=_("13 digits, from the public register."),
    )
    website = forms.URLField(
        label=_("Website"),
        help_text=_("The partner's own domain."),
        max_length=200,
        required=False,
        assume_scheme="https",
        widget=forms.URLInput(attrs={"placeholder": "https://"}),
    )
    note = ParagraphField(label=_("Remarks"), max_length=2000, required=False)


class PartnerChangeForm(PartnerForm):
    """Changes a partner."""

    is_active = forms.BooleanField(
        label=_("Active"), required=False, help_text=_("An ended partner gets no new keys.")
    )
    seen = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)

    @classmethod
    def values_of(cls, partner: Partner) -> dict[str, Any]:
        """The initial values."""
        return changing(partner, PARTNER_FIELDS)


class ContactForm(forms.Form):
    """Adds a person at a partner."""

    name = LineField(label=_("Name"), max_length=120)
    title = LineField(label=_("Department and title"), max_length=120, required=False)
    email = EmailField(
        label=_("E-mail address"),
        help_text=_("Links to keys and to consents go here, so check it letter by letter."),
    )
    phone = _NarrowField(label=_("Phone"), max_length=30, required=False)
    purposes = forms.MultipleChoiceField(
        label=_("What for"), choices=Contact.Purpose.choices, widget=forms.CheckboxSelectMultiple
    )
    language = forms.ChoiceField(
        label=_("Language of mails"), choices=LANGUAGES, initial="ja", widget=forms.RadioSelect
    )

    def __init__(self, *args: Any, partner: Partner, **options: Any) -> None:
        super().__init__(*args, **options)
        field = cast("forms.MultipleChoiceField", self.fields["purposes"])
        field.choices = [
            choice
            for choice in Contact.Purpose.choices
            if partner.needs_consent or choice[0] != Contact.Purpose.CONSENT
        ]


class ContactChangeForm(ContactForm):
    """Changes a person at a partner."""

    is_active = forms.BooleanField(
        label=_("Active"), required=False, help_text=_("An inactive contact is not offered for new requests.")
    )
    seen = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)

    @classmethod
    def values_of(cls, contact: Contact) -> dict[str, Any]:
        """The initial values."""
        return changing(contact, CONTACT_FIELDS)


class ContractForm(forms.Form):
    """Adds a contract; that it doesn't end before it begins is checked beside its field."""

    title = LineField(label=_("Title"), max_length=160)
    monthly_amount_jpy = YenField(label=_("Monthly amount (JPY)"))
    starts_on = DateField(
        label=_("From"), help_text=_("For example 2026-04-01; 2026年4月1日 and R8.4.1 are fine, too.")
    )
    ends_on = DateField(
        label=_("Until"),
        required=False,
        help_text=_("For example 2027-03-31: the last day that counts. Keys never outlive it."),
    )
    has_no_end = forms.BooleanField(label=_("No end is agreed"), required=False)
    licence_level = forms.ChoiceField(
        label=_("Data-licence level"), choices=LicenceLevel.choices, widget=forms.RadioSelect
    )
    terms_version = LineField(
        label=_("Terms of use accepted"), max_length=40, help_text=_("The version, for example 2026-04.")
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["monthly_amount_jpy"].help_text = format_lazy(
            _("Without tax. 500,000 and 50万円 are both fine. Above {threshold} the COO approves too."),
            threshold=money_text(settings.COO_THRESHOLD_JPY),
        )

    def clean(self) -> dict[str, Any]:
        """The period as a whole: a last day, or none."""
        data = super().clean() or self.cleaned_data
        starts_on, ends_on, has_no_end = (
            data.get("starts_on"),
            data.get("ends_on"),
            data.pop("has_no_end", False),
        )
        if ends_on and has_no_end:
            self.add_error("ends_on", _("Write a last day, or tick that no end is agreed: not both."))
        elif not ends_on and not has_no_end and "ends_on" not in self.errors:
            self.add_error("ends_on", _("Write the last day of the contract, or tick that no end is agreed."))
        elif starts_on and ends_on and ends_on < starts_on:
            self.add_error("ends_on", _("The contract can't end before it begins."))
        return data | ({"ends_on": NO_END} if has_no_end else {})


class ContractChangeForm(ContractForm):
    """Changes a contract."""

    seen = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)

    @classmethod
    def values_of(cls, contract: Contract) -> dict[str, Any]:
        """The initial values."""
        values = changing(contract, CONTRACT_FIELDS)
        return values | ({"ends_on": None, "has_no_end": True} if contract.ends_on == NO_END else {})


class _ZoneForm(forms.Form):
    """A workspace's name and zone."""

    name = LineField(label=_("Name"), max_length=120)
    time_zone = forms.ChoiceField(
        label=_("Time zone"),
        initial="Asia/Tokyo",
        help_text=_("Daily and monthly limits begin at midnight there."),
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        field = cast("forms.ChoiceField", self.fields["time_zone"])
        zones = dict.fromkeys([*COMMON_ZONES, str(self.initial.get("time_zone", "Asia/Tokyo"))])
        field.choices = [(zone, zone.replace("_", " ")) for zone in zones]


class WorkspaceForm(_ZoneForm):
    """Adds a workspace."""

    code = _NarrowField(
        label=_("Code"),
        max_length=60,
        validators=[
            RegexValidator(
                r"^[-\w]+\Z",
                _("Write letters, digits and hyphens only, for example campaign-2026."),
                flags=re.ASCII,
            )
        ],
        help_text=_(
            "What a gateway sends, for example minato-logi. Letters, digits and hyphens; never changes."
        ),
        widget=forms.TextInput(attrs={"autocapitalize": "none", "spellcheck": "false"}),
    )
    field_order = ("name", "code", "time_zone")

    def clean_code(self) -> str:
        """Lower case: two codes that differ in case only would be mixed up."""
        return str(self.cleaned_data["code"]).lower()


class WorkspaceChangeForm(_ZoneForm):
    """Changes a workspace; its code stays."""

    is_active = forms.BooleanField(label=_("Active"), required=False)
    seen = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)

    @classmethod
    def values_of(cls, workspace: Workspace) -> dict[str, Any]:
        """The initial values."""
        return changing(workspace, WORKSPACE_FIELDS)


class IdentityCheckForm(forms.Form):
    """Records an identity check; every point must be ticked."""

    checklist = forms.MultipleChoiceField(
        label=_("Checked"),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": _("Check every point. A check that was done by half is none.")},
    )
    note = ParagraphField(
        label=_("Remarks"),
        max_length=1000,
        required=False,
        help_text=_("Where you looked, and what you saw. No personal data."),
    )

    def __init__(self, *args: Any, partner: Partner, **options: Any) -> None:
        super().__init__(*args, **options)
        field = cast("forms.MultipleChoiceField", self.fields["checklist"])
        field.choices = [(point.value, point.label) for point in IdentityCheck.points_for(partner.kind)]
