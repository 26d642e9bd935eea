"""Which decisions stand when a request is submitted again: pure rules (A6)."""

from dataclasses import fields as fields_of

from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.models import StepRole
from approvals.requests.rules import CONCERNS, LISTED, Approval, Place, Why, concerning, fates, moved_fields
from keys.terms.terms import KeyTerms

PATH = [Place("pm", 1), Place("legal", 1), Place("tech", 1)]
ALL = [Approval(0, "a"), Approval(1, "b"), Approval(2, "c")]


def standing(
    old: list[Place],
    new: list[Place],
    approvals: list[Approval],
    *,
    fields: list[str],
    asked: tuple[int, ...] = (),
) -> dict[int, int | None]:
    """Which of the approvals stand, and where."""
    found = fates(old, new, approvals, fields=fields, asked_for_changes=asked)
    return {index: fate.place for index, fate in enumerate(found) if fate.stands}


def stands(
    fields: list[str], *, asked: tuple[int, ...] = (), new: list[Place] = PATH
) -> dict[int, int | None]:
    return standing(PATH, new, ALL[:2], fields=fields, asked=asked)


def test_every_listed_field_is_one_of_the_terms() -> None:
    assert set(CONCERNS) <= {field.name for field in fields_of(KeyTerms)}
    assert {"scopes", "products", "environment", "partner"}.isdisjoint(CONCERNS)


def test_an_unknown_field_or_role_concerns_all() -> None:
    assert concerning("pm", ["scopes", "ip_ranges"]) == ["scopes"]
    assert concerning("tech", ["moon"]) == ["moon"]
    assert StepRole.PM_OR_SECURITY not in LISTED
    assert concerning("pm_or_security", ["ip_ranges"]) == ["ip_ranges"]


def test_what_nobody_touched_stands() -> None:
    assert stands([]) == {0: 0, 1: 1}
    assert stands(["contract"]) == {0: 0}
    assert stands(["rpm"]) == {1: 1}
    assert stands(["scopes"]) == {}
    assert stands([], asked=(1,)) == {0: 0}


def test_a_step_that_is_asked_otherwise_falls() -> None:
    assert stands([], new=[Place("pm", 1, needs_second_factor=True), *PATH[1:]]) == {1: 1}
    assert stands([], new=[Place("pm", 1, people=("z",)), *PATH[1:]]) == {1: 1}
    assert stands([], new=[Place("pm", 1, people=("a",)), *PATH[1:]]) == {0: 0, 1: 1}
    assert stands([], new=PATH[1:]) == {1: 0}


def test_somebody_is_always_asked() -> None:
    assert standing(PATH, PATH, ALL, fields=[]) == {0: 0, 1: 1}
    assert standing(PATH, PATH[:1], ALL, fields=[]) == {}


def test_moved_fields_sees_what_is_new_and_what_is_gone() -> None:
    assert moved_fields({"a": 1, "b": 2}, {"a": 1, "c": 3}) == ["b", "c"]
    # A browser posts ticks in the order of its page: no approval falls because of that.
    assert moved_fields({"scopes": ["x", "y"], "n": [50, 80]}, {"scopes": ["y", "x"], "n": [50]}) == ["n"]


roles = st.sampled_from(StepRole.values)
places = st.lists(st.builds(Place, role=roles, n_needed=st.integers(1, 2)), min_size=1, max_size=5)


@settings(max_examples=60)
@given(places, places, st.data())
def test_an_approval_stands_for_its_own_role_only_and_never_on_all(
    old: list[Place], new: list[Place], data: st.DataObject
) -> None:
    approvals = data.draw(
        st.lists(st.builds(Approval, place=st.integers(0, len(old) - 1), person=st.just("x")), max_size=6)
    )
    fields = data.draw(st.lists(st.sampled_from([*CONCERNS, "scopes"]), unique=True))
    kept = standing(old, new, approvals, fields=fields)
    for index, place in kept.items():
        assert place is not None
        assert old[approvals[index].place].role == new[place].role
        assert not concerning(new[place].role, fields)
    counts = [list(kept.values()).count(n) for n in range(len(new))]
    assert all(count <= place.n_needed for count, place in zip(counts, new, strict=True))
    assert any(count < place.n_needed for count, place in zip(counts, new, strict=True))


def test_each_that_falls_says_why() -> None:
    def whys(
        approvals: list[Approval],
        fields: list[str],
        new: list[Place] = PATH,
        asked: tuple[int, ...] = (),
    ) -> list[Why]:
        return [f.why for f in fates(PATH, new, approvals, fields=fields, asked_for_changes=asked)]

    assert whys(ALL, ["contract"]) == [Why.STANDS, Why.MOVED, Why.STANDS]
    assert whys(ALL[:2], [], asked=(1,)) == [Why.STANDS, Why.CHANGES]
    assert whys(ALL[:2], [], PATH[1:]) == [Why.DROPPED, Why.STANDS]
    assert whys(ALL[:1], [], [Place("pm", 1, people=("z",)), *PATH[1:]]) == [Why.OTHERWISE]
    assert whys(ALL, []) == [Why.STANDS, Why.STANDS, Why.LOOK]
    assert whys([Approval(0, "a", is_void=True), *ALL[1:]], []) == [Why.VOID, Why.STANDS, Why.STANDS]
    assert whys([Approval(0, "a"), Approval(0, "b")], []) == [Why.STANDS, Why.ENOUGH]


def test_why_names_the_moved_fields_of_the_role_only() -> None:
    found = fates(PATH, PATH, ALL[:2], fields=["contract", "rpm"], asked_for_changes=())
    assert [fate.fields for fate in found] == [("rpm",), ("contract",)]
