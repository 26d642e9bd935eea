"""`POST /v1/usage`: budgets settle, places are freed, outcomes are counted; each report once (V3, V7)."""

import json
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
import redis
from django.db import connections
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from keys.hotstore import client as hotwire
from keys.hotstore import publish as hotstore
from keys.hotstore.record import MICROS, record_key
from keys.models import KeyOutcomeDay, KeyUseDay
from keys.terms.terms import office_day
from keys.use.selectors.limits import use_now
from tests.dataplane import (
    LiveKey,
    authorize,
    call,
    make_gateway,
    make_live_key,
    make_live_keys,
    report,
    verify,
)
from verifier.contract import ids as check_ids
from verifier.models import Gateway
from verifier.usage import reporting as usage
from verifier.usage.drain import drain_use

pytestmark = pytest.mark.django_db


@pytest.fixture
def live() -> LiveKey:
    return make_live_key(monthly_budget_usd="1.00")


def taken(gateway: str, **told: Any) -> dict[str, Any]:
    """What became of the one report."""
    answer = report(gateway, told)
    assert answer.status == 200
    rows = answer.json["reports"]
    assert len(rows) == 1
    return dict(rows[0])


def spent(live: LiveKey) -> Decimal:
    return use_now([live.key], now=timezone.now())[live.key.pk].spent_usd


def test_real_cost_takes_the_place_of_the_reserved_one(gateway: str, live: LiveKey) -> None:
    less, more = (verify(gateway, live.text, cost_usd="0.40").json["check"] for _ in range(2))
    assert spent(live) == Decimal("0.80")
    answer = taken(gateway, check=less, status=200, latency_ms=120, cost_usd="0.1")
    assert answer == {"index": 0, "outcome": "taken", "lease": "not_held", "cost": "settled"}
    assert spent(live) == Decimal("0.50")
    taken(gateway, check=more, cost_usd="0.45")
    assert spent(live) == Decimal("0.55")
    assert verify(gateway, live.text, cost_usd="0.45").json["remaining"]["budget_usd"] == "0.000000"


def test_what_is_never_settled_stands(gateway: str, live: LiveKey) -> None:
    check = verify(gateway, live.text, cost_usd="0.4").json["check"]
    taken(gateway, check=check, status=500)
    assert spent(live) == Decimal("0.4")
    # The cost may still be told, under an id of its own.
    assert taken(gateway, check=check, cost_usd="0.2")["outcome"] == "repeated"
    assert taken(gateway, check=check, id="cost", cost_usd="0.2")["cost"] == "settled"
    assert spent(live) == Decimal("0.2")


def test_overrun_counts_and_then_everything_is_refused(gateway: str, live: LiveKey) -> None:
    check = verify(gateway, live.text, cost_usd=0).json["check"]
    taken(gateway, check=check, cost_usd="1.75")
    assert spent(live) == Decimal("1.75")
    for question in ({}, {"cost_usd": "0.01"}):
        refused = verify(gateway, live.text, **question)
        assert refused.code == "BUDGET_EXCEEDED"
        assert "check" not in refused.json


def test_report_that_comes_twice_counts_once(gateway: str, live: LiveKey) -> None:
    check = verify(gateway, live.text, cost_usd="0.4").json["check"]
    told = {"check": check, "status": 200, "latency_ms": 10, "cost_usd": "0.3"}
    assert [taken(gateway, **told)["outcome"] for _ in range(3)] == ["taken", "repeated", "repeated"]
    assert taken(gateway, **told, id=check)["outcome"] == "repeated"
    other = taken(gateway, **told | {"cost_usd": "0.9"}, id="other")
    assert (other["outcome"], other["cost"]) == ("taken", "settled_before")
    assert spent(live) == Decimal("0.3")
    named = {"id": "call-1", "key": live.key.public_id, "status": 502}
    answer = report(gateway, [named, named | {"id": "call-2"}, named])
    assert [row["outcome"] for row in answer.json["reports"]] == ["taken", "taken", "repeated"]
    drain_use(now=timezone.now())
    assert KeyOutcomeDay.objects.get().by_status == {"200": 2, "502": 2}


