"""Real threads on a request that is sent back: one honest state, whatever happens beside it (A6, A10)."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from django.utils import timezone

from accounts.models import User
from approvals.models import Decision, Request, Revision, Step
from approvals.requests.services.requests import expire_requests, submit_request, withdraw_request
from approvals.requests.services.revising import pull_back
from audit.models import Event
from core.actors import staff_actor
from core.errors import Conflict
from keys.terms.terms import KeyTerms
from tests.cast import Cast, decide

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 6


def at_once(*acts: Callable[[], Any]) -> list[str]:
    """What became of the acts in threads that start together: done, or a conflict."""
    barrier = Barrier(len(acts))

    def run(act: Callable[[], Any]) -> str:
        try:
            barrier.wait(timeout=10)
            act()
        except (Conflict, Step.DoesNotExist):
            return "conflict"
        finally:
            connections.close_all()
        return "done"

    with ThreadPoolExecutor(len(acts)) as pool:
        return [future.result(timeout=60) for future in [pool.submit(run, act) for act in acts]]


def sent_back(cast: Cast) -> Request:
    request = cast.request()
    decide(request, cast.pm)
    decide(request, cast.legal, "changes")
    request.refresh_from_db()
    return request


def resubmitting(request: Request, **changes: object) -> Callable[[], Request]:
    terms = KeyTerms.from_json(request.revisions.order_by("-number")[0].terms)
    by, version = request.requester, request.version
    return lambda: submit_request(
        actor=staff_actor(by),
        by=by,
        request=request,
        version=version,
        terms=replace(terms, **changes),  # type: ignore[arg-type]
        now=timezone.now(),
    )


def withdrawing(request: Request) -> Callable[[], Request]:
    by, version = request.requester, request.version
    return lambda: withdraw_request(
        actor=staff_actor(by), by=by, request=request, version=version, now=timezone.now()
    )


def pulling_back(request: Request) -> Callable[[], Request]:
    by, version = request.requester, request.version
    return lambda: pull_back(
        actor=staff_actor(by), by=by, request=request, version=version, now=timezone.now()
    )


def answering(request: Request, by: User, answer: str = "approve") -> Callable[[], Decision]:
    return lambda: decide(request, by, answer)


def open_steps(request: Request) -> int:
    return Step.objects.filter(request=request, state=Step.State.OPEN).count()


def test_a_double_click_submits_one_revision(cast: Cast) -> None:
    request = sent_back(cast)
    act = resubmitting(request, ip_ranges=("198.51.100.0/24",))
    assert sorted(at_once(act, act, act)) == ["conflict", "conflict", "done"]
    assert Revision.objects.filter(request=request).count() == 2
    assert Event.objects.filter(action="request.resubmitted").count() == 1
    assert open_steps(request) == 1


def test_resubmitted_or_withdrawn_but_not_both(cast: Cast) -> None:
    for _round in range(ROUNDS):
        request = sent_back(cast)
        done = at_once(resubmitting(request), withdrawing(request))
        request.refresh_from_db()
        assert sorted(done) == ["conflict", "done"]
        assert (request.state, open_steps(request)) == (
            ("in_review", 1) if done[0] == "done" else ("withdrawn", 0)
        )


def test_resubmitted_or_expired_but_not_both(cast: Cast) -> None:
    for _round in range(ROUNDS):
        request = sent_back(cast)
        late = timezone.now() + settings.REQUEST_LIFETIME + timedelta(minutes=1)
        done = at_once(resubmitting(request), partial(expire_requests, now=late))
        request.refresh_from_db()
        resubmitted = Revision.objects.filter(request=request).count() == 2
        assert resubmitted == (done[0] == "done")
        # By a clock 30 days ahead, what was submitted just now has been untouched for as long.
        assert (request.state, open_steps(request)) in {("in_review", 1), ("expired", 0)}
        assert resubmitted or request.state == Request.State.EXPIRED


def test_approved_or_sent_back_but_not_both(cast: Cast) -> None:
    for _round in range(ROUNDS):
        request = cast.request()
        at_once(answering(request, cast.pm), answering(request, cast.pm2, "changes"))
        request.refresh_from_db()
        decisions = list(Decision.objects.filter(request=request))
        outcomes = [decision.outcome for decision in decisions if decision.step.role == "pm"]
        assert len(outcomes) == 1
        assert (request.state == Request.State.CHANGES_WANTED) == (outcomes == ["changes"])
        assert open_steps(request) == (0 if outcomes == ["changes"] else 1)


def test_decided_or_taken_back_no_decision_is_lost(cast: Cast) -> None:
    for _round in range(ROUNDS):
        request = cast.request()
        request.refresh_from_db()
        done = at_once(answering(request, cast.pm), pulling_back(request))
        request.refresh_from_db()
        n_decisions = Decision.objects.filter(request=request).count()
        assert n_decisions == (1 if done[0] == "done" else 0)
        assert "done" in done
        if done[1] == "done":
            assert (request.state, open_steps(request)) == ("changes_wanted", 0)
        else:
            assert (request.state, open_steps(request)) == ("in_review", 1)
