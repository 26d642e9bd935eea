"""Outcomes told by the client: places freed, costs settled, nothing lost while the verifier is away."""

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client as DjangoClient
from django.test import override_settings
from kagiban_client import Client, Guard, Needs, Outcome, Reporter, Verdict

from tests.clients.sites import SETTINGS, BrokenError, Site, of_async_django, of_django, of_starlette, of_wsgi
from tests.dataplane import make_gateway, make_live_key

pytestmark = pytest.mark.django_db(transaction=True)
SITES = {"wsgi": of_wsgi, "starlette": of_starlette, "django": of_django, "async django": of_async_django}


@pytest.fixture(params=SITES)
def site(request: pytest.FixtureRequest) -> Site:
    return SITES[request.param]


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url, make_gateway(reports_ends=True), timeout=30) as made:
        yield made


class Kept(Reporter):
    """A reporter whose thread never wakes, so that a test sees what waits."""

    def __init__(self, client: Client, **options: Any) -> None:
        super().__init__(client, every=3_600, **options)
        self.told: list[Outcome] = []

    def add(self, outcome: Outcome) -> None:
        self.told.append(outcome)
        super().add(outcome)


def test_reported_call_frees_its_place_and_settles_its_cost(client: Client) -> None:
    live = make_live_key(concurrency=1, monthly_budget_usd="1")
    first = client.verify(live.text, cost_usd=Decimal("0.6"), lease_seconds=600)
    assert first.check
    assert client.verify(live.text, cost_usd=Decimal("0.1")).code == "CONCURRENCY_EXCEEDED"
    outcome = Outcome.of(first, status=200, latency_ms=12.5, cost_usd=Decimal("0.1"))
    assert client.report(outcome).taken == 1
    assert client.report(outcome).repeated == 1
    second = client.verify(live.text, cost_usd=Decimal("0.5"))
    assert (second.code, second.remaining.budget_usd) == ("VALID", Decimal("0.4"))


def test_wrong_outcome_is_told_beside_the_good(client: Client) -> None:
    live = make_live_key()
    verdict = client.verify(live.text)
    assert verdict.check is None
    good, bad = Outcome.of(verdict, status=200), Outcome(key="KB-9999", status=200)
    receipt = client.report(good, bad)
    assert receipt.taken == 1
    [why] = receipt.wrong
    assert why.startswith("1: UNKNOWN_KEY: ")


@pytest.mark.parametrize(("path", "status"), [("/posts", 200), ("/broken", 500)])
def test_guard_tells_the_outcome_once_the_answer_was_sent(
    site: Site, client: Client, path: str, status: int
) -> None:
    live = make_live_key(concurrency=1)
    reporter = Kept(client)
    guard = Guard(client, needs=Needs(lease_seconds=600), reporter=reporter)
    for _ in range(2):
        call(site, guard, path, live.text)
        assert reporter.flush()
    assert [outcome.status for outcome in reporter.told] == [status] * 2
    assert all(outcome.check and outcome.latency_ms is not None for outcome in reporter.told)
    assert client.verify(live.text).code == "VALID"


def call(site: Site, guard: Guard, path: str, text: str) -> None:
    """Call the API; what breaks in it may come through, as servers want it."""
    with suppress(BrokenError):
        assert site(guard, path, {"X-API-Key": text}).status == (200 if path == "/posts" else 500)


def test_streamed_answer_holds_its_place_to_its_end(client: Client) -> None:
    live, reporter = make_live_key(concurrency=1), Kept(client)
    guard = Guard(client, needs=Needs(lease_seconds=600), reporter=reporter)
    with override_settings(KAGIBAN_GUARD=guard, **SETTINGS):
        response = DjangoClient().get("/stream", headers={"X-API-Key": live.text})
        assert reporter.told == []
        assert b"".join(response) == b"ab"
    assert reporter.close()
    assert [outcome.status for outcome in reporter.told] == [200]


def test_refused_call_has_no_outcome(site: Site, client: Client) -> None:
    reporter = Kept(client)
    guard = Guard(client, needs=Needs(scopes=["no:such"]), reporter=reporter)
    assert site(guard, "/posts", {"X-API-Key": make_live_key().text}).status == 403
    assert reporter.told == []


def test_outcomes_wait_while_the_verifier_is_away(
    client: Client, nowhere: str, caplog: pytest.LogCaptureFixture
) -> None:
    live = make_live_key(concurrency=2)
    verdicts = [client.verify(live.text, lease_seconds=600) for _ in range(2)]
    with Client(nowhere, "kbg_live_x") as away:
        reporter = Kept(away, max_waiting=3)
        for verdict in [Verdict(valid=True, code="VALID", key="KB-9999"), *verdicts]:
            reporter.add(Outcome.of(verdict, status=200))
        assert not reporter.flush()
        assert "outcomes wait" in caplog.text
        reporter._client = client
        assert reporter.flush()
        assert reporter.close()
    assert reporter.n_lost == 1
    assert "UNKNOWN_KEY" in caplog.text
    assert client.verify(live.text).code == "VALID"


def test_oldest_are_lost_beyond_what_may_wait(nowhere: str) -> None:
    with Client(nowhere, "kbg_live_x") as away:
        reporter = Kept(away, max_waiting=3)
        for number in range(5):
            reporter.add(Outcome(key="KB-0001", status=200 + number))
        assert not reporter.flush()
        assert reporter.n_lost == 2
        assert [outcome.status for outcome in reporter._waiting] == [202, 203, 204]
        reporter._waiting.clear()
        assert reporter.close()


def test_reporter_sends_by_itself(client: Client) -> None:
    live = make_live_key(concurrency=1)
    reporter, sent = Reporter(client, every=0.01), threading.Event()
    report = client.report

    def tell(*outcomes: Outcome) -> Any:
        receipt = report(*outcomes)
        sent.set()
        return receipt

    client.report = tell  # type: ignore[method-assign]  # to know when the thread has sent it
    reporter.add(Outcome.of(client.verify(live.text, lease_seconds=600), status=200))
    assert sent.wait(30)
    reporter.close()
    assert client.verify(live.text).code == "VALID"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # that servers do so is why it is tried
def test_child_process_has_connections_of_its_own(client: Client) -> None:
    live = make_live_key()
    assert client.verify(live.text)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        codes = " ".join(client.verify(live.text).code for _ in range(5))
        os.write(writer, codes.encode())
        os._exit(0)
    mine = [client.verify(live.text).code for _ in range(5)]
    os.close(writer)
    with os.fdopen(reader) as told:
        assert told.read().split() == mine == ["VALID"] * 5
    os.waitpid(child, 0)
