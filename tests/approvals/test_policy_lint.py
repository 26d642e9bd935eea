"""What the linter refuses and warns of, and that what it lets through always has deciders (A2)."""

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.models import StepRole
from approvals.policies.findings import SENTENCES, lines_of
from approvals.policies.lint import House, is_refused, lint, situations
from approvals.policies.reader import FACTS, Known, Rule, parse_rules, rules_to_json
from approvals.policies.rules import STAFF_ROLES, Facts, Person, deciders, plan_path

FIRST = import_module("approvals.migrations.0003_first_policy").RULES
SECOND = import_module("approvals.migrations.0006_changes_take_a_short_path").with_changes(FIRST)
KNOWN = Known({"partner": "Partner", "premium": "Premium", "internal": "Internal"}, frozenset({"internal"}))


def person(ref: str, *roles: str, is_active: bool = True) -> Person:
    return Person(ref=ref, roles=list(roles), is_active=is_active)


STAFF = [
    person("ST-1", "pm"),
    person("ST-2", "pm"),
    person("ST-3", "legal"),
    person("ST-4", "tech"),
    person("ST-5", "coo"),
    person("ST-6", "security"),
    person("ST-7", "legal", is_active=False),
]
HOUSE = House(
    staff=STAFF,
    requesters={"ST-1", "ST-2"},
    known=KNOWN,
    coo_threshold_jpy=500_000,
    names={"ST-1": "Misaki", "ST-7": "Gone"},
)


def steps(*changes: dict[str, Any], rules: Any = FIRST) -> list[dict[str, Any]]:
    """The steps of A1, changed: `{"at": place, …fields}`; `{"drop": place}`; `{"add": step}`."""
    found = [dict(step) for step in rules["steps"]]
    for change in changes:
        if "drop" in change:
            found[change["drop"]] = {}
        elif "add" in change:
            found.append(change["add"])
        else:
            found[change["at"]] |= {name: value for name, value in change.items() if name != "at"}
    return [step for step in found if step]


def found(data: Sequence[dict[str, Any]], house: House = HOUSE) -> dict[str, str]:
    return {f.code: f.level for f in lint(parse_rules({"steps": list(data)}, KNOWN), house)}


def when(fact: str, op: str, value: object) -> list[dict[str, Any]]:
    return [{"fact": fact, "op": op, "value": value}]


PM, HOLDER, LEGAL, TECH, COO = range(5)


@pytest.mark.parametrize("rules", [FIRST, SECOND])
def test_the_policies_that_every_installation_begins_with_are_safe(rules: Any) -> None:
    assert found(rules["steps"]) == {}


@pytest.mark.parametrize(
    ("data", "code", "level"),
    [
        (steps({"drop": PM}), "no_pm", "refusal"),
        (steps({"at": PM, "when": when("environment", "is", "live")}), "no_pm", "refusal"),
        (steps({"drop": TECH}), "no_tech", "refusal"),
        (steps({"at": TECH, "when": when("asks_write", "is", True)}), "no_tech", "refusal"),
        (steps({"drop": HOLDER}), "no_consent", "refusal"),
        (steps({"at": HOLDER, "when": []}), "no_contact", "refusal"),
        (steps({"drop": COO}), "no_coo", "refusal"),
        (
            steps({"at": COO, "when": when("monthly_amount_jpy", "more_than", 1_000_000)}),
            "less_coo",
            "refusal",
        ),
        (
            steps(
                {
                    "at": COO,
                    "when": when("monthly_amount_jpy", "more_than", 500_000)
                    + when("environment", "is", "live"),
                }
            ),
            "less_coo",
            "refusal",
        ),
        (steps({"drop": LEGAL}), "no_legal", "warning"),
        (steps({"at": PM, "n": 3}), "too_few", "refusal"),
        (steps({"at": PM, "people": ["ST-7"]}), "named_cannot", "refusal"),
        (steps({"at": PM, "people": ["ST-1", "ST-2", "ST-3"]}), "named_gone", "warning"),
        (steps({"at": PM, "people": ["ST-1"]}), "own_requests", "warning"),
        (steps({"at": PM, "n": 2}), "own_requests", "warning"),
        (steps({"add": {"role": "pm", "when": []}}), "twice", "refusal"),
        (steps({"at": PM, "role": "tech"}, {"at": TECH, "role": "pm"}), "order", "warning"),
        (
            steps({"at": LEGAL, "when": when("n_scopes", "at_most", 3) + when("n_scopes", "more_than", 3)}),
            "never",
            "refusal",
        ),
        # Only internal teams have no contract, and then there is no amount.
        (
            steps(
                {
                    "at": LEGAL,
                    "when": when("is_internal_without_contract", "is", True)
                    + when("monthly_amount_jpy", "more_than", 0),
                }
            ),
            "never",
            "refusal",
        ),
        (
            steps(
                {"at": LEGAL, "when": when("plan", "is", "internal") + when("partner_kind", "is", "company")}
            ),
            "never",
            "refusal",
        ),
        (
            [{"role": "pm", "when": when("change", "is", "none")}],
            "no_step",
            "refusal",
        ),
        (
            steps({"add": {"role": "rights_holder", "when": when("change", "is", "tightens")}}),
            "twice",
            "refusal",
        ),
    ],
)
def test_what_would_go_wrong_is_said(data: list[dict[str, Any]], code: str, level: str) -> None:
    assert found(data).get(code) == level


