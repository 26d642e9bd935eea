"""The map that newcomers read is the house that stands (docs/architecture.md)."""

import re
import tomllib

import pytest
from django.conf import settings

ROOT = settings.BASE_DIR
MAP = (ROOT / "docs" / "architecture.md").read_text()
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
ROOMS = {
    contract["containers"][0]: contract["layers"]
    for contract in CONTRACTS
    if contract["name"].startswith("A room of ")
}


def rooms_on_the_map(app: str) -> list[str]:
    _before, _heading, rest = MAP.partition(f"\n### {app}\n")
    return re.findall(r"^\| `(\w+)` \|", rest.partition("\n#")[0], re.MULTILINE)


@pytest.mark.parametrize("app", ["approvals", "keys", "verifier"])
def test_the_map_shows_the_rooms_in_their_order(app: str) -> None:
    folders = {
        path.name
        for path in (ROOT / app).iterdir()
        if (path / "__init__.py").exists() and path.name not in {"migrations", "models", "templatetags"}
    } - {"management"}
    drawn = rooms_on_the_map(app)
    assert set(drawn) == folders
    order = [layer for layer in ROOMS[app] if layer in folders]
    assert drawn == order


def test_the_map_shows_every_app() -> None:
    table = MAP.partition("\n## Apps\n")[2].partition("\n## ")[0]
    drawn = {name for line in re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE) for name in line.split(", ")}
    [layers] = [c["layers"] for c in CONTRACTS if c["name"] == "An app imports only what stands below it"]
    apps = {f"`{app.strip()}`" for layer in layers for app in layer.split(":")}
    assert drawn == apps


@pytest.mark.parametrize("place", sorted(set(re.findall(r"`((?:approvals|keys|verifier)/[\w/.]+)`", MAP))))
def test_places_that_the_map_names_exist(place: str) -> None:
    path = ROOT / place
    assert path.exists() or path.with_suffix(".py").exists()
