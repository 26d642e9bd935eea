"""The registry's filters: all of them stand in the URL (K4, UX)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import django_filters
from django import forms
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from core.parsing import LONGEST_SEARCH
from keys.catalogue.selectors import local_name
from keys.models import LIVE, ApiProduct, Environment, Key, Plan
from keys.registry.selectors.conditions import ROTATION_WARNING_DAYS, USABLE, needs_attention, unused_for
from keys.registry.selectors.registry import ENDED, expiring_within
from keys.registry.selectors.search import search
from keys.terms.terms import office_day
from partners.models import Partner

Keys = QuerySet[Key]


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter that is on: what it says, and which value of the URL to take away."""

    text: str
    name: str
    value: str


class ProductField(django_filters.fields.ModelChoiceField):  # type: ignore[misc]  # no types, as above
    """A choice of API products, by their names in the reader's language."""

    def label_from_instance(self, obj: ApiProduct) -> str:
        """What the option says."""
        return local_name(obj)


class ProductFilter(django_filters.ModelChoiceFilter):  # type: ignore[misc]  # no types, as above
    """Keys that open one API product."""

    field_class = ProductField


class KeyFilter(django_filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    """What of the registry is shown. Values that mean nothing are left aside: old bookmarks show a list.

    Ended keys stay away until they are asked for, by status or by the box; a search looks everywhere.
    """

    q = django_filters.CharFilter(
        label=_("Search in the list"),
        method="by_text",
        widget=forms.TextInput(attrs={"type": "search", "maxlength": LONGEST_SEARCH, "autocomplete": "off"}),
    )
    status = django_filters.ChoiceFilter(label=_("Status"), choices=Key.Status.choices, empty_label=_("Any"))
    environment = django_filters.ChoiceFilter(
        label=_("Environment"), choices=Environment.choices, empty_label=_("Any")
    )
    product = ProductFilter(
        label=_("API product"),
        field_name="products",
        queryset=ApiProduct.objects.all(),
        to_field_name="code",
        empty_label=_("Any"),
    )
    expiry = django_filters.ChoiceFilter(
        label=_("Expiry"),
        choices=[("30", _("Within 30 days")), ("90", _("Within 90 days")), ("over", _("Later than 90 days"))],
        method="by_expiry",
        empty_label=_("Any"),
    )
    partner = django_filters.ModelChoiceFilter(
        label=_("Partner"), queryset=Partner.objects.all(), to_field_name="public_id", empty_label=_("Any")
    )
    plan = django_filters.ModelChoiceFilter(
        label=_("Plan"), queryset=Plan.objects.all(), to_field_name="code", empty_label=_("Any")
    )
    owner = django_filters.ModelChoiceFilter(
        label=_("Owner"),
        queryset=User.objects.order_by("name"),
        to_field_name="public_id",
        empty_label=_("Anyone"),
    )
    rotation = django_filters.ChoiceFilter(
        label=_("Rotation"),
        choices=[("late", _("Late")), ("due", _("Due within 14 days"))],
        method="by_rotation",
        empty_label=_("Any"),
    )
    unused = django_filters.ChoiceFilter(
        label=_("Unused"),
        choices=[("30", _("For 30 days")), ("90", _("For 90 days"))],
        method="by_unused",
        empty_label=_("Any"),
    )
    attention = django_filters.BooleanFilter(
        label=_("Needs attention"), method="by_attention", widget=forms.CheckboxInput
    )
    ended = django_filters.BooleanFilter(
        label=_("Ended keys too"), method="leave", widget=forms.CheckboxInput
    )

    MAIN = ("q", "status", "environment", "product", "expiry")
    MORE = ("partner", "owner", "plan", "rotation", "unused", "attention", "ended")

    class Meta:
        model = Key
        fields: tuple[str, ...] = ()

    @property
    def values(self) -> Mapping[str, Any]:
        """The filters that are on and mean something."""
        self.form.is_valid()
        return {name: value for name, value in self.form.cleaned_data.items() if value}

    @property
    def qs(self) -> Keys:
        """The keys that every filter lets through."""
        values = self.values
        keys: Keys = self.queryset.all()
        for name, value in values.items():
            keys = self.filters[name].filter(keys, value)
        status = values.get("status")
        if status in ENDED:
            keys = keys.filter(~LIVE)
        elif status or not {"q", "ended"} & values.keys():
            keys = keys.filter(LIVE)
        return keys

    @property
    def one_name(self) -> set[str]:
        """The orders that say nothing, because all keys have this filter's one partner or owner."""
        return {"partner", "owner"} & self.values.keys()

    def chips(self) -> Iterator[Chip]:
        """What is on, for the reader, in the order of the form."""
        values = self.values
        for name in (*self.MAIN, *self.MORE):
            if name not in values:
                continue
            label, value = self.filters[name].label, values[name]
            raw = str(self.data.get(name, ""))
            shown = self._words(name, value)
            yield Chip(f"{label}: {shown}" if shown else str(label), name, raw)

    def has_more(self) -> bool:
        """Whether a filter of the folded part is on, so that it should stand open."""
        return bool(set(self.MORE) & self.values.keys())

    def _words(self, name: str, value: Any) -> str:
        if value is True:
            return ""
        if isinstance(value, ApiProduct):
            return local_name(value)
        choices = dict(getattr(self.form.fields[name], "choices", ())) if isinstance(value, str) else {}
        return str(choices.get(value, value))

    def by_text(self, keys: Keys, _name: str, value: str) -> Keys:
        """The search."""
        return search(keys, value)

    def by_expiry(self, keys: Keys, _name: str, value: str) -> Keys:
        """By the distance of the last day."""
        now = timezone.now()
        return keys.filter(~expiring_within(90, now) if value == "over" else expiring_within(int(value), now))

    def by_rotation(self, keys: Keys, _name: str, value: str) -> Keys:
        """By the day on which the secret is to be replaced."""
        today = office_day(timezone.now())
        late = Q(rotation_due_on__lt=today)
        soon = Q(rotation_due_on__range=(today, today + timedelta(days=ROTATION_WARNING_DAYS)))
        return keys.filter(late if value == "late" else soon, status__in=USABLE)

    def by_unused(self, keys: Keys, _name: str, value: str) -> Keys:
        """Usable keys without a call for so many days."""
        return keys.filter(unused_for(timezone.now() - timedelta(days=int(value))))

    def by_attention(self, keys: Keys, _name: str, value: bool) -> Keys:
        """What a saved view asks for."""
        return keys.filter(needs_attention(timezone.now())) if value else keys

    def leave(self, keys: Keys, _name: str, _value: bool) -> Keys:
        """The box for ended keys filters nothing by itself: `qs` looks at it."""
        return keys
