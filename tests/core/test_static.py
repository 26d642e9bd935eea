"""Static files as production and `script/server` serve them."""

import gzip
import json
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import override_settings

SOURCES = Path(settings.BASE_DIR) / "static"
STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": "core.static.StaticStorage"}}


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every collected file by its name in the sources."""
    folder = tmp_path_factory.mktemp("static")
    with override_settings(STORAGES=STORAGES, STATIC_ROOT=str(folder)):
        for _ in range(2):  # a second start finds the files of the first
            call_command("collectstatic", interactive=False, verbosity=0)
    paths = json.loads((folder / "staticfiles.json").read_text())["paths"]
    return {name: folder / path for name, path in paths.items()}


@pytest.mark.parametrize("name", ["css/app.css", "js/app.js", "js/passkeys.js"])
def test_remarks_are_left_out_and_nothing_else(collected: dict[str, Path], name: str) -> None:
    source, served = (SOURCES / name).read_text(), collected[name].read_text()
    remark = r"/\*.*?\*/" if name.endswith("css") else r"^\s*//[^\n]*$"
    wanted = re.sub(remark, "", source, flags=re.DOTALL | re.MULTILINE)
    assert words(served) == words(wanted)
    assert strings(served) == strings(wanted)
    assert len(served) < len(source)


def words(text: str) -> list[str]:
    """Spaces matter between two words, not beside these signs."""
    return re.sub(r"\s*([{};,])\s*", r"\1", text).split()


def strings(text: str) -> list[str]:
    """What stands in quotes within a line."""
    return re.findall(r"\"[^\"\n]*\"|'[^'\n]*'", text)


def test_what_others_wrote_is_served_as_they_wrote_it(collected: dict[str, Path]) -> None:
    name = "vendor/htmx/htmx.min.js"
    assert collected[name].read_bytes() == (SOURCES / name).read_bytes()


def test_texts_are_compressed_beforehand(collected: dict[str, Path]) -> None:
    for name in ("css/app.css", "js/app.js", "img/icons.svg", "vendor/htmx/htmx.min.js"):
        packed = collected[name].with_name(f"{collected[name].name}.gz")
        assert gzip.decompress(packed.read_bytes()) == collected[name].read_bytes(), name