def test_a_role_that_nobody_has_is_refused() -> None:
    house = replace(HOUSE, staff=[one for one in STAFF if "legal" not in one.roles])
    assert found(FIRST["steps"], house)["nobody"] == "refusal"


def test_the_coo_is_measured_against_the_setting_and_the_refusal_names_it() -> None:
    at_600_000 = steps({"at": COO, "when": when("monthly_amount_jpy", "more_than", 600_000)})
    assert found(at_600_000) == {"less_coo": "refusal"}
    assert found(at_600_000, replace(HOUSE, coo_threshold_jpy=600_000)) == {}
    assert found(FIRST["steps"], replace(HOUSE, coo_threshold_jpy=499_999)) == {"less_coo": "refusal"}
    rules = parse_rules({"steps": at_600_000}, KNOWN)
    line = lines_of(lint(rules, HOUSE), rules, HOUSE)[0]
    assert "COO_THRESHOLD_JPY" in line.text
    assert "500,000" in line.text


def test_one_person_for_two_steps_is_refused() -> None:
    both = person("ST-9", "legal", "tech")
    others = [one for one in STAFF if not {"legal", "tech"} & set(one.roles)]
    assert found(FIRST["steps"], replace(HOUSE, staff=[*others, both]))["same_person"] == "refusal"
    enough = [*others, both, person("ST-8", "tech")]
    assert "same_person" not in found(FIRST["steps"], replace(HOUSE, staff=enough))


def test_a_role_asked_twice_under_conditions_that_exclude_each_other_is_fine() -> None:
    data = steps(
        {"at": TECH, "when": when("asks_admin", "is", False)},
        {"add": {"role": "tech", "when": when("asks_admin", "is", True), "second_factor": True}},
    )
    assert "twice" not in found(data)
    assert not is_refused(lint(parse_rules({"steps": data}, KNOWN), HOUSE))


def test_only_outsiders_never_decide_alone() -> None:
    data = [
        *steps({"at": PM, "when": when("change", "is_not", "tightens")}),
        {"role": "pm", "when": when("change", "is", "tightens") + when("partner_kind", "is", "company")},
    ]
    data[TECH]["when"] = data[COO]["when"] = data[LEGAL]["when"] = when("change", "is_not", "tightens")
    assert found(data)["no_staff"] == "refusal"


def test_every_finding_has_a_sentence_with_its_example() -> None:
    rules = parse_rules({"steps": steps({"drop": TECH}, {"at": PM, "people": ["ST-1", "ST-7"]})}, KNOWN)
    findings = lint(rules, HOUSE)
    lines = lines_of(findings, rules, HOUSE)
    assert {finding.code for finding in findings} <= set(SENTENCES)
    assert all(line.text for line in lines)
    assert any("Gone" in line.text for line in lines)
    assert any(line.example for line in lines)


# --- properties -------------------------------------------------------------------------------------------

