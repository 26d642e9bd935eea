"""Forms about absences and deputies (A5)."""

from datetime import date, datetime, time, timedelta

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from approvals.models import DelegableRole
from approvals.selectors.deputies import possible_deputies
from core.fields import DateField, LineField
from keys.terms import OFFICE_ZONE, end_of_day, office_day


class _PersonField(forms.ModelChoiceField[User]):
    """Somebody who may be a deputy, by number."""

    def label_from_instance(self, obj: User) -> str:
        return f"{obj.name} ({obj.department})" if obj.department else obj.name


class DelegationForm(forms.Form):
    """While I'm away: which of my roles, to whom, on which days. Whole days in Japan, both included."""

    roles = forms.MultipleChoiceField(
        label=_("Roles"),
        help_text=_("The approvals of these roles are decided in your name."),
        widget=forms.CheckboxSelectMultiple,
    )
    deputy = _PersonField(
        label=_("Deputy"),
        queryset=User.objects.none(),
        to_field_name="public_id",
        help_text=_("Somebody whose own role decides approvals, and who is not away themselves."),
    )
    since = DateField(label=_("First day"))
    until = DateField(label=_("Last day"))
    note = LineField(label=_("Remark"), max_length=200, required=False)

    def __init__(self, data: QueryDict | None, *, user: User, now: datetime) -> None:
        today = office_day(now)
        super().__init__(data, initial={"since": today, "until": today + timedelta(days=6)})
        self.today = today
        roles, deputy = self.fields["roles"], self.fields["deputy"]
        assert isinstance(roles, forms.MultipleChoiceField)
        assert isinstance(deputy, forms.ModelChoiceField)
        mine = [(value, label) for value, label in DelegableRole.choices if user.has_role(value)]
        roles.choices = mine
        if len(mine) == 1:
            roles.initial = [mine[0][0]]
        deputy.queryset = possible_deputies().exclude(pk=user.pk)

    def clean_since(self) -> date:
        """A first day that is over would hand over what was decided long ago."""
        day: date = self.cleaned_data["since"]
        if day < self.today:
            raise forms.ValidationError(_("Choose today or a later day."))
        return day

    def clean(self) -> dict[str, object]:
        """The last day is not before the first."""
        data = super().clean() or {}
        if data.get("since") and data.get("until") and data["until"] < data["since"]:
            self.add_error("until", _("The last day comes before the first."))
        return data

    @property
    def starts_at(self) -> datetime:
        """The first day's beginning."""
        return datetime.combine(self.cleaned_data["since"], time.min, tzinfo=OFFICE_ZONE)

    @property
    def ends_at(self) -> datetime:
        """The last day's end."""
        return end_of_day(self.cleaned_data["until"])


class RoleDeputyForm(forms.Form):
    """Who may decide a role's steps once nobody has answered in time."""

    role = forms.ChoiceField(label=_("Role"), choices=DelegableRole.choices)
    staff = _PersonField(label=_("Deputy"), queryset=User.objects.none(), to_field_name="public_id")

    def __init__(self, data: QueryDict | None = None) -> None:
        super().__init__(data)
        staff = self.fields["staff"]
        assert isinstance(staff, forms.ModelChoiceField)
        staff.queryset = possible_deputies()
