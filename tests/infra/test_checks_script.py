"""`script/test`'s own decisions."""

from pathlib import Path

import pytest

from script import checks


def test_missing_browser_is_loud_and_in_ci_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # neither Chromium nor apt-get
    assert checks._browser() is None
    monkeypatch.delenv("CI", raising=False)
    assert checks._without_browser() is True
    monkeypatch.setenv("CI", "true")
    assert checks._without_browser() is False
    assert "THE BROWSER TESTS DID NOT RUN" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["nginx", "dovecot"])
def test_missing_server_is_loud_and_in_ci_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.delenv("CI", raising=False)
    assert checks._without(name) is True
    monkeypatch.setenv("CI", "true")
    assert checks._without(name) is False
    assert f"THE TESTS OF {name.upper()} DID NOT RUN" in capsys.readouterr().out


def test_every_section_runs_and_one_bad_one_fails_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    run = checks.Run([], {})
    run.section("First", lambda: False)
    run.section("Second", lambda: True)
    run.n_passed = 3
    assert run.close() == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith(("ok", "FAILED"))] == ["FAILED", "ok"]
    assert lines[-1] == "3 passed, 0 failed, 0 skipped"


def test_counts_come_from_pytests_report(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text('<testsuites><testsuite tests="10" failures="2" errors="1" skipped="3"/></testsuites>')
    run = checks.Run([], {})
    run._count(report)
    run._count(tmp_path / "never-written.xml")
    assert (run.n_passed, run.n_failed, run.n_skipped) == (4, 3, 3)