def test_another_gateways_ids_are_its_own(gateway: str, live: LiveKey) -> None:
    other = make_gateway()
    told = {"id": "1", "key": live.key.public_id, "status": 200}
    assert taken(gateway, **told)["outcome"] == "taken"
    assert taken(other, **told)["outcome"] == "taken"


def test_a_gateway_settles_and_frees_only_what_it_holds(reporting: str) -> None:
    live = make_live_key(concurrency=1, monthly_budget_usd="1.00")
    check = verify(reporting, live.text, cost_usd="0.4", lease_seconds=600).json["check"]
    middle = len(check) // 2
    altered = check[:middle] + ("A" if check[middle] != "A" else "B") + check[middle + 1 :]
    other = make_live_key(live.key.partner, live.key.owner)
    for sender, told in (
        (make_gateway(), {"check": check}),
        (reporting, {"check": altered}),
        (reporting, {"check": check[:40]}),
        (reporting, {"check": "x"}),
        (reporting, {"check": "héllo"}),
        (reporting, {"check": check, "lease": altered}),
        (reporting, {"check": check, "key": other.key.public_id}),
    ):
        row = taken(sender, **told, cost_usd=0, status=200)
        assert (row["outcome"], row["code"]) == ("wrong", "UNKNOWN_CHECK")
    assert spent(live) == Decimal("0.4")
    assert verify(reporting, live.text).code == "CONCURRENCY_EXCEEDED"


def test_held_place_is_free_as_soon_as_it_is_reported(reporting: str) -> None:
    live = make_live_key(concurrency=1)
    first = verify(reporting, live.text, lease_seconds=600).json
    assert first["lease"] == first["check"]
    assert verify(reporting, live.text).code == "CONCURRENCY_EXCEEDED"
    assert taken(reporting, lease=first["lease"])["lease"] == "released"
    second = verify(reporting, live.text, lease_seconds=600)
    assert second.code == "VALID"
    # Twice does nothing, and says so; the place that is held now stays held.
    assert taken(reporting, lease=first["lease"])["outcome"] == "repeated"
    assert taken(reporting, lease=first["lease"], id="again")["lease"] == "not_held"
    assert verify(reporting, live.text).code == "CONCURRENCY_EXCEEDED"


def test_proxy_frees_the_place_that_it_holds(reporting: str) -> None:
    live = make_live_key(concurrency=1)
    lease = authorize(reporting, live.text).headers["X-Kagiban-Lease"]
    assert authorize(reporting, live.text).status == 429
    assert taken(reporting, lease=lease, status=200)["lease"] == "released"
    assert authorize(reporting, live.text).status == 200


def test_check_that_holds_nothing_has_no_id(gateway: str) -> None:
    answer = verify(gateway, make_live_key().text).json
    assert "check" not in answer
    assert "lease" not in answer


def test_held_places_are_kept_as_long_as_the_longest_of_them(reporting: str, valkey: "redis.Redis") -> None:
    live = make_live_key(concurrency=3)
    for lease_seconds in (60, 3600, 3600):
        assert verify(reporting, live.text, lease_seconds=lease_seconds).json["valid"]
    # An hour may become an eighth longer.
    assert valkey.ttl(record_key(live.key.family)) > 3_600 * 9 // 8
    assert verify(reporting, live.text).code == "CONCURRENCY_EXCEEDED"


def test_places_that_end_together_are_freed_one_by_one(reporting: str) -> None:
    live = make_live_key(concurrency=3)
    held = [verify(reporting, live.text, lease_seconds=3600).json["lease"] for _ in range(3)]
    for number, lease in enumerate(held):
        assert verify(reporting, live.text).code == "CONCURRENCY_EXCEEDED"
        assert taken(reporting, lease=lease, id=f"{number}")["lease"] == "released"
        # Another report of the same call frees nothing once more.
        assert taken(reporting, lease=lease, id=f"{number}, again")["lease"] == "not_held"
        assert verify(reporting, live.text, lease_seconds=3600).code == "VALID"


