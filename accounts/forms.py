"""Forms of the person's own pages and of the team."""

import unicodedata
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.http import QueryDict
from django.utils.translation import get_language_info
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.roles import Role
from core.fields import EmailField, LineField

# Each language by its own name: who looks for theirs may not read the other.
LANGUAGE_CHOICES = [(code, get_language_info(code)["name_local"]) for code, _name in settings.LANGUAGES]
COMMON_ZONES = (
    "Asia/Tokyo",
    "Asia/Seoul",
    "Asia/Shanghai",
    "Asia/Singapore",
    "Asia/Kolkata",
    "Europe/London",
    "Europe/Berlin",
    "America/New_York",
    "America/Los_Angeles",
    "UTC",
)


class ProfileForm(forms.Form):
    """What a person decides about their own account: words and clocks, never roles."""

    name = LineField(label=_("Name"), max_length=120)
    department = LineField(label=_("Department"), max_length=120, required=False)
    language = forms.ChoiceField(
        label=_("Language"),
        help_text=_("Of the pages and of the mails that you get."),
        choices=LANGUAGE_CHOICES,
        widget=forms.RadioSelect,
    )
    time_zone = forms.ChoiceField(
        label=_("Time zone"), help_text=_("Times on the pages and in mails are shown in it.")
    )

    def __init__(self, data: QueryDict | None, *, user: User) -> None:
        names = ("name", "department", "language", "time_zone")
        super().__init__(data, initial={name: getattr(user, name) for name in names})
        zones = dict.fromkeys([*COMMON_ZONES, *sorted(z for z in available_timezones() if "/" in z)])
        field = self.fields["time_zone"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(zone, zone.replace("_", " ")) for zone in zones]


class InviteForm(forms.Form):
    """Whom to invite, and as what."""

    name = LineField(label=_("Name"), max_length=120)
    email = EmailField(
        label=_("E-mail address"),
        help_text=_("The link to set a password goes there, and later every approval mail."),
    )
    department = LineField(label=_("Department"), max_length=120, required=False)
    language = forms.ChoiceField(
        label=_("Language"), choices=LANGUAGE_CHOICES, initial="ja", widget=forms.RadioSelect
    )
    roles = forms.MultipleChoiceField(
        label=_("Roles"),
        choices=Role.choices,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("As few as the work needs. Tech, Security, COO and Admin must use a second factor."),
    )


class RolesForm(forms.Form):
    """All the roles that a person shall have."""

    roles = forms.MultipleChoiceField(
        label=_("Roles"), choices=Role.choices, widget=forms.CheckboxSelectMultiple
    )


class DeactivateForm(forms.Form):
    """Why an account is closed; typed confirmation against the wrong person."""

    reason = forms.CharField(
        label=_("Reason (kept in the audit log)"), max_length=300, widget=forms.Textarea(attrs={"rows": 2})
    )
    confirm = forms.CharField(label=_("Number of the person"), max_length=12)

    def __init__(self, data: QueryDict | None = None, *, expected: str = "") -> None:
        super().__init__(data)
        self.expected = expected

    def clean_confirm(self) -> str:
        """The person's number, in any letter case or width."""
        typed = unicodedata.normalize("NFKC", self.cleaned_data["confirm"]).strip().upper()
        if typed != self.expected:
            raise forms.ValidationError(_("This is not the number of this person."))
        return typed
