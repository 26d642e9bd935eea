"""Data for the partner pages, in a constant number of queries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.conf import settings
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import CharField, Count, Exists, Func, IntegerField, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Coalesce, NullIf

from core.paging import COUNT_CAP, Order, Page, capped_count, keyset_page
from core.searching import with_words
from partners.models import Contact, Contract, IdentityCheck, Partner, Workspace

PAGE_SIZE = 25
ENDS_SOON = timedelta(days=30)
ORDERS = {
    # In the order of their readings, as a Japanese list is; who has none is read as written.
    "name": Order("reading"),
    "-created_at": Order("created_at", descending=True),
    "created_at": Order("created_at"),
}


@dataclass(frozen=True, slots=True)
class PartnerList:
    """One page of partners with `n_keys` (keys that work) on each, and how many there are of each kind."""

    page: Page[Partner]
    counts: dict[str, int]
    total: int


def list_partners(
    *, text: str = "", kind: str = "", ended: bool = False, sort: str = "name", cursor: str = ""
) -> PartnerList:
    """Partners whose name, kana, number or contact holds `text`. `ended` shows those that ended, too."""
    found = _with_reading(
        with_words(Partner.objects.all(), text, texts=("name", "name_kana"), also=_has_with_it)
    )
    if not ended:
        found = found.filter(is_active=True)
    counts = {row["kind"]: row["n"] for row in found.order_by().values("kind").annotate(n=Count("id"))}
    rows = found.filter(kind=kind) if kind in Partner.Kind.values else found
    page = keyset_page(rows, order=ORDERS.get(sort, ORDERS["name"]), size=PAGE_SIZE, cursor=cursor)
    _count_keys(page.rows)
    total = counts.get(kind, 0) if kind in Partner.Kind.values else sum(counts.values())
    return PartnerList(page=page, counts=counts, total=total)


def _with_reading(partners: QuerySet[Partner]) -> QuerySet[Partner]:
    reading = Coalesce(NullIf("name_kana", Value("")), "name", output_field=CharField())
    return partners.annotate(reading=reading)


def _has_with_it(word: str) -> Q:
    people = Contact.objects.filter(partner=OuterRef("pk")).filter(
        Q(name__icontains=word) | Q(email__icontains=word)
    )
    return Q(corporate_number=word) | Q(Exists(people))


def _count_keys(partners: Sequence[Partner]) -> None:
    """Put `n_keys` on each partner: counted for the page's rows only, whatever the table holds."""
    shown = Partner.objects.filter(pk__in=[partner.pk for partner in partners])
    numbers = dict(_with_n_keys(shown).values_list("pk", "n_keys"))
    for partner in partners:
        partner.n_keys = numbers.get(partner.pk, 0)  # type: ignore[attr-defined]  # for the template


def _with_n_keys(holders: QuerySet[Any]) -> QuerySet[Any]:
    """Annotate what holds keys with how many of them have not ended, counted up to COUNT_CAP each."""
    mine = holders.model.objects.filter(pk=OuterRef("pk"), keys__isnull=False, keys__ended_at=None)
    some = ArraySubquery(mine.order_by().values("pk")[:COUNT_CAP])
    counted: QuerySet[Any] = holders.annotate(
        n_keys=Func(some, function="CARDINALITY", output_field=IntegerField())
    )
    return counted


@dataclass(frozen=True, slots=True)
class ContractRow:
    """A contract as the partner's page shows it; `state` is one of the badge table's."""

    contract: Contract
    state: str
    needs_coo: bool
    n_keys: int


@dataclass(frozen=True, slots=True)
class WorkspaceRow:
    """A workspace and how many keys work in it."""

    workspace: Workspace
    n_keys: int


@dataclass(frozen=True, slots=True)
class PartnerPage:
    """All that belongs to a partner."""

    partner: Partner
    contacts: Sequence[Contact]
    contracts: Sequence[ContractRow]
    workspaces: Sequence[WorkspaceRow]
    checks: Sequence[IdentityCheck]
    n_keys: int
    monthly_jpy: int
    splits_threshold: bool

    @property
    def lacks_consent_contact(self) -> bool:
        """Whether no request of this rights-holder could be decided: nobody is there to consent."""
        return self.partner.needs_consent and not any(
            contact.is_active and Contact.Purpose.CONSENT in contact.purposes for contact in self.contacts
        )


def partner_page(partner: Partner, *, today: date) -> PartnerPage:
    """The partner's page, in five queries."""
    contracts = [
        ContractRow(
            contract=contract,
            state=contract_state(contract, today=today),
            needs_coo=contract.monthly_amount_jpy > settings.COO_THRESHOLD_JPY,
            n_keys=contract.n_keys,
        )
        for contract in _with_n_keys(partner.contracts.all())
    ]
    in_force = [row.contract.monthly_amount_jpy for row in contracts if row.state in {"active", "ending"}]
    return PartnerPage(
        partner=partner,
        contacts=list(partner.contacts.order_by("-is_active", "name")),
        contracts=contracts,
        workspaces=[
            WorkspaceRow(workspace=workspace, n_keys=workspace.n_keys)
            for workspace in _with_n_keys(partner.workspaces.order_by("-is_active", "name"))
        ],
        checks=list(partner.identity_checks.select_related("checked_by")[:5]),
        n_keys=capped_count(partner.keys.filter(ended_at=None)),
        monthly_jpy=sum(in_force),
        splits_threshold=len(in_force) > 1 and max(in_force) <= settings.COO_THRESHOLD_JPY < sum(in_force),
    )


def contract_state(contract: Contract, *, today: date) -> str:
    """`upcoming`, `active`, `ending` (within 30 days) or `ended`; the last day still counts."""
    if contract.starts_on > today:
        return "upcoming"
    if contract.ends_on < today:
        return "ended"
    return "ending" if contract.ends_on - today <= ENDS_SOON else "active"