def test_a_place_that_only_this_process_counted_frees_nobody_elses(reporting: str) -> None:
    live = make_live_key(concurrency=1)
    number, now = Gateway.objects.get().public_id, int(time.time())
    assert verify(reporting, live.text, lease_seconds=600).json["valid"]
    local = check_ids.text(number, live.secret.public_id.encode(), b"0" * 10, now, now + 60, 0, 0)
    assert taken(reporting, lease=local.decode())["lease"] == "not_held"
    assert verify(reporting, live.text).code == "CONCURRENCY_EXCEEDED"


def test_cost_of_a_month_that_is_over_leaves_the_running_one_alone(gateway: str, live: LiveKey) -> None:
    verify(gateway, live.text, cost_usd="0.25")
    number, now = Gateway.objects.get().public_id, int(time.time())
    key_id = live.secret.public_id.encode()
    old = check_ids.text(number, key_id, b"0" * 10, now - 3_600, now - 60, 0, 400_000)
    assert taken(gateway, check=old.decode(), cost_usd="0.9")["cost"] == "settled"
    assert spent(live) == Decimal("0.25")
    drain_use(now=timezone.now())
    day = KeyUseDay.objects.get(day=office_day(timezone.now() - timedelta(hours=1)))
    assert day.cost_micros in {500_000, 750_000}  # on the day of the check, be it today or yesterday


def test_id_of_a_check_has_an_end(gateway: str, live: LiveKey, settings: Any) -> None:
    check = verify(gateway, live.text, cost_usd="0.4").json["check"]
    settings.USAGE_REPORT_SECONDS = -5
    assert taken(gateway, check=check, cost_usd=0)["code"] == "CHECK_TOO_OLD"
    assert spent(live) == Decimal("0.4")


def test_marks_of_reports_have_an_end(gateway: str, live: LiveKey, valkey: "redis.Redis") -> None:
    check = verify(gateway, live.text, cost_usd="0.4").json["check"]
    taken(gateway, check=check, cost_usd=0)
    marks = [name for name in valkey.keys("kb:*") if b":i:" in name or b":s:" in name]
    assert len(marks) == 2
    assert all(86_400 < valkey.ttl(name) <= 90_000 for name in marks)


def test_counters_that_were_lost_are_not_paid_back(
    gateway: str, live: LiveKey, valkey: "redis.Redis"
) -> None:
    check = verify(gateway, live.text, cost_usd="0.4").json["check"]
    valkey.flushdb()
    assert taken(gateway, check=check, cost_usd="0.1")["cost"] == "settled"
    assert spent(live) == 0
    assert 0 < valkey.ttl(record_key(live.key.family)) <= 40 * 86_400
    assert verify(gateway, live.text, cost_usd="1").code == "VALID"


def test_what_a_process_alone_had_counted_is_spent_in_full(
    gateway: str, live: LiveKey, settings: Any
) -> None:
    assert verify(gateway, live.text).code == "VALID"
    url = settings.HOT_STORE_URL
    settings.HOT_STORE_URL = "redis://127.0.0.1:1/0"
    hotwire.drop()
    try:
        answer = verify(gateway, live.text, cost_usd="0.4").json
        assert answer["degraded"] is True
        refused = report(gateway, {"check": answer["check"], "cost_usd": "0.3"})
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        assert refused.headers["Content-Type"] == "application/problem+json"
    finally:
        settings.HOT_STORE_URL = url
        hotwire.drop()
        hotwire.resume()
    assert taken(gateway, check=answer["check"], cost_usd="0.3")["cost"] == "settled"
    assert spent(live) == Decimal("0.3")


