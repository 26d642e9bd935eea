"""What a request of one partner can choose from (R1)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from keys.models import ApiProduct, Plan, Scope
from partners.models import Contact, Contract, Partner, Workspace


@dataclass(frozen=True, slots=True)
class Options:
    """The catalogue, and what belongs to the partner; contracts that are over are left out."""

    partner: Partner
    products: list[ApiProduct]
    plans: list[Plan]
    workspaces: list[Workspace]
    contacts: list[Contact]
    contracts: list[Contract]

    @classmethod
    def read(cls, partner: Partner, *, today: date) -> "Options":
        """All of it, in six queries."""
        plans = Plan.objects.all()
        if partner.kind != Partner.Kind.INTERNAL:
            plans = plans.filter(is_internal=False)
        return cls(
            partner=partner,
            products=list(ApiProduct.objects.filter(is_active=True).prefetch_related("scopes")),
            plans=list(plans),
            workspaces=list(partner.workspaces.filter(is_active=True)),
            contacts=list(partner.contacts.filter(is_active=True)),
            contracts=list(partner.contracts.filter(ends_on__gte=today)),
        )

    def contacts_for(self, purpose: str) -> list[Contact]:
        """The contacts that are registered for this purpose."""
        return [contact for contact in self.contacts if purpose in contact.purposes]

    def scopes(self) -> Iterable[Scope]:
        """All scopes of all products."""
        return (scope for product in self.products for scope in product.scopes.all())
