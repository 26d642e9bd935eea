"""The form of a policy's rules: read strictly, written back the same, said in words (A2)."""

from importlib import import_module
from typing import Any

import pytest
from django.utils.translation import override

from approvals.policies.reader import Known, RulesError, parse_rules, rules_to_json
from approvals.policies.rules import Facts, Person, plan_path, why_not
from approvals.policies.wording import asked_when, demands, why_sentence

FIRST = import_module("approvals.migrations.0003_first_policy").RULES
SECOND = import_module("approvals.migrations.0006_changes_take_a_short_path").with_changes(FIRST)
KNOWN = Known({"partner": "Partner", "premium": "Premium", "internal": "Internal"}, frozenset({"internal"}))
COMPANY = Facts(
    partner_kind="company",
    monthly_amount_jpy=300_000,
    is_internal_without_contract=False,
    plan="partner",
    environment="live",
    licence_level="partner",
    purpose_category="integration",
)


def step(*when: dict[str, Any], role: str = "pm", **more: Any) -> dict[str, Any]:
    return {"role": role, "why": "rule", "when": list(when)} | more


def condition(fact: str, op: str, value: object) -> dict[str, Any]:
    return {"fact": fact, "op": op, "value": value}


@pytest.mark.parametrize("rules", [FIRST, SECOND])
def test_the_versions_that_every_installation_has_are_read_and_written_the_same(rules: Any) -> None:
    assert rules_to_json(parse_rules(rules, KNOWN)) == rules


def test_everything_that_a_step_can_say_comes_back() -> None:
    rules = {
        "steps": [
            step(
                condition("plan", "any_of", ["partner", "premium"]),
                condition("n_scopes", "more_than", 5),
                condition("asks_admin", "is", True),
                role="tech",
                n=2,
                second_factor=True,
                people=["ST-0001", "ST-0002"],
                deadline_hours=16,
            )
        ]
    }
    assert rules_to_json(parse_rules(rules, KNOWN)) == rules


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (None, "list of steps"),
        ([], "list of steps"),
        ({"steps": []}, "at least one step"),
        ({"steps": [step()] * 13}, "12 steps at most"),
        ({"steps": [step()], "self_approval": True}, "list of steps"),
        ({"steps": ["pm"]}, "nothing that is not known"),
        ({"steps": [step(own_requests=True)]}, "nothing that is not known"),
        ({"steps": [step(role="king")]}, "no such role"),
        ({"steps": [step(n=0)]}, "whole number from 1 to 9"),
        ({"steps": [step(n=True)]}, "whole number from 1 to 9"),
        ({"steps": [step(deadline_hours=241)]}, "whole number from 1 to 240"),
        ({"steps": [step(second_factor="no")]}, "yes or no"),
        ({"steps": [step(people="ST-0001")]}, "list of staff numbers"),
        ({"steps": [step(people=["ST-0001", "ST-0001"])]}, "each person once"),
        ({"steps": [step(role="rights_holder", n=2)]}, "must be 1"),
        ({"steps": [step(role="rights_holder", second_factor=True)]}, "has no account"),
        ({"steps": [step(*[condition("plan", "is", "partner")] * 9)]}, "8 conditions at most"),
        ({"steps": [step({"fact": "plan"})]}, "a fact, a comparison and a value"),
        ({"steps": [step(condition("moon", "is", 1))]}, "no such fact"),
        ({"steps": [step(condition("plan", "more_than", 1))]}, "can't be compared like that"),
        ({"steps": [step(condition("plan", "is", "gold"))]}, "does not exist"),
        ({"steps": [step(condition("plan", "any_of", []))]}, "at least one"),
        ({"steps": [step(condition("plan", "any_of", "partner"))]}, "at least one"),
        ({"steps": [step(condition("plan", "any_of", ["partner", "partner"]))]}, "each value once"),
        ({"steps": [step(condition("monthly_amount_jpy", "more_than", "1"))]}, "whole number"),
        ({"steps": [step(condition("monthly_amount_jpy", "more_than", -1))]}, "whole number"),
        ({"steps": [step(condition("asks_write", "is", 1))]}, "yes or no"),
    ],
)
def test_what_is_not_of_the_form_is_refused_in_words(rules: object, words: str) -> None:
    with override("en"), pytest.raises(RulesError, match=words):
        parse_rules(rules, KNOWN)


def test_a_problem_says_where_it_is() -> None:
    rules = {"steps": [step(), step(condition("plan", "is", "partner"), condition("plan", "is", "gold"))]}
    with pytest.raises(RulesError) as error:
        parse_rules(rules, KNOWN)
    assert [(p.step, p.condition, p.field) for p in error.value.problems] == [(1, 1, "value")]


@pytest.mark.parametrize(
    ("when", "sentence"),
    [
        ([], "Always asked."),
        (
            [condition("partner_kind", "any_of", ["company", "agency"])],
            "Asked when “Kind of partner” is Company or Agency.",
        ),
        (
            [condition("monthly_amount_jpy", "more_than", 500_000), condition("asks_write", "is", True)],
            (
                "Asked when “Monthly amount of the contract” is more than ¥500,000 "
                "and a scope that changes data is asked for."
            ),
        ),
        (
            [condition("change", "is_not", "tightens")],
            "Asked when it gives access: a new key, or a change that gives more.",
        ),
        ([condition("plan", "is", "premium")], "Asked when “Plan” is Premium."),
    ],
)
def test_a_step_says_in_a_sentence_when_it_is_asked(when: list[dict[str, Any]], sentence: str) -> None:
    (rule,) = parse_rules({"steps": [step(*when)]}, KNOWN)
    with override("en"):
        assert asked_when(rule.when, KNOWN.plans) == sentence


def test_a_reason_without_words_of_its_own_is_said_by_its_conditions() -> None:
    with override("en"):
        assert why_sentence("rule", [condition("environment", "is", "live")]) == (
            "Asked when “Environment” is Production."
        )
        assert str(why_sentence("always", [])) == "Every request is looked at by a PM first."


def test_what_a_step_demands_beyond_one_person() -> None:
    (rule,) = parse_rules(
        {"steps": [step(n=2, people=["ST-0001"], second_factor=True, deadline_hours=8)]}, KNOWN
    )
    with override("en"):
        assert demands(rule, {"ST-0001": "Misaki Sato"}) == [
            "2 people",
            "only Misaki Sato",
            "second factor",
            "within 8 business hours",
        ]


def test_a_planned_step_carries_what_the_rule_says() -> None:
    rules = {"steps": [step(condition("asks_write", "is", False), people=["ST-0002"], deadline_hours=8)]}
    (planned,) = plan_path(rules, COMPANY)
    assert (planned.people, planned.deadline_hours) == (("ST-0002",), 8)
    assert planned.conditions == rules["steps"][0]["when"]


@pytest.mark.parametrize(
    ("ref", "roles", "code"),
    [("ST-0001", ["pm"], ""), ("ST-0002", ["pm"], "not_named"), ("ST-0001", ["legal"], "not_your_role")],
)
def test_named_people_only_and_they_need_the_role_all_the_same(ref: str, roles: list[str], code: str) -> None:
    person = Person(ref=ref, roles=roles, is_active=True)
    found = why_not(person, role="pm", requester="ST-0009", decided=(), named=["ST-0001"])
    assert found == code