def test_budget_of_the_workspace_settles_too(gateway: str, live: LiveKey) -> None:
    other = make_live_key(live.key.partner, live.key.owner)
    before = verify(gateway, other.text, cost_usd="0.5").json["check"]
    workspace = live.key.workspace
    type(workspace).objects.update(monthly_budget_usd="2.00", revision=workspace.revision + 1)
    assert hotstore.publish_workspace(workspace.public_id)
    first = verify(gateway, live.text, cost_usd="0.9").json["check"]
    second = verify(gateway, other.text, cost_usd="0.9").json["check"]

    def left() -> str:
        return str(verify(gateway, other.text).json["workspace_remaining"]["budget_usd"])

    assert left() == "0.200000"
    taken(gateway, check=first, cost_usd="0.1")
    assert left() == "1.000000"
    taken(gateway, check=second, cost_usd="1.2")
    assert left() == "0.700000"
    # What was reserved before the workspace had a budget was never counted in it.
    taken(gateway, check=before, cost_usd=0)
    assert left() == "0.700000"


# --- batches ----------------------------------------------------------------------------------------


def test_bad_rows_spoil_no_others(gateway: str, live: LiveKey) -> None:
    number = live.key.public_id
    good = {"key": number, "status": 200}
    check = verify(gateway, live.text, cost_usd="0.4").json["check"]
    rows: list[tuple[object, str]] = [
        (good | {"id": "a"}, "taken"),
        ("text", "BAD_REPORT"),
        (None, "BAD_REPORT"),
        ({}, "BAD_REPORT"),
        (good, "BAD_REPORT"),  # no id
        ({"id": "n", "key": number}, "BAD_REPORT"),  # nothing is told
        (good | {"id": "b", "statsu": 1}, "BAD_REPORT"),
        (good | {"id": 7}, "BAD_REPORT"),
        (good | {"id": "x" * 129}, "BAD_REPORT"),
        (good | {"id": "\ud800"}, "BAD_REPORT"),
        (good | {"id": "c", "status": 99}, "BAD_REPORT"),
        (good | {"id": "c", "status": 200.5}, "BAD_REPORT"),
        (good | {"id": "c", "status": "200"}, "BAD_REPORT"),
        (good | {"id": "c", "status": True}, "BAD_REPORT"),
        (good | {"id": "c", "latency_ms": -1}, "BAD_REPORT"),
        (good | {"id": "c", "latency_ms": 10**400}, "BAD_REPORT"),
        (good | {"id": "c", "latency_ms": float("nan")}, "BAD_REPORT"),
        ({"check": check, "cost_usd": "-1"}, "BAD_REPORT"),
        ({"check": check, "cost_usd": [1]}, "BAD_REPORT"),
        ({"id": "d", "key": number, "cost_usd": "0.1"}, "NOT_RESERVED"),
        ({"id": "e", "key": "KB-9999", "status": 200}, "UNKNOWN_KEY"),
        ({"id": "e", "key": "KB-\0", "status": 200}, "UNKNOWN_KEY"),
        ({"id": "f", "key": live.text, "status": 200}, "BAD_REPORT"),
        (good | {"id": "f", live.text: 1}, "BAD_REPORT"),
        ({"check": "nonsense", "status": 200}, "UNKNOWN_CHECK"),
        ({"check": check, "cost_usd": "0.1"}, "taken"),
        (good | {"id": "a"}, "repeated"),
        (good | {"id": "z", "latency_ms": 12.4}, "taken"),
    ]
    answer = report(gateway, [row for row, _ in rows])
    found = answer.json["reports"]
    assert [(row["index"], row.get("code", row["outcome"])) for row in found] == [
        (index, wanted) for index, (_, wanted) in enumerate(rows)
    ]
    assert {name: answer.json[name] for name in ("taken", "repeated", "wrong")} == {
        "taken": 3,
        "repeated": 1,
        "wrong": len(rows) - 4,
    }
    assert live.text.encode() not in answer.body
    assert spent(live) == Decimal("0.1")


