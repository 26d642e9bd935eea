"""Numbers of the environment that make no sense stop the start, and say which they are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.numbers import NumberEnv
from config.settings import BASE_DIR

NAME = "HOW_MUCH"


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e3", "", "two", "２", "1_0", "3600.1"])
def test_no_number_of_seconds(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(NAME, text)
    with pytest.raises(ImproperlyConfigured, match=f"{NAME} is .* above 0"):
        NumberEnv().seconds(NAME, 25.0)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "", "two", "２", "1_0", "11"])
def test_no_whole_number_within_bounds(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(NAME, text)
    with pytest.raises(ImproperlyConfigured, match=f"{NAME} is .* from 1 to 10"):
        NumberEnv().whole(NAME, 5, most=10)
    monkeypatch.setenv(NAME, f"7,{text or 0}")
    with pytest.raises(ImproperlyConfigured, match=NAME):
        NumberEnv().wholes(NAME, [5], most=10)


def test_numbers_are_read_from_the_environment_and_from_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert NumberEnv().seconds(NAME, 0.25) == 0.25
    assert NumberEnv().whole(NAME, 5) == 5
    assert NumberEnv().wholes(NAME, [24, 48]) == [24, 48]
    monkeypatch.setenv(NAME, " .5 ")
    assert NumberEnv().seconds(NAME, 25.0) == 0.5
    monkeypatch.setenv(NAME, "0")
    assert NumberEnv().whole(NAME, 5, least=0) == 0
    (tmp_path / "number").write_text("7\n")
    # A name of its own: environ keeps what it once read from a file.
    monkeypatch.setenv("FROM_A_FILE_FILE", str(tmp_path / "number"))
    assert NumberEnv().whole("FROM_A_FILE", 5) == 7


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORTAL_DATABASE_SECONDS", "0"), ("CONSENT_CODE_ATTEMPTS", "0"), ("REMINDER_HOURS", "x")],
)
def test_nothing_starts_with_such_a_number(name: str, value: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy"],
        cwd=BASE_DIR, env=os.environ | {name: value}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert f"{name} is '{value}'" in done.stderr
