"""What two terms differ in, in words, and which way each difference goes (R3, R5, A6)."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from django.template.loader import render_to_string
from django.utils.translation import override
from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.changes.differences import DIRECTION_OF, Direction, TermChange, changed_fields, diff_terms
from approvals.changes.terms import describe_terms
from keys.models import EndOfLife
from keys.terms.terms import LICENCE_CHECKLIST, KeyTerms
from partners.models import LicenceLevel
from tests.cast import Cast

LOOSENS, TIGHTENS, CHANGES = Direction.LOOSENS, Direction.TIGHTENS, Direction.CHANGES

words = st.text("abcdefgh", max_size=4)
days = st.dates().map(lambda day: day.isoformat())
texts = st.lists(words, max_size=3, unique=True).map(tuple)
ranges = st.lists(
    st.sampled_from(["203.0.113.0/24", "203.0.113.7/32", "198.51.100.0/25", "2001:db8::/32"]), unique=True
).map(tuple)
SPECIAL: dict[str, st.SearchStrategy[Any]] = {
    "licence_checklist": st.sets(st.sampled_from(LICENCE_CHECKLIST)).map(
        lambda points: tuple(sorted(points))
    ),
    "licence_level": st.sampled_from(["", *LicenceLevel.values]),
    "contract_starts_on": st.one_of(st.just(""), days),
    "contract_ends_on": st.one_of(st.just(""), days),
    "expires_on": st.one_of(st.just(""), days),
    "monthly_budget_usd": st.sampled_from(["", "10.00", "1200.50"]),
    "ip_ranges": ranges,
    "sla_latency_ms": st.one_of(st.none(), st.integers(1, 1_000)),
    "rotation_days": st.sampled_from([60, 90, 180]),
    "end_of_life": st.sampled_from(EndOfLife.values),
    "countries": st.sampled_from([(), ("JP",), ("JP", "US"), ("FR",)]),
    "retires_at": st.sampled_from(["", "2026-12-18T10:00+09:00", "2027-01-08T10:00+09:00"]),
}
BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    str: words,
    int: st.integers(0, 1_000),
    bool: st.booleans(),
    tuple[str, ...]: texts,
    tuple[int, ...]: st.sets(st.sampled_from([50, 80, 90, 100])).map(lambda shares: tuple(sorted(shares))),
}
any_terms = st.builds(
    KeyTerms,
    **{
        field.name: SPECIAL[field.name] if field.name in SPECIAL else BY_TYPE[field.type]
        for field in fields(KeyTerms)
    },
)


def test_every_field_has_a_direction_and_a_place_on_the_terms_page(cast: Cast) -> None:
    names = {field.name for field in fields(KeyTerms)}
    assert set(DIRECTION_OF) == names
    full = cast.terms(
        consent_contact="CO-1",
        model_names=("small",),
        feature_names=("search",),
        sla_latency_ms=500,
        sla_success_percent="99",
        monthly_budget_usd="10.00",
        countries=("JP",),
        retires_at="2026-12-18T10:00+09:00",
        replacement="KB-0002",
    )
    facts = [fact for section in describe_terms(full) for fact in section.facts]
    assert sorted(name for fact in facts for name in (fact.field, *fact.also)) == sorted(names)


@settings(max_examples=30)
@given(any_terms)
def test_equal_terms_do_not_differ(terms: KeyTerms) -> None:
    assert changed_fields(terms, replace(terms)) == {}


@settings(max_examples=40)
@given(any_terms, any_terms)
def test_the_way_back_of_a_tightening_never_tightens(old: KeyTerms, new: KeyTerms) -> None:
    there, back = changed_fields(old, new), changed_fields(new, old)
    assert set(there) == set(back)
    assert not [name for name in there if there[name] == back[name] == TIGHTENS]
    assert [name for name in there if there[name] == CHANGES] == [n for n in there if back[n] == CHANGES]


@settings(max_examples=20)
@given(any_terms, any_terms)
def test_every_difference_is_shown_once_with_words_that_differ(
    db: None, old: KeyTerms, new: KeyTerms
) -> None:
    changes = diff_terms(old, new)
    told = [name for change in changes for name in change.fields]
    assert sorted(told) == sorted(changed_fields(old, new))
    assert all(change.old or change.new for change in changes)


def test_equal_terms_have_no_lines_and_cost_no_query(
    cast: Cast, django_assert_num_queries: Callable[[int], Any]
) -> None:
    terms = cast.terms()
    with django_assert_num_queries(0):
        assert diff_terms(terms, replace(terms)) == []


def test_the_number_of_queries_does_not_grow_with_the_differences(
    cast: Cast, django_assert_max_num_queries: Callable[[int], Any]
) -> None:
    old, new = cast.terms(), cast.terms(cast.big, rpm=50, name="Other", purpose="Else.")
    with django_assert_max_num_queries(16):
        assert len(diff_terms(old, new)) >= 4


@pytest.mark.parametrize(
    ("field", "old", "new", "direction"),
    [
        ("scopes", ("a:read",), ("a:read", "a:write"), LOOSENS),
        ("scopes", ("a:read", "a:write"), ("a:read",), TIGHTENS),
        ("scopes", ("a:read",), ("b:read",), LOOSENS),
        ("scopes", ("a:read", "b:read"), ("b:read", "a:read"), CHANGES),
        ("model_names", ("small",), ("*",), LOOSENS),
        ("model_names", ("*",), ("small", "large"), TIGHTENS),
        ("model_names", ("*",), ("*", "small"), CHANGES),
        ("rpm", 100, 50, TIGHTENS),
        ("rpm", 50, 100, LOOSENS),
        ("burst", 0, 20, TIGHTENS),
        ("burst", 20, 0, LOOSENS),
        ("monthly_budget_usd", "1000.00", "900.00", TIGHTENS),
        ("monthly_budget_usd", "900.00", "1000.00", LOOSENS),
        ("monthly_budget_usd", "", "1000.00", TIGHTENS),
        ("monthly_budget_usd", "1000.00", "", LOOSENS),
        ("budget_thresholds", (50, 90), (90,), LOOSENS),
        ("budget_thresholds", (90,), (50, 90), TIGHTENS),
        ("suspend_at_budget", True, False, LOOSENS),
        ("suspend_at_budget", False, True, TIGHTENS),
        ("ip_ranges", ("203.0.113.0/24",), ("203.0.113.7/32",), TIGHTENS),
        ("ip_ranges", ("203.0.113.0/24",), ("203.0.113.0/24", "198.51.100.1/32"), LOOSENS),
        ("ip_ranges", ("203.0.113.0/24",), (), LOOSENS),
        ("ip_ranges", (), ("203.0.113.0/24",), TIGHTENS),
        ("ip_ranges", ("2001:db8::/32",), ("203.0.113.0/24",), LOOSENS),
        ("ip_ranges", (), ("2001:db8::/32",), TIGHTENS),
        ("ip_ranges", ("203.0.113.0/25", "203.0.113.128/25"), ("203.0.113.0/24",), CHANGES),
        ("rotation_days", 90, 60, TIGHTENS),
        ("rotation_days", 90, 180, LOOSENS),
        ("expires_on", "2026-12-01", "2026-11-30", TIGHTENS),
        ("expires_on", "2026-12-01", "2026-12-02", LOOSENS),
        ("auto_renew", False, True, LOOSENS),
        ("end_of_life", "renew", "expire", TIGHTENS),
        ("countries", (), ("JP",), TIGHTENS),
        ("countries", ("JP", "US"), ("US",), TIGHTENS),
        ("countries", ("JP",), ("US",), LOOSENS),
        ("countries", ("JP",), (), LOOSENS),
        ("retires_at", "", "2026-12-18T10:00+09:00", TIGHTENS),
        ("retires_at", "2026-12-18T10:00+09:00", "", LOOSENS),
        ("retires_at", "2026-12-18T10:00+09:00", "2026-12-18T11:00+09:00", LOOSENS),
        ("replacement", "KB-0002", "KB-0003", CHANGES),
        ("end_of_life", "expire", "replace", CHANGES),
        ("licence_level", "partner", "public", TIGHTENS),
        ("licence_level", "partner", "restricted", LOOSENS),
        ("licence_checklist", ("policy_read", "no_resale"), ("policy_read",), LOOSENS),
        ("monthly_amount_jpy", 300_000, 600_000, CHANGES),
        ("recipient", "CO-1", "CO-2", CHANGES),
    ],
)
def test_each_difference_goes_its_way(field: str, old: object, new: object, direction: Direction) -> None:
    assert DIRECTION_OF[field](old, new) == direction


def test_the_words_are_those_of_the_terms_page(cast: Cast) -> None:
    old = cast.terms(scopes=("catalog:read",), burst=20)
    new = cast.terms(cast.big, scopes=("catalog:read", "catalog:write"), burst=0)
    with override("en"):
        lines = {change.field: change for change in diff_terms(old, new)}
        assert lines["scopes"].added == ("catalog write (catalog:write)",)
        assert lines["scopes"].removed == ()
        assert (lines["burst"].old, lines["burst"].new) == (("20",), ("No limit",))
        assert lines["monthly_amount_jpy"].new == ("¥600,000",)
        assert str(lines["burst"].section) == "Plan, limits and budget"
        assert str(lines["burst"].direction_text) == "loosens"


def test_a_period_is_one_line_and_a_missing_contract_is_said(cast: Cast) -> None:
    old = cast.terms()
    moved = replace(old, contract_starts_on="2026-01-01", contract_ends_on="2026-12-31")
    with override("en"):
        [line] = diff_terms(old, moved)
        assert line.fields == ("contract_starts_on", "contract_ends_on")
        assert line.new == ("1 Jan 2026 – 31 Dec 2026",)
        lines = {line.field: line for line in diff_terms(old, cast.team_terms())}
        assert lines["contract"].new == ("None (internal team)",)
        assert lines["monthly_amount_jpy"].new == ()


def test_the_table_marks_what_came_and_went(cast: Cast) -> None:
    changes = diff_terms(cast.terms(), cast.terms(ip_ranges=("203.0.113.0/24", "198.51.100.7/32")))
    with override("en"):
        page = render_to_string(
            "approvals/partials/_changes.html",
            {"changes": changes, "old_title": "Revision 1", "new_title": "Revision 2"},
        )
    assert '<ins class="mono">198.51.100.7/32</ins>' in page
    assert "<del" not in page
    assert "loosens" in page
    assert "Revision 2" in page
    assert isinstance(changes[0], TermChange)
