"""Numbers of decisions: against an example that was computed by hand (A5)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries

from approvals.decisions.selectors.numbers import step_numbers
from approvals.models import Step
from tests.cast import Cast, decide, sign_in

pytestmark = pytest.mark.django_db
BEGIN = datetime(2026, 10, 1, tzinfo=UTC)
END = datetime(2026, 11, 1, tzinfo=UTC)


def pm_step(cast: Cast, hours: float, *, outcome: str = "approve", ended: datetime, due: float = 48) -> None:
    """A PM's step that took so many hours and was due after `due`."""
    request = cast.request()
    decide(request, cast.pm, outcome)
    Step.objects.filter(request=request, role="pm").update(
        opened_at=ended - timedelta(hours=hours),
        due_at=ended + timedelta(hours=due - hours),
        ended_at=ended,
    )
    Step.objects.filter(request=request, state="open").update(state="cancelled")


def numbers(**changes: Any) -> Any:
    return step_numbers(**({"since": BEGIN, "until": END, "now": END} | changes))


def test_medians_shares_and_lateness_by_hand(cast: Cast) -> None:
    middle = BEGIN + timedelta(days=10)
    for hours in (2, 4, 6, 60):
        pm_step(cast, hours, ended=middle)
    pm_step(cast, 8, outcome="reject", ended=middle)
    pm_step(cast, 10, outcome="changes", ended=middle)
    pm_step(cast, 1_000, ended=BEGIN - timedelta(seconds=1))  # before the period
    pm_step(cast, 1_000, ended=END)  # the end does not belong to it
    found = numbers()
    pm = found.rows[0]
    # 2, 4, 6, 8, 10, 60: the median is 7; nine in ten lies at 0.9 × 5 = 4.5 steps: 10 + 0.5 × 50 = 35.
    assert (pm.role, pm.n_decided) == ("pm", 6)
    assert pm.median == timedelta(hours=7)
    assert pm.nine_in_ten == timedelta(hours=35)
    assert (pm.n_rejected, pm.n_sent_back, pm.share_sent_back) == (1, 1, 33)
    assert (pm.n_late, pm.share_late) == (1, 17)
    assert [row.role for row in found.rows] == ["pm"]
    assert (found.total.n_decided, found.total.median) == (6, timedelta(hours=7))


def test_what_is_open_and_late_now(cast: Cast) -> None:
    now = timezone.now()
    cast.request()
    late = cast.request()
    Step.objects.filter(request=late, state="open").update(due_at=now - timedelta(hours=1))
    found = numbers(now=now)
    assert [(row.role, row.n_decided, row.n_open, row.n_open_late) for row in found.rows] == [("pm", 0, 2, 1)]
    assert (found.total.n_open, found.total.n_open_late, found.total.median) == (2, 1, None)


def test_nothing_at_all_is_no_error(cast: Cast) -> None:
    assert not numbers().rows
    page = sign_in(cast.auditor).get(reverse("approvals:numbers")).content.decode()
    assert "Nothing was decided in this time" in page


def test_three_queries_however_many_steps(
    cast: Cast, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _n in range(3):
        decide(cast.request(), cast.pm)
    with django_assert_num_queries(3):
        numbers(until=timezone.now() + timedelta(days=1))


def test_the_page_shows_them_for_a_period_in_the_address(cast: Cast) -> None:
    pm_step(cast, 5, ended=timezone.now() - timedelta(days=60))
    client = sign_in(cast.auditor)
    month = client.get(reverse("approvals:numbers"))
    assert month.context["numbers"].total.n_decided == 0
    quarter = client.get(reverse("approvals:numbers"), {"days": "90"})
    assert quarter.context["numbers"].total.n_decided == 1
    assert "5 hours" in quarter.content.decode()
    assert client.get(reverse("approvals:numbers"), {"days": "moon"}).context["days"] == 30
    # The queue is for working: it leads there and does not reckon them itself.
    queue = client.get(reverse("approvals:queue"))
    assert f'href="{reverse("approvals:numbers")}"' in queue.content.decode()
    assert "numbers" not in queue.context
    assert sign_in(cast.requester).get(reverse("approvals:numbers")).status_code == 403
