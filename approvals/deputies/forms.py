"""Forms about absences and deputies (A5)."""

from collections.abc import Collection
from datetime import date, datetime, time, timedelta

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from approvals.deputies.selectors import Candidate, candidates, possible_deputies
from approvals.models import DelegableRole, StandingDeputy
from core.fields import DateField, LineField
from keys.terms.terms import OFFICE_ZONE, end_of_day, office_day


class _PersonField(forms.ModelChoiceField[User]):
    """Somebody who may be a deputy, by number.

    Offered are only those who can be one for the roles; of others the service says why they can't.
    """

    def offer(self, roles: Collection[str], *, besides: User | None = None) -> None:
        """List those who can stand in for any of the roles, with those for which they can't."""
        self.queryset = possible_deputies() if besides is None else possible_deputies().exclude(pk=besides.pk)
        found = [candidate for candidate in candidates(roles) if candidate.user != besides]
        self.choices = [("", self.empty_label), *((c.user.public_id, _label(c)) for c in found)]


def _label(candidate: Candidate) -> str:
    user = candidate.user
    name = f"{user.name} ({user.department})" if user.department else user.name
    if not candidate.barred:
        return name
    return gettext("%(name)s · not for %(roles)s") % {
        "name": name,
        "roles": gettext(", ").join(candidate.barred),
    }


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
        assert isinstance(deputy, _PersonField)
        mine = [(value, label) for value, label in DelegableRole.choices if user.has_role(value)]
        roles.choices = mine
        if len(mine) == 1:
            roles.initial = [mine[0][0]]
        deputy.offer([value for value, _name in mine], besides=user)

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


class StandingDeputyForm(forms.Form):
    """Who may decide what I have not answered in time, before the role's deputies; or nobody."""

    deputy = _PersonField(
        label=_("Standing deputy"),
        queryset=User.objects.none(),
        to_field_name="public_id",
        required=False,
        empty_label=_("Nobody"),
        help_text=_("Somebody who may stand in for each of your roles."),
    )

    def __init__(self, data: QueryDict | None, *, user: User) -> None:
        named = StandingDeputy.objects.filter(giver=user).select_related("deputy").first()
        initial = {"deputy": named.deputy.public_id} if named else {}
        super().__init__(data, initial=initial, auto_id="standing_%s")
        deputy = self.fields["deputy"]
        assert isinstance(deputy, _PersonField)
        deputy.offer([role for role in DelegableRole.values if user.has_role(role)], besides=user)


class RoleDeputyForm(forms.Form):
    """Who may decide a role's steps once nobody has answered in time."""

    role = forms.ChoiceField(label=_("Role"), choices=DelegableRole.choices)
    staff = _PersonField(label=_("Deputy"), queryset=User.objects.none(), to_field_name="public_id")

    def __init__(self, data: QueryDict | None = None) -> None:
        super().__init__(data)
        staff = self.fields["staff"]
        assert isinstance(staff, _PersonField)
        staff.offer(DelegableRole.values)
