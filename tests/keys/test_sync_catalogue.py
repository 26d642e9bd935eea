"""The catalogue from a file: all or nothing, and again without harm."""

from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import translation

from audit.models import Event
from keys.models import ApiProduct, Plan, Scope

GOOD = "[products.good]\nname = 'G'\nname_en = 'G'\nlicence_level = 'public'\n"
EXAMPLE = Path(__file__).parents[2] / "docs" / "catalogue.example.toml"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    with translation.override("en"):
        yield


def sync(path: Path) -> str:
    out = StringIO()
    call_command("sync_catalogue", str(path), stdout=out)
    return out.getvalue()


def test_the_example_of_the_docs_loads_and_loads_again() -> None:
    assert sync(EXAMPLE) == "4 added, 0 changed.\n"
    assert ApiProduct.objects.get().name_en == "Rankings"
    assert list(Scope.objects.values_list("code", "is_admin")) == [
        ("rankings:read", False),
        ("rankings:recalculate", True),
    ]
    assert Plan.objects.get(code="premium").max_rpm == 1800
    assert Event.objects.filter(action__in=["product.added", "plan.changed"]).count() == 4
    assert sync(EXAMPLE) == "0 added, 0 changed.\n"
    assert Event.objects.count() == 4


def test_a_change_is_made_and_told(tmp_path: Path) -> None:
    sync(EXAMPLE)
    changed = tmp_path / "catalogue.toml"
    changed.write_text(EXAMPLE.read_text("utf-8").replace("Read rankings", "See rankings"), "utf-8")
    assert sync(changed) == "0 added, 1 changed.\n"
    assert Scope.objects.get(code="rankings:read").name_en == "See rankings"
    assert Event.objects.latest("id").action == "product.changed"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[products.x", "Expected"),
        ("[partners.x]\nname = 'X'", "only [products.<code>] and [plans.<code>]"),
        ("plans = 1", "only [products.<code>] and [plans.<code>]"),
        (
            "[plans.x]\nname = 'X'\nlevel = 'standard'\nmax_rpm = 1\nmax_rph = 1\nspeed = 9",
            "unknown field speed",
        ),
        ("[plans.x]\nname = 'X'\nlevel = 'gold'\nmax_rpm = 1\nmax_rph = 1", "level"),
        ("[plans.Big]\nname = 'X'\nlevel = 'standard'\nmax_rpm = 1\nmax_rph = 1", "small letters"),
        ("[products.x]\nname = 'X'", "name_en"),
    ],
)
def test_a_bad_file_is_named_and_nothing_is_half_loaded(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "catalogue.toml"
    path.write_text(f"{text}\n{GOOD}", "utf-8")
    with pytest.raises(CommandError, match=complaint.replace("[", r"\[")):
        sync(path)
    assert not ApiProduct.objects.exists()


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        sync(tmp_path / "nowhere.toml")
