"""The form of a request (R1). What it finds wrong is what the service would find: keys.terms.checks."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict
from django.utils.functional import cached_property
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from approvals.changes.terms import name_of
from approvals.requests.choices import (
    ENDS,
    ENVIRONMENTS,
    PURPOSES,
    ProductGroup,
    Tick,
    card,
    contract_card,
    people,
    plan_card,
)
from approvals.requests.drafts import limits_of, storable
from approvals.requests.fields import THRESHOLDS, RequestFields
from approvals.requests.selectors.options import Options
from approvals.wording import LICENCE_POINTS
from core import countries as geography
from keys.models import EndOfLife, PurposeCategory, RotationClass
from keys.terms.checks import LONGEST_LIFE_DAYS, SLA_LATENCY_MS, SLA_SUCCESS_PERCENT, Registry, find_problems
from keys.terms.terms import KeyTerms
from partners.models import Contact, Contract

LONE = ("workspace", "recipient", "consent_contact", "contract")
BELOW = ("scopes", "model_names", "feature_names")


class RequestForm(RequestFields):
    """All that a key is asked to be. After `full_clean` it has `terms` and `registry`, whole or not."""

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        options: Options,
        today: date,
        now: datetime,
        **arguments: Any,
    ) -> None:
        super().__init__(data, **arguments)
        self.options, self.now = options, now
        self.contracts = {contract.public_id: contract for contract in options.contracts}
        self._offer_people()
        self._offer_choices()
        self.today = today
        self._hint_at_the_end()
        if not geography.can_be_told() and not self.initial.get("countries"):
            del self.fields["countries"]
        if self._typed("purpose_category") == PurposeCategory.REVENUE:
            self.fields["sla_latency_ms"].required = self.fields["sla_success_percent"].required = True

    # --- what can be chosen --------------------------------------------------------------------------

    def _offer_people(self) -> None:
        options = self.options
        self._select("workspace", [(w.public_id, f"{w.name} ({w.code})") for w in options.workspaces])
        self._select("recipient", people(options.contacts_for(Contact.Purpose.TECHNICAL)))
        self._select("billing_contact", people(options.contacts_for(Contact.Purpose.BILLING)))
        if options.partner.needs_consent:
            self._select("consent_contact", people(options.contacts_for(Contact.Purpose.CONSENT)))
        else:
            del self.fields["consent_contact"]

    def _select(self, name: str, choices: list[tuple[str, Any]]) -> None:
        # Where there is one only, it is chosen; a second one has to be chosen by a person.
        empty = [] if len(choices) == 1 and name != "billing_contact" else [("", "---------")]
        self._choose(name, [*empty, *choices])

    def _choose(self, name: str, choices: list[tuple[Any, Any]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    def _offer_choices(self) -> None:
        options = self.options
        self._choose("products", [(product.code, name_of(product)) for product in options.products])
        self._choose("scopes", [(scope.code, name_of(scope)) for scope in options.scopes()])
        for name in ("model_names", "feature_names"):
            offered = {item for product in options.products for item in getattr(product, name)}
            self._choose(name, [(item, item) for item in sorted(offered)])
        self._choose("purpose_category", [(p.value, card(p.label, text)) for p, text in PURPOSES.items()])
        self._choose("environment", [(e.value, card(e.label, text)) for e, text in ENVIRONMENTS.items()])
        self._choose("end_of_life", [(e.value, card(e.label, text)) for e, text in ENDS.items()])
        self._choose("rotation_days", list(RotationClass.choices))
        self._choose("licence_checklist", list(LICENCE_POINTS.items()))
        self._choose("plan", [(plan.code, plan_card(plan)) for plan in options.plans])
        contracts: list[tuple[str, Any]] = [(c.public_id, contract_card(c)) for c in options.contracts]
        if any(plan.is_internal for plan in options.plans):
            nothing = card(_("No contract"), _("An internal team on the Internal plan needs none."))
            contracts.append(("", nothing))
            self.fields["contract"].help_text = _("Needed unless the plan is for internal teams.")
        else:
            self._demand("contract", _("Choose the contract that this key belongs to."))
            self._demand("licence_checklist", _("Confirm every point of the data-licence checklist."))
        self._choose("contract", contracts)

    def _hint_at_the_end(self) -> None:
        """Say beside the last day which one the contract that is chosen now would allow."""
        contract = self.contracts.get(self._typed("contract"))
        last = self.today + timedelta(days=LONGEST_LIFE_DAYS)
        text = _("The key works on this day, too. A year at most, never past the contract: {day} fits.")
        if contract is None and self.contracts:
            text = _("The key works on this day, too. A year at most, and never past the contract.")
        elif contract is not None:
            last = min(last, contract.ends_on)
        self.fields["expires_on"].help_text = format_lazy(text, day=last.isoformat())

    def _demand(self, name: str, sentence: Any) -> None:
        self.fields[name].required = True
        self.fields[name].error_messages["required"] = sentence

    def product_groups(self) -> list["ProductGroup"]:
        """Each API product with what can be chosen below it, and what is."""
        ticked = {name: _values(self[name].value()) for name in ("products", *BELOW)}
        return [
            ProductGroup(
                product=product,
                name=name_of(product),
                is_chosen=product.code in ticked["products"],
                scopes=[
                    Tick(scope.code, name_of(scope), scope.code in ticked["scopes"], scope)
                    for scope in product.scopes.all()
                ],
                # A shared name is ticked below a chosen product only: elsewhere nobody could let it go.
                models=[
                    Tick(name, name, product.code in ticked["products"] and name in ticked["model_names"])
                    for name in product.model_names
                ],
                features=[
                    Tick(name, name, product.code in ticked["products"] and name in ticked["feature_names"])
                    for name in product.feature_names
                ],
            )
            for product in self.options.products
        ]

    # --- reading it ------------------------------------------------------------------------------------

    def clean(self) -> dict[str, Any]:
        """Build the terms and put each of their problems beside its field."""
        broken = set(self.errors)
        for field, sentence in find_problems(self.terms, self.registry, now=self.now):
            target = field if field in self.fields else None
            if target is None or target not in broken:
                self.add_error(target, sentence)  # type: ignore[arg-type]  # the stubs know no lazy text
        return self.cleaned_data

    @cached_property
    def registry(self) -> Registry:
        """The rows that the terms name."""
        return Registry.read(self.terms)

    @cached_property
    def terms(self) -> KeyTerms:
        """The terms as far as they can be read, the rest empty."""
        return self.read_terms()

    def read_terms(self) -> KeyTerms:
        """The terms from what was cleaned. The contract's figures are its own."""
        get = self.cleaned_data.get
        partner = self.options.partner
        contract = self.contracts.get(get("contract") or "")
        products = tuple(get("products") or ())
        last_day: date | None = get("expires_on")
        return KeyTerms(
            name=get("name") or "",
            partner=partner.public_id,
            partner_kind=partner.kind,
            workspace=get("workspace") or "",
            recipient=get("recipient") or "",
            consent_contact=get("consent_contact") or "",
            plan=get("plan") or "",
            products=products,
            scopes=self._chosen_under("scopes", products),
            model_names=self._chosen_under("model_names", products),
            feature_names=self._chosen_under("feature_names", products),
            environment=get("environment") or "",
            purpose_category=get("purpose_category") or "",
            purpose=get("purpose") or "",
            rpm=get("rpm") or 0,
            rph=get("rph") or 0,
            burst=get("burst") or 0,
            concurrency=get("concurrency") or 0,
            ip_ranges=tuple(get("ip_ranges") or ()),
            countries=tuple(sorted({code.upper() for code in get("countries") or ()})),
            rotation_days=get("rotation_days") or 0,
            expires_on=last_day.isoformat() if last_day else "",
            auto_renew=get("end_of_life") == EndOfLife.RENEW,
            end_of_life=get("end_of_life") or "",
            **self._contract_terms(contract),
            **self._money_terms(),
        )

    def _contract_terms(self, contract: Contract | None) -> dict[str, Any]:
        return {
            "contract": contract.public_id if contract else "",
            "monthly_amount_jpy": contract.monthly_amount_jpy if contract else 0,
            "contract_starts_on": contract.starts_on.isoformat() if contract else "",
            "contract_ends_on": contract.ends_on.isoformat() if contract else "",
            "licence_level": contract.licence_level if contract else "",
            "terms_version": contract.terms_version if contract else "",
            "licence_checklist": tuple(self.cleaned_data.get("licence_checklist") or ()) if contract else (),
        }

    def _money_terms(self) -> dict[str, Any]:
        get = self.cleaned_data.get
        budget = get("monthly_budget_usd")
        is_revenue = get("purpose_category") == PurposeCategory.REVENUE
        percent = get("sla_success_percent") if is_revenue else None
        return {
            "monthly_budget_usd": f"{budget:.2f}" if budget else "",
            "budget_thresholds": tuple(int(share) for share in get("budget_thresholds") or ())
            if budget
            else (),
            "suspend_at_budget": bool(budget and get("suspend_at_budget")),
            "billing_contact": get("billing_contact") or "",
            "sla_latency_ms": get("sla_latency_ms") if is_revenue else None,
            "sla_success_percent": f"{percent.normalize():f}" if percent else "",
        }

    def _chosen_under(self, name: str, products: tuple[str, ...]) -> tuple[str, ...]:
        """What was ticked below a chosen product; ticks below one that was let go count no more."""
        offered: set[str] = set()
        for product in self.options.products:
            if product.code in products:
                scopes = [scope.code for scope in product.scopes.all()]
                offered.update(scopes if name == "scopes" else getattr(product, name))
        # Two products may offer a model of one name, and be ticked for it twice.
        ticked = dict.fromkeys(self.cleaned_data.get(name) or ())
        return tuple(item for item in ticked if item in offered)

    def _typed(self, name: str) -> Any:
        return self.data.get(name, "") if self.is_bound else self.initial.get(name, "")

    # --- drafts -----------------------------------------------------------------------------------------

    @classmethod
    def draft_from(cls, data: QueryDict) -> dict[str, Any]:
        """What was typed, as it was typed, right or wrong: texts, and lists where several can be chosen."""
        draft: dict[str, Any] = {}
        for name, field in cls.base_fields.items():
            if isinstance(field, forms.MultipleChoiceField):
                draft[name] = [storable(item) for item in data.getlist(name)]
            else:
                draft[name] = storable(data.get(name, ""))
        return draft

    def show(self, draft: Mapping[str, Any]) -> None:
        """Show a draft without judging it; a new one begins small, and an only choice is chosen."""
        self.initial = self.first_values(self.options) | self.initial_from(draft)
        for name in LONE:
            offered = [code for code, _label in getattr(self.fields.get(name), "choices", [])]
            if len(offered) == 1:
                # A browser shows it as chosen, whatever the draft says.
                self.initial[name] = offered[0]
        self._hint_at_the_end()

    @classmethod
    def initial_from(cls, draft: Mapping[str, Any]) -> dict[str, Any]:
        """A draft as initial values: the form shows it without judging it."""
        return {name: draft[name] for name in cls.base_fields if name in draft}

    @classmethod
    def data_from(cls, draft: Mapping[str, Any]) -> "MultiValueDict[str, Any]":
        """A draft as if it had been posted."""
        values = {name: value if isinstance(value, list) else [value] for name, value in draft.items()}
        # An empty text posted for a tick box would count as ticked.
        return MultiValueDict({name: value for name, value in values.items() if value != [""]})

    @staticmethod
    def first_values(options: Options) -> dict[str, Any]:
        """What a new form begins with: the first plan's defaults, small on purpose (R1)."""
        values: dict[str, Any] = {
            "sla_latency_ms": SLA_LATENCY_MS,
            "sla_success_percent": SLA_SUCCESS_PERCENT,
            "budget_thresholds": [str(share) for share in THRESHOLDS],
            "suspend_at_budget": "on",
            "end_of_life": EndOfLife.EXPIRE.value,
        }
        if len(options.contracts) == 1:
            values["contract"] = options.contracts[0].public_id
        plan = next(iter(options.plans), None)
        return values | ({"plan": plan.code, **limits_of(plan)} if plan else {})


def _values(value: Any) -> set[str]:
    return set(map(str, value)) if isinstance(value, (list, tuple)) else set()