def test_field_that_stands_twice_spoils_its_own_report_only(gateway: str, live: LiveKey) -> None:
    twice = f'{{"id":"a","key":"{live.key.public_id}","status":200,"status":500}}'
    for body in (twice, f"[{twice},{twice.replace('status', 'id', 1)}]", f"[{twice.replace('500', '200')}]"):
        answer = call("/v1/usage", "POST", body.encode(), HTTP_AUTHORIZATION=f"Bearer {gateway}")
        assert {row["code"] for row in answer.json["reports"]} == {"BAD_REPORT"}
    good = f'{{"id":"a","key":"{live.key.public_id}","status":200}}'
    answer = call("/v1/usage", "POST", f"[{twice},{good}]".encode(), HTTP_AUTHORIZATION=f"Bearer {gateway}")
    assert [row["outcome"] for row in answer.json["reports"]] == ["wrong", "taken"]


def test_a_full_batch_over_many_keys(gateway: str) -> None:
    keys = make_live_keys(5)
    rows = [
        {"id": str(n), "key": keys[n % 5].key.public_id, "status": 200, "latency_ms": n} for n in range(500)
    ]
    assert report(gateway, rows).json["taken"] == 500
    assert report(gateway, rows).json["repeated"] == 500
    drain_use(now=timezone.now())
    days = KeyOutcomeDay.objects.all()
    assert [day.by_status for day in days] == [{"200": 100}] * 5
    assert sum(day.latency_ms_sum for day in days) == sum(range(500))
    assert max(day.latency_ms_max for day in days) == 499
    assert sum(sum(day.by_latency.values()) for day in days) == 500


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'"text"', 400),
        (b"[" * 100_000, 400),
        (json.dumps([{"id": "1"}] * 501).encode(), 413),
        (b" " * (usage.MAX_BODY + 1), 413),
    ],
)
def test_body_that_cannot_be_read(gateway: str, body: bytes, status: int) -> None:
    answer = call("/v1/usage", "POST", body, HTTP_AUTHORIZATION=f"Bearer {gateway}")
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_only_gateways_report(gateway: str, live: LiveKey) -> None:
    body = json.dumps({"id": "1", "key": live.key.public_id, "status": 200}).encode()
    for credential in ("", "Bearer nonsense", f"Bearer {live.text}", f"Basic {gateway}"):
        answer = call("/v1/usage", "POST", body, HTTP_AUTHORIZATION=credential)
        assert (answer.status, answer.json["code"]) == (401, "UNKNOWN_GATEWAY")
    bound = make_gateway(ip_ranges=["192.0.2.0/24"])
    assert call("/v1/usage", "POST", body, HTTP_AUTHORIZATION=f"Bearer {bound}").status == 401
    answer = call("/v1/usage", "GET", HTTP_AUTHORIZATION=f"Bearer {gateway}")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


# --- exact, whatever comes when ---------------------------------------------------------------------


@dataclass
class Model:
    """A budget as a plain person would keep it."""

    budget: int
    held: dict[int, int] = field(default_factory=dict)
    settled: dict[int, int] = field(default_factory=dict)

    @property
    def spent(self) -> int:
        return sum((self.held | self.settled).values())

    def check(self, number: int, cost: int) -> bool:
        if self.spent + cost > self.budget or self.spent >= self.budget:
            return False
        self.held[number] = cost
        return True


steps = st.lists(
    st.one_of(
        st.tuples(st.just("check"), st.integers(0, 40), st.just(0)),
        st.tuples(st.just("settle"), st.integers(0, 60), st.integers(0, 12)),
        st.tuples(st.just("repeat"), st.integers(0, 60), st.integers(0, 12)),
    ),
    max_size=40,
)


def usd(micros: int) -> str:
    return str(Decimal(micros) / MICROS)


