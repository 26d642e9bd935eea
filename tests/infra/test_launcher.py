"""The launcher's small decisions; `tests/faults/test_server_command.py` runs the whole of it."""

import errno
from pathlib import Path

import pytest

from config import embedded, launcher, local
from config.local import Addresses, LocalError


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://localhost:9000"),
        ("0.0.0.0", "http://localhost:9000"),
        ("keys.lan", "http://keys.lan:9000"),
        ("fd00::1", "http://[fd00::1]:9000"),
    ],
)
def test_addresses_are_what_a_person_types(host: str, url: str) -> None:
    assert Addresses(host=host, portal=9000).url(9000) == url


def test_secrets_are_random_private_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "VAR", tmp_path)
    first = local.environment(Addresses(), {})
    assert first == local.environment(Addresses(), {})
    (tmp_path / "env").unlink()
    assert first["LINK_SECRET"] != local.environment(Addresses(), {})["LINK_SECRET"]
    assert (tmp_path / "env").stat().st_mode & 0o777 == 0o600


def test_what_the_user_sets_wins_but_an_empty_value_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "VAR", tmp_path)
    variables = local.environment(Addresses(), {"DEMO": "0", "PORTAL_URL": "", "PATH": "/bin"})
    assert (variables["DEMO"], variables["PATH"]) == ("0", "/bin")
    assert variables["PORTAL_URL"] == "http://localhost:8000"


def test_a_full_disk_is_said_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "NEEDED_MIB", 2**40)
    monkeypatch.setattr(launcher, "VAR", Path("/"))
    with pytest.raises(LocalError, match="disk is full"):
        launcher._check_room()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "Kagiban: The disk is full.\n"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "Kagiban: Permission denied: /x\n"),
        (embedded.EmbeddedServerError("PostgreSQL is ill."), "Kagiban: PostgreSQL is ill.\n"),
    ],
)
def test_what_goes_wrong_is_one_line(
    error: Exception, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_options: object) -> int:
        raise error

    monkeypatch.setattr(launcher, "_run", run)
    assert launcher.main([]) == 1
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("port", ["0", "65535", "eighty", "-1"])
def test_a_port_that_is_none_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        launcher.main(["--port", port])
    assert end.value.code == 2
    assert "is no port" in capsys.readouterr().err