REQUESTS = st.sampled_from(["company", "agency", "rights_holder", "internal"]).flatmap(
    lambda kind: st.builds(
        Facts,
        partner_kind=st.just(kind),
        monthly_amount_jpy=st.integers(0, 2_000_000),
        is_internal_without_contract=st.just(value=False),
        plan=st.sampled_from(["partner", "premium"]),
        environment=st.sampled_from(["live", "test", "dev"]),
        licence_level=st.sampled_from(["public", "partner", "restricted"]),
        purpose_category=st.sampled_from([code for code, _l in FACTS["purpose_category"].choices or ()]),
        change=st.sampled_from(["none", "tightens", "loosens"]),
        n_scopes=st.integers(1, 50),
        asks_write=st.booleans(),
        asks_admin=st.just(value=False),
    )
)


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    fact = draw(st.sampled_from(sorted(FACTS)))
    kind = FACTS[fact].kind
    if kind == "flag":
        return {"fact": fact, "op": "is", "value": draw(st.booleans())}
    if kind == "number":
        top = 1_000_000 if fact == "monthly_amount_jpy" else 20
        op = draw(st.sampled_from(["more_than", "at_most"]))
        return {"fact": fact, "op": op, "value": draw(st.integers(0, top))}
    codes = [code for code, _label in KNOWN.choices(fact)]
    op = draw(st.sampled_from(["any_of", "none_of"]))
    return {"fact": fact, "op": op, "value": draw(st.lists(st.sampled_from(codes), min_size=1, unique=True))}


@st.composite
def policies(draw: st.DrawFn) -> tuple[Rule, ...]:
    """A1's steps and others between them, with conditions of any kind."""
    made = [dict(step) for step in FIRST["steps"]]
    for _extra in range(draw(st.integers(0, 3))):
        step = {
            "role": draw(st.sampled_from(StepRole.values)),
            "when": draw(st.lists(conditions(), max_size=3)),
        }
        made.insert(draw(st.integers(0, len(made))), step)
    if draw(st.booleans()):
        place = draw(st.integers(0, len(made) - 1))
        made[place] = made[place] | {"when": draw(st.lists(conditions(), max_size=2))}
    return parse_rules({"steps": made}, KNOWN)


@settings(max_examples=300)
@given(rules=policies(), facts=REQUESTS)
def test_a_policy_that_is_not_refused_gives_every_request_a_path_that_can_be_decided(
    rules: tuple[Rule, ...], facts: Facts
) -> None:
    if is_refused(lint(rules, HOUSE)):
        return
    path = plan_path(rules_to_json(rules), facts)
    assert path
    for step in path:
        if StepRole(step.role) in STAFF_ROLES:
            able = deciders(STAFF, role=step.role, requester="", decided=(), named=step.people)
            assert len(able) >= step.n_needed
        else:
            assert facts.partner_kind == "rights_holder"
    roles = [step.role for step in path]
    assert len(set(roles)) == len(roles)
    if facts.change != "tightens":
        assert {"pm", "tech"} <= set(roles)
        assert facts.partner_kind != "rights_holder" or "rights_holder" in roles
        assert facts.monthly_amount_jpy <= HOUSE.coo_threshold_jpy or "coo" in roles


@settings(max_examples=200)
@given(rules=policies(), facts=REQUESTS)
def test_the_linter_knows_every_set_of_steps_that_a_request_can_get(
    rules: tuple[Rule, ...], facts: Facts
) -> None:
    known = {case.steps for case in situations(rules, HOUSE)}
    numbered = [replace(rule, why=str(place)) for place, rule in enumerate(rules)]
    asked = tuple(int(step.why) for step in plan_path(rules_to_json(numbered), facts))
    assert asked in known


@settings(max_examples=200)
@given(rules=policies())
def test_each_situation_is_one_that_the_rules_really_give(rules: tuple[Rule, ...]) -> None:
    numbered = rules_to_json([replace(rule, why=str(place)) for place, rule in enumerate(rules)])
    for case in situations(rules, HOUSE):
        assert tuple(int(step.why) for step in plan_path(numbered, case.facts)) == case.steps
