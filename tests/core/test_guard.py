"""A test that would write outside its temporary folder is stopped."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guard import ROOT

PLACE = ROOT / "var" / "written-by-a-test"
WAYS: dict[str, Callable[[], object]] = {
    "open": lambda: PLACE.open("w"),
    "append": lambda: PLACE.open("a"),
    "os.open": lambda: os.open(PLACE, os.O_CREAT | os.O_WRONLY),
    "bytes": lambda: os.open(os.fsencode(PLACE), os.O_RDWR),
    "folder": PLACE.mkdir,
    "remove": PLACE.unlink,
    "around": lambda: (ROOT / "var" / "test" / ".." / "written-by-a-test").open("w"),
}


@pytest.mark.parametrize("way", WAYS)
def test_writing_into_the_checkout_is_refused(way: str) -> None:
    with pytest.raises(RuntimeError, match="outside its temporary folder"):
        WAYS[way]()
    assert not PLACE.exists()


def test_moving_into_the_checkout_and_writing_by_a_link_are_refused(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("x")
    with pytest.raises(RuntimeError, match="outside its temporary folder"):
        (tmp_path / "here").rename(PLACE)
    (tmp_path / "link").symlink_to(ROOT)
    with pytest.raises(RuntimeError, match="outside its temporary folder"):
        (tmp_path / "link" / "there").write_text("x")


def test_reading_it_is_not() -> None:
    assert (ROOT / "README.md").read_text()