@given(budget=st.integers(0, 120), steps=steps)
@settings(max_examples=40)
def test_reserve_settle_and_repeat_in_any_order(
    gateway: str, live: LiveKey, valkey: "redis.Redis", budget: int, steps: list[tuple[str, int, int]]
) -> None:
    # The registry holds cents; the test wants to reach the end of a budget by millionths.
    valkey.flushdb()
    assert verify(gateway, live.text).code == "VALID"
    record = record_key(live.key.family)
    policy = valkey.hget(record, "p")
    assert isinstance(policy, bytes)
    packed = bytearray(policy)
    struct.pack_into("<d", packed, struct.calcsize("<d8sIBBIIIIIdd"), budget)
    valkey.hset(record, "p", bytes(packed))
    model, ids = Model(budget), list[str]()
    for what, amount, which in steps:
        if what == "check":
            answer = verify(gateway, live.text, cost_usd=usd(amount))
            assert (answer.code == "VALID") is model.check(len(ids), amount)
            if answer.code == "VALID":
                ids.append(answer.json["check"])
                left = Decimal(max(0, budget - model.spent)) / MICROS
                assert answer.json["remaining"]["budget_usd"] == f"{left:.6f}"
        elif which < len(ids):
            told = {"check": ids[which], "cost_usd": usd(amount)}
            row = taken(gateway, **told) if what == "settle" else taken(gateway, **told, id=f"r{amount}")
            if which in model.settled:
                assert row.get("cost", "settled_before") == "settled_before"
            elif row["outcome"] == "taken":
                assert row["cost"] == "settled"
                model.settled[which] = amount
        assert spent(live) * MICROS == model.spent


@pytest.mark.django_db(transaction=True)
def test_threads_at_once_never_reserve_a_millionth_too_much(process_environment: dict[str, str]) -> None:
    gateway, live = make_gateway(), make_live_key(monthly_budget_usd="0.50")
    assert verify(gateway, live.text).code == "VALID"
    codes: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    lock = threading.Lock()

    def ask() -> None:
        for number in range(40):
            answer = verify(gateway, live.text, cost_usd="0.003")
            with lock:
                codes[answer.code] += 1
            if answer.code == "VALID" and number % 2:
                # Sent by two at once, as a gateway does that heard no answer.
                told = {"check": answer.json["check"], "cost_usd": "0.003"}
                run(partial(tell, told), 2)

    def tell(told: dict[str, Any]) -> None:
        row = taken(gateway, **told)
        with lock:
            outcomes[row["outcome"]] += 1

    run(ask, 6)
    assert codes == {"VALID": 166, "BUDGET_EXCEEDED": 240 - 166}
    assert outcomes["taken"] == outcomes["repeated"] > 0
    assert spent(live) == Decimal("0.498")


@pytest.mark.django_db(transaction=True)
def test_one_check_is_settled_once_by_however_many(process_environment: dict[str, str]) -> None:
    gateway, live = make_gateway(), make_live_key(monthly_budget_usd="5.00", concurrency=5)
    checks = [verify(gateway, live.text, cost_usd="0.5", lease_seconds=600).json["check"] for _ in range(5)]
    cost: Counter[str] = Counter()
    lease: Counter[str] = Counter()
    lock = threading.Lock()

    def tell() -> None:
        me = threading.current_thread().name
        rows = [{"id": me + one, "check": one, "cost_usd": "0.2"} for one in checks]
        for row in report(gateway, rows).json["reports"]:
            with lock:
                cost[row["cost"]] += 1
                lease[row["lease"]] += 1

    run(tell, 8)
    assert cost == {"settled": 5, "settled_before": 35}
    assert lease == {"released": 5, "not_held": 35}
    assert spent(live) == Decimal("1.0")


def run(target: Callable[[], None], times: int) -> None:
    def in_thread() -> None:
        try:
            target()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=in_thread) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_ids_are_read_by_whom_they_were_made_for() -> None:
    facts = b"0123456789", 1_763_700_000, 1_764_515_000, 4_050_000, 2**50
    one = check_ids.CheckId("AbCdEfGh0001", *facts)
    text = check_ids.text("GW-0001", b"AbCdEfGh0001", *facts).decode()
    assert len(text) == 70
    assert check_ids.read(text, "GW-0001") == one
    assert check_ids.read(text, "GW-0002") is None
    with_workspace = check_ids.text("GW-0001", b"AbCdEfGh0001", *facts, "WS-0001").decode()
    assert check_ids.read(with_workspace, "GW-0001") == replace(one, workspace="WS-0001")
