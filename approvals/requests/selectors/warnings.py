"""What deserves a second look before a request is submitted; it never stops one (R6)."""

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings

from accounts.models import User
from accounts.roles import Permission
from approvals.access import visible_requests
from approvals.models import Request, Revision
from keys.models import Key
from keys.terms.checks import Registry
from keys.terms.terms import KeyTerms
from partners.models import ENDED_KEY_STATES, Contract

N_TWINS_SHOWN = 3
SPLIT_WITHIN = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Warnings:
    """`twins`: the partner's keys for one of these products in this environment that have not ended, newest
    first.

    `twin_requests`: other requests for such a key that are on their way: nobody has seen them meet yet.

    `split_jpy`: what the contracts come to a month together, where only together they cross the COO's
    threshold; else 0.
    """

    twins: list[Key]
    twin_requests: list[Request]
    split_jpy: int


def find_warnings(
    terms: KeyTerms, registry: Registry, *, reader: User, request: Request, besides: int | None = None
) -> Warnings:
    """The warnings for a request's terms as far as they are typed, in three queries at most.

    `besides` is the key (its database id) that is to be changed, or that was issued for this very
    request in an emergency: no twin of itself.
    """
    return Warnings(
        twins=_twins(terms, besides) if reader.may(Permission.SEE_KEYS) else [],
        twin_requests=_twin_requests(terms, request, reader) if request.kind == Request.Kind.NEW_KEY else [],
        split_jpy=_split_jpy(registry.contract) if registry.contract else 0,
    )


def _twins(terms: KeyTerms, besides: int | None) -> list[Key]:
    if not terms.products or not terms.environment:
        return []
    found = Key.objects.filter(
        partner__public_id=terms.partner, environment=terms.environment, products__code__in=terms.products
    )
    found = found.exclude(pk=besides or 0).exclude(status__in=ENDED_KEY_STATES)
    return list(found.distinct().order_by("-id")[:N_TWINS_SHOWN])


def _twin_requests(terms: KeyTerms, request: Request, reader: User) -> list[Request]:
    if not terms.products or not terms.environment:
        return []
    others = (
        visible_requests(reader)
        .filter(partner__public_id=terms.partner, kind=Request.Kind.NEW_KEY, key=None)
        .filter(state__in=[Request.State.IN_REVIEW, Request.State.CHANGES_WANTED])
        .exclude(pk=request.pk)
    )
    newest = Revision.objects.filter(request__in=others).select_related("request")
    found = {
        revision.request_id: revision for revision in newest.order_by("request_id", "number")
    }  # the last one of each stays
    alike = [
        revision.request
        for revision in found.values()
        if revision.terms["environment"] == terms.environment
        and not set(terms.products).isdisjoint(revision.terms["products"])
    ]
    return alike[: -N_TWINS_SHOWN - 1 : -1]


def _split_jpy(contract: Contract) -> int:
    """The sum of the contracts that begin within 90 days of this one, none above the threshold itself."""
    limit = settings.COO_THRESHOLD_JPY
    if contract.monthly_amount_jpy > limit:
        return 0
    near = Contract.objects.filter(
        partner_id=contract.partner_id,
        monthly_amount_jpy__lte=limit,
        starts_on__range=(contract.starts_on - SPLIT_WITHIN, contract.starts_on + SPLIT_WITHIN),
    )
    total = sum(near.values_list("monthly_amount_jpy", flat=True))
    return total if total > limit else 0
