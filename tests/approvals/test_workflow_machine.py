"""The whole workflow at random, on the real database: no illegal state, no lost decision, no key too early.

A state machine (Hypothesis) lets everybody do everything in any order, allowed or not; what must be true is
looked at after each act. What is refused must change nothing. `WORKFLOW_EXAMPLES=200` looks for longer.
"""

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from approvals.models import Delegation, Doubt, PolicyVersion, Request
from keys.models import Key
from tests.approvals.workflow_acts import STARTS
from tests.approvals.workflow_truths import Truths
from tests.cast import Cast

pytestmark = pytest.mark.long
EXAMPLES = int(os.environ.get("WORKFLOW_EXAMPLES", "2"))


def machine(cast: Cast, start: str) -> type[Truths]:
    """The machine with these people, which begins so."""
    return type("Workflow", (Truths,), {"cast": cast, "start": start})


@pytest.mark.parametrize("start", STARTS)
def test_the_workflow_holds_whatever_people_do(cast: Cast, start: str) -> None:
    run_state_machine_as_test(
        machine(cast, start),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=25,
            suppress_health_check=list(HealthCheck),
        ),
    )


# --- the rules reach what the truths are about: else these would prove little -----------------------------


def all_true(found: Truths) -> None:
    """Every invariant, as Hypothesis looks at them."""
    found.states_fit()
    found.four_eyes()
    found.as_many_people_as_needed()
    found.no_mail_is_lost_silently()
    found.nothing_is_lost()
    found.what_stands_is_true()
    found.frozen_takes_no_decision()
    found.what_is_approved_has_all_its_approvals()
    found.a_key_that_runs_may_run()
    found.an_emergency_ends_in_its_day()
    found.an_applied_change_is_what_the_key_is()
    found.events_match()


def begun(cast: Cast, start: str) -> Truths:
    found = machine(cast, start)()
    found.begin()
    all_true(found)
    return found


def to_the_end(found: Truths) -> Request:
    for _step in range(9):
        found.somebody_who_may_decides(place=0, answer="approve")
        all_true(found)
    return Request.objects.get(pk=found.request.pk)


def test_it_issues_a_key_after_two_rounds(cast: Cast) -> None:
    found = begun(cast, "big")
    for _round in range(2):
        found.somebody_who_may_decides(place=0, answer="approve")
        found.somebody_who_may_decides(place=0, answer="changes")
        found.resubmit({"contract": "edge"})
    assert to_the_end(found).state == "approved"


def test_it_goes_through_a_doubt_and_asks_again(cast: Cast) -> None:
    found = begun(cast, "small")
    found.somebody_who_may_decides(place=0, answer="approve")
    found.this_was_not_me(place=0)
    all_true(found)
    found.somebody_who_may_decides(place=0, answer="approve")
    found.security_looks(verdict="again", place=0)
    all_true(found)
    assert Doubt.objects.get().verdict == "again"
    found.resubmit({})
    assert to_the_end(found).state == "approved"


def test_it_lets_deputies_decide_and_time_go_by(cast: Cast) -> None:
    found = begun(cast, "star_contract")
    found.go_away(giver="legal", deputy="pm2", role="legal", days=30)
    found.name_a_deputy(who="security", role="pm")
    found.wait(hours=73)
    all_true(found)
    found.answer(cast.security, "approve")
    assert Delegation.objects.filter(ended_at=None).exists()
    request = to_the_end(found)
    bases = set(request.decisions.values_list("basis", flat=True))
    assert (request.state, bases) == ("approved", {"own", "delegation", "escalation"})
    found.stop_or_start_the_key("collect")
    found.take_a_consent_back(place=0)
    all_true(found)
    found.stop_or_start_the_key("start")
    assert Key.objects.get().status == "suspended"
    found.ask_for_a_change(rpm=50, hours=0, reactivates=True, by="requester")
    assert to_the_end(found).kind == "change"
    assert Key.objects.get().status == "active"


def test_it_lets_an_emergency_be_late_and_a_change_wait(cast: Cast) -> None:
    found = begun(cast, "emergency")
    found.stop_or_start_the_key("collect")
    found.wait(hours=25)
    all_true(found)
    assert Key.objects.get().held_for == ["late"]
    assert to_the_end(found).state == "approved"
    found.stop_or_start_the_key("start")
    all_true(found)
    found.ask_for_a_change(rpm=50, hours=30, reactivates=False, by="requester")
    assert to_the_end(found).change.state == "scheduled"
    found.wait(hours=49)
    all_true(found)
    assert Key.objects.get().rpm == 50
    found.roll_a_change_back(by="security", place=0)
    all_true(found)
    assert Key.objects.get().rpm == 100


def test_it_asks_two_of_them_and_the_coo_whom_a_lower_threshold_adds(cast: Cast) -> None:
    found = begun(cast, "edge")
    found.a_mail_comes_back(place=0, is_final=True)
    all_true(found)
    step = found.open_step()
    assert step is not None
    assert (step.n_needed, step.undeliverable_at is not None) == (2, True)
    found.send_the_mails_again()
    found.somebody_who_may_decides(place=0, answer="approve")
    all_true(found)
    assert found.open_step() == step
    found.another_policy(name="first", author="legal", decider="coo")
    found.move_the_threshold(amount=400_000)
    request = to_the_end(found)
    assert (request.state, request.decisions.count()) == ("approved", 5)
    assert request.steps.get(role="coo").reason == "company_threshold"
    assert PolicyVersion.objects.filter(author=cast.legal, decider=cast.coo).count() == 2
    found.teardown()


def test_it_keeps_to_the_people_whom_a_policy_names(cast: Cast) -> None:
    found = begun(cast, "star_contract")
    found.answer(cast.pm2, "approve")
    assert not found.request.decisions.exists()
    found.somebody_who_may_decides(place=0, answer="approve")
    found.a_mail_comes_back(place=0, is_final=True)
    all_true(found)
    found.mend_the_address(by="pm2")
    found.send_the_mails_again()
    assert to_the_end(found).state == "approved"
