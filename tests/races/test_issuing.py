"""The last approval against a change of what its terms lean on (A1, K8): one of them sees the other."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections, transaction
from django.utils import timezone

from core.actors import staff_actor
from core.errors import Conflict
from keys.models import Key
from partners.services import change_contract
from tests.cast import Cast
from tests.races.waiting import await_somebody_who_waits

pytestmark = pytest.mark.django_db(transaction=True)


def raise_above_the_threshold(cast: Cast) -> None:
    contract = cast.small
    names = ("title", "starts_on", "ends_on", "licence_level", "terms_version")
    same: dict[str, Any] = {name: getattr(contract, name) for name in names}
    actor = staff_actor(cast.requester)
    change_contract(
        actor=actor,
        by=cast.requester,
        contract=contract,
        monthly_amount_jpy=600_000,
        now=timezone.now(),
        **same,
    )


def test_no_key_slips_under_a_contract_that_rises_above_the_threshold(cast: Cast) -> None:
    def issue() -> str:
        try:
            cast.key()
        except Conflict:
            return "conflict"
        finally:
            connections.close_all()
        return "issued"

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            raise_above_the_threshold(cast)
            issuing = pool.submit(issue)
            await_somebody_who_waits()
        assert issuing.result(timeout=20) == "conflict"
    assert not Key.objects.exists()
