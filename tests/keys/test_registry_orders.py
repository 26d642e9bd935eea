"""The registry's orders: right, each by its index at any depth, and true again soon after a rename (K4)."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from approvals.home import selectors as home
from core import paging
from keys.models import Key
from keys.registry.selectors.registry import ORDERS
from keys.registry.services import refresh_names
from partners import selectors as partners
from tests.cast import Cast, make_contract, make_partner, sign_in
from tests.key_stories import reveal

LIST = reverse("keys:key-list")
INDEXES = {"id": "keys_live", "expires_at": "keys_live_expires", "used_hour": "keys_live_used"}
ALL_INDEXES = {"id": "keys_key_pkey", "expires_at": "keys_key_expires", "used_hour": "keys_key_used"}
for name in ("partner_name", "owner_name"):
    INDEXES[name], ALL_INDEXES[name] = f"keys_live_{name}", f"keys_key_{name}"
LIMIT = "LIMIT 26"


@pytest.fixture
def _only_by_index(db: None) -> None:
    """With thirty rows the database would read and sort them all, as it should."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off; SET LOCAL enable_incremental_sort = off")


def numbers(cast: Cast, **query: str) -> list[str]:
    """The numbers on a page of the list, from top to bottom."""
    return [row.key.public_id for row in sign_in(cast.pm).get(LIST, query).context["rows"]]


def plan_of_page(cast: Cast, query: dict[str, str]) -> tuple[str, str]:
    """How the database finds the rows of a page, and the cursor to the next page."""
    with CaptureQueriesContext(connection) as queries:
        answer = sign_in(cast.pm).get(LIST, query)
    sql = next(query["sql"] for query in queries if query["sql"].endswith(LIMIT))
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (COSTS OFF) {sql}")
        return "\n".join(line for (line,) in cursor.fetchall()), answer.context["page"].next_cursor


@pytest.mark.usefixtures("_only_by_index")
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("ended", [{}, {"ended": "1"}], ids=["live", "all"])
def test_each_order_is_read_from_its_index_at_any_depth(
    cast: Cast, order: str, ended: dict[str, str]
) -> None:
    for _ in range(27):
        cast.key()
    index = (ALL_INDEXES if ended else INDEXES)[ORDERS[order].column]
    first, cursor = plan_of_page(cast, {"sort": order, **ended})
    deep, _none = plan_of_page(cast, {"sort": order, **ended, "cursor": cursor})
    for plan in (first, deep):
        assert f"using {index} on keys_key" in plan, plan
        assert "Sort" not in plan, plan
    # It begins at the very row, however many before it have the same name.
    assert "Index Cond: (ROW(" in deep, deep


@pytest.mark.usefixtures("_only_by_index")
@pytest.mark.parametrize(
    ("query", "index"),
    [
        ({"status": "revoked", "sort": "-expiry"}, "keys_ended_expires"),
        ({"status": "expired", "sort": "-used"}, "keys_ended_used"),
    ],
)
def test_ended_keys_are_not_looked_for_among_those_that_run(
    cast: Cast, query: dict[str, str], index: str
) -> None:
    cast.key()
    plan, _cursor = plan_of_page(cast, query)
    assert f"using {index} on keys_key" in plan, plan


@pytest.mark.parametrize("name", ["partner", "owner"])
def test_keys_of_one_name_stand_by_their_numbers(cast: Cast, name: str) -> None:
    made = [cast.key().public_id for _ in range(3)]
    key = Key.objects.earliest("id")
    chosen = {"partner": key.partner.public_id, "owner": key.owner.public_id}[name]
    assert numbers(cast, **{name: chosen, "sort": name}) == made
    assert numbers(cast, **{name: chosen, "sort": f"-{name}"}) == made[::-1]


def test_orders_say_what_they_are_named_for(cast: Cast) -> None:
    now = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
    zebra, aachen = (cast.key(make_contract(make_partner(name))) for name in ("Zebra", "Aachen"))
    never = cast.key(make_contract(make_partner("Middle")), owner=cast.pm2)
    for key, used in ((zebra, now), (aachen, now - timedelta(hours=2))):
        Key.objects.filter(pk=key.pk).update(last_used_at=used)
    assert numbers(cast, sort="partner") == [aachen.public_id, never.public_id, zebra.public_id]
    assert numbers(cast, sort="-partner") == [zebra.public_id, never.public_id, aachen.public_id]
    assert numbers(cast, sort="used") == [never.public_id, aachen.public_id, zebra.public_id]
    assert numbers(cast, sort="-used") == [zebra.public_id, aachen.public_id, never.public_id]
    by_owner = sorted([zebra, aachen, never], key=lambda key: (key.owner.name, key.pk))
    assert numbers(cast, sort="owner") == [key.public_id for key in by_owner]


def test_a_renamed_partner_and_a_renamed_owner_stand_elsewhere_within_a_minute(cast: Cast) -> None:
    first, second = (cast.key(make_contract(make_partner(name))) for name in ("Aachen", "Berlin"))
    form = {"kind": first.partner.kind, "name": "Zebra", "is_active": "on"}
    change = reverse("partners:partner-change", args=[first.partner.public_id])
    assert sign_in(cast.pm).post(change, form).status_code == 302
    assert refresh_names(now=timezone.now()) == 1
    assert numbers(cast, sort="partner") == [second.public_id, first.public_id]
    assert refresh_names(now=timezone.now()) == 0


def test_a_use_within_the_same_hour_writes_no_index_anew(cast: Cast) -> None:
    """Last use moves each minute, and a key's row has some thirty indexes."""
    key = cast.key()
    reveal(key)
    used = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)

    def touched_in_place() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_get_xact_tuples_hot_updated('keys_key'::regclass)")
            return int(cursor.fetchone()[0])

    Key.objects.filter(pk=key.pk).update(last_used_at=used)
    before = touched_in_place()
    Key.objects.filter(pk=key.pk).update(last_used_at=used + timedelta(minutes=59))
    assert touched_in_place() == before + 1
    Key.objects.filter(pk=key.pk).update(last_used_at=used + timedelta(minutes=61))
    assert touched_in_place() == before + 1


def test_counts_end_at_their_cap(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (paging, home, partners):
        monkeypatch.setattr(module, "COUNT_CAP", 10)
    for _ in range(12):
        cast.key()
    Key.objects.update(issued_at=timezone.now() - timedelta(days=2))
    client = sign_in(cast.ops)
    assert "and 9+ more" in client.get("/").content.decode()
    assert client.get(LIST).context["views"][0].count_text == "9+"
    page = client.get(reverse("partners:partner-detail", args=[cast.company.public_id]))
    assert page.context["page"].n_keys == 10
    assert [row.n_keys for row in page.context["page"].workspaces] == [10]
    # Not one that happens to stand within a nonce.
    assert len(re.findall(r"(?<![\w+/])9\+(?![\w+/])", page.content.decode())) == 3
