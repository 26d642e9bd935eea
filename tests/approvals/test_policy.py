"""The approval path as data: which steps for which facts, and who may decide them (A1, A4)."""

from dataclasses import replace
from importlib import import_module

import pytest
from django.conf import settings

from approvals.policies.rules import Facts, Person, deciders, plan_path, why_not

FIRST = import_module("approvals.migrations.0003_first_policy").RULES
RULES = import_module("approvals.migrations.0006_changes_take_a_short_path").with_changes(FIRST)
COMPANY = Facts(
    partner_kind="company",
    monthly_amount_jpy=300_000,
    is_internal_without_contract=False,
    plan="partner",
    environment="live",
    licence_level="partner",
    purpose_category="integration",
)


def roles(**changes: object) -> list[str]:
    return [str(step.role) for step in plan_path(RULES, replace(COMPANY, **changes))]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("amount", "coo"), [(0, False), (499_999, False), (500_000, False), (500_001, True), (10**12, True)]
)
def test_the_coo_decides_above_half_a_million_only(amount: int, coo: bool) -> None:
    assert roles(monthly_amount_jpy=amount) == ["pm", "legal", "tech", *(["coo"] if coo else [])]


@pytest.mark.parametrize("kind", ["company", "agency", "internal"])
def test_only_a_rights_holder_consents(kind: str) -> None:
    assert "rights_holder" not in roles(partner_kind=kind)


def test_consent_comes_after_the_pm_and_before_legal() -> None:
    assert roles(partner_kind="rights_holder", monthly_amount_jpy=600_000) == [
        "pm",
        "rights_holder",
        "legal",
        "tech",
        "coo",
    ]


def test_legal_is_skipped_for_an_internal_team_without_contract() -> None:
    assert roles(partner_kind="internal", is_internal_without_contract=True) == ["pm", "tech"]


@pytest.mark.parametrize("amount", [0, 600_000])
@pytest.mark.parametrize("kind", ["company", "rights_holder", "internal"])
def test_a_change_that_only_tightens_takes_one_look(kind: str, amount: int) -> None:
    found = roles(partner_kind=kind, monthly_amount_jpy=amount, change="tightens")
    assert found == ["pm_or_security"]


def test_a_change_that_loosens_goes_the_whole_way() -> None:
    loosens = roles(partner_kind="rights_holder", monthly_amount_jpy=600_000, change="loosens")
    assert loosens == ["pm", "rights_holder", "legal", "tech", "coo"]


def test_rules_from_before_changes_send_them_the_whole_way() -> None:
    steps = plan_path(FIRST, replace(COMPANY, change="tightens"))
    assert [str(step.role) for step in steps] == ["pm", "legal", "tech"]


def test_only_the_coo_proves_the_second_factor_again() -> None:
    steps = plan_path(RULES, replace(COMPANY, monthly_amount_jpy=500_001))
    assert [str(step.role) for step in steps if step.needs_second_factor] == ["coo"]


@pytest.mark.parametrize(
    "condition",
    [{"fact": "moon", "op": "is", "value": 1}, {"fact": "plan", "op": "resembles", "value": "partner"}],
)
def test_rules_that_are_wrong_are_refused(condition: dict[str, object]) -> None:
    with pytest.raises(KeyError):
        plan_path({"steps": [{"role": "pm", "why": "always", "when": [condition]}]}, COMPANY)


@pytest.mark.parametrize(
    ("op", "value", "holds"),
    [
        ("is", 300_000, True),
        ("is_not", 300_000, False),
        ("more_than", 299_999, True),
        ("more_than", 300_000, False),
        ("at_most", 300_000, True),
        ("at_most", 299_999, False),
        ("any_of", [1, 300_000], True),
        ("none_of", [1, 300_000], False),
    ],
)
def test_each_operator(op: str, value: object, holds: bool) -> None:
    when = [{"fact": "monthly_amount_jpy", "op": op, "value": value}]
    assert bool(plan_path({"steps": [{"role": "pm", "why": "always", "when": when}]}, COMPANY)) is holds


PM = Person(ref="ST-1", roles=["pm"], is_active=True)
BOTH = Person(ref="ST-2", roles=["pm", "legal"], is_active=True)
SECURITY = Person(ref="ST-4", roles=["security"], is_active=True)
LEGAL = Person(ref="ST-5", roles=["legal"], is_active=True)
GONE = Person(ref="ST-3", roles=["pm"], is_active=False)


@pytest.mark.parametrize(
    ("person", "role", "requester", "decided", "code"),
    [
        (PM, "pm", "ST-9", (), ""),
        (PM, "legal", "ST-9", (), "not_your_role"),
        (PM, "rights_holder", "ST-9", (), "not_your_role"),
        (PM, "pm", "ST-1", (), "own_request"),
        (BOTH, "legal", "ST-9", ("ST-2",), "decided_another_step"),
        (BOTH, "legal", "ST-9", ("ST-1",), ""),
        (GONE, "pm", "ST-9", (), "not_your_role"),
        (PM, "pm_or_security", "ST-9", (), ""),
        (SECURITY, "pm_or_security", "ST-9", (), ""),
        (SECURITY, "pm", "ST-9", (), "not_your_role"),
        (LEGAL, "pm_or_security", "ST-9", (), "not_your_role"),
        (SECURITY, "pm_or_security", "ST-4", (), "own_request"),
    ],
)
def test_four_eyes(person: Person, role: str, requester: str, decided: tuple[str, ...], code: str) -> None:
    assert why_not(person, role=role, requester=requester, decided=decided) == code


def test_deciders_are_those_who_may() -> None:
    found = deciders([PM, BOTH, GONE], role="pm", requester="ST-2", decided=set())
    assert [person.ref for person in found] == ["ST-1"]


def test_the_pages_and_the_policy_know_one_threshold() -> None:
    rule = next(step for step in RULES["steps"] if step["role"] == "coo")
    assert {
        "fact": "monthly_amount_jpy",
        "op": "more_than",
        "value": settings.COO_THRESHOLD_JPY,
    } in rule["when"]
