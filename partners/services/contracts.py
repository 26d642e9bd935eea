"""Contracts: added and changed. Keys were approved under them, so some changes need a new contract."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from audit.actions import Action
from audit.services import record
from core.actors import Actor
from core.errors import Conflict, Invalid
from core.ids import next_public_id, refs
from partners.access import require_may_edit
from partners.models import ENDED_KEY_STATES, Contract, LicenceLevel, Partner
from partners.services.changes import require_fresh, save_changes

# A contract's days are days in Japan, whatever zone a person reads the portal in.
OFFICE_ZONE = ZoneInfo("Asia/Tokyo")
CONTRACT_FIELDS = ("title", "monthly_amount_jpy", "starts_on", "ends_on", "licence_level", "terms_version")
SHOWN = frozenset(CONTRACT_FIELDS) - {"title"}


@transaction.atomic
def add_contract(
    *,
    actor: Actor,
    by: User,
    partner: Partner,
    title: str,
    monthly_amount_jpy: int,
    starts_on: date,
    ends_on: date,
    licence_level: str,
    terms_version: str,
    now: datetime,
) -> Contract:
    """Add a contract; amounts are whole yen a month, both days are included. Raises DomainErrors."""
    require_may_edit(by)
    partner = Partner.objects.select_for_update().get(pk=partner.pk)
    if not partner.is_active:
        raise Conflict(_("This partner has ended."))
    _check(monthly_amount_jpy, starts_on, ends_on, licence_level)
    _check_not_past(ends_on, now)
    contract = Contract.objects.create(
        public_id=next_public_id("CT"),
        partner=partner,
        title=title,
        monthly_amount_jpy=monthly_amount_jpy,
        starts_on=starts_on,
        ends_on=ends_on,
        licence_level=licence_level,
        terms_version=terms_version,
        created_at=now,
    )
    record(
        Action.CONTRACT_ADDED,
        actor=actor,
        objects=refs(contract, partner),
        payload={
            "monthly_amount_jpy": monthly_amount_jpy,
            "starts_on": starts_on,
            "ends_on": ends_on,
            "licence_level": licence_level,
        },
        now=now,
    )
    return contract


@transaction.atomic
def change_contract(
    *,
    actor: Actor,
    by: User,
    contract: Contract,
    seen: str = "",
    title: str,
    monthly_amount_jpy: int,
    starts_on: date,
    ends_on: date,
    licence_level: str,
    terms_version: str,
    now: datetime,
) -> Contract:
    """Change a contract. NotAllowed, Conflict for a stale form, Invalid where running keys forbid it.

    Under running keys a contract may neither rise above the COO's threshold (A1: they were approved without
    the COO) nor end before they do (K8), nor fall to a freer licence level than their data needs.
    """
    require_may_edit(by)
    contract = Contract.objects.select_for_update().get(pk=contract.pk)
    require_fresh(contract, CONTRACT_FIELDS, seen)
    _check(monthly_amount_jpy, starts_on, ends_on, licence_level)
    # One that has ended may be put right; one in force is not ended by a date that is past.
    if contract.ends_on >= now.astimezone(OFFICE_ZONE).date():
        _check_not_past(ends_on, now)
    _check_running_keys(contract, monthly_amount_jpy, ends_on, licence_level)
    changes = {
        "title": title,
        "monthly_amount_jpy": monthly_amount_jpy,
        "starts_on": starts_on,
        "ends_on": ends_on,
        "licence_level": licence_level,
        "terms_version": terms_version,
    }
    save_changes(
        contract,
        changes,
        action=Action.CONTRACT_CHANGED,
        actor=actor,
        objects=refs(contract, contract.partner),
        shown=SHOWN,
        now=now,
    )
    return contract


def _check(monthly_amount_jpy: int, starts_on: date, ends_on: date, licence_level: str) -> None:
    if monthly_amount_jpy < 0:
        raise Invalid(_("An amount can't be negative."), field="monthly_amount_jpy")
    if ends_on < starts_on:
        raise Invalid(_("The contract can't end before it begins."), field="ends_on")
    if licence_level not in LicenceLevel.values:
        raise Invalid(_("Choose a data-licence level."), field="licence_level")


def _check_not_past(ends_on: date, now: datetime) -> None:
    if ends_on < now.astimezone(OFFICE_ZONE).date():
        raise Invalid(_("This day is past: a contract that has ended can't carry keys."), field="ends_on")


def _check_running_keys(contract: Contract, amount: int, ends_on: date, level: str) -> None:
    running = contract.keys.exclude(status__in=ENDED_KEY_STATES)
    threshold = settings.COO_THRESHOLD_JPY
    levels = LicenceLevel.values
    end = datetime.combine(ends_on + timedelta(days=1), time.min, tzinfo=OFFICE_ZONE)
    if contract.monthly_amount_jpy <= threshold < amount and running.exists():
        raise Invalid(
            _(
                "Keys run under this contract that the COO did not approve. Register a new contract with the "
                "higher amount and request keys under it."
            ),
            field="monthly_amount_jpy",
        )
    if levels.index(level) < levels.index(contract.licence_level) and running.exists():
        raise Invalid(
            _("Keys run under this contract. Register a new contract for a freer licence level."),
            field="licence_level",
        )
    if ends_on < contract.ends_on:
        later = list(running.filter(expires_at__gt=end).values_list("public_id", flat=True)[:5])
        if later:
            raise Invalid(
                format_lazy(_("These keys would outlive the contract: {keys}"), keys=", ".join(later)),
                field="ends_on",
            )
