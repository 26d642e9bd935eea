"""`script/server` for real: start, stop, kill, start again; what a newcomer and a bad day do to it."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import pytest

from tests import servers

ROOT = Path(__file__).resolve().parents[2]
SERVER = [sys.executable, str(ROOT / "script" / "server")]
# The form of a credential, of no database.
FOREIGN_GATEWAY = "kbg_live_of_another_database"
STARTS_WITHIN_S = 900
STOPS_WITHIN_S = 120


class Server:
    """One run of `script/server` on its own data and ports."""

    def __init__(self, var: Path, port: int, **variables: str) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", servers.RUN) if name in os.environ}
        self.environment = {**kept, "KAGIBAN_VAR": str(var), **variables}
        self.command = [*SERVER, "--port", str(port)]
        self.log = var.with_name(f"{var.name}-{time.monotonic_ns()}.log")

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            self._await_start()
        except BaseException:
            if self.process.poll() is None:
                self.stop(signal.SIGTERM)
            raise
        return self

    def _await_start(self) -> None:
        end = time.monotonic() + STARTS_WITHIN_S
        while "Ctrl+C stops everything." not in self.text:
            assert self.process.poll() is None, self.text
            assert time.monotonic() < end, self.text
            time.sleep(0.1)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.stop(signal.SIGTERM)

    @property
    def text(self) -> str:
        """What it has printed so far."""
        return self.log.read_text()

    @property
    def family(self) -> list[psutil.Process]:
        """All processes below it."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, number: signal.Signals) -> int:
        """Send it a signal as a terminal or a system would; returns its status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=STOPS_WITHIN_S)


def call(*arguments: str, **variables: str) -> tuple[int, str]:
    """Run `script/server` to its end: its status and all that it printed."""
    environment = {**os.environ, **variables}
    done = subprocess.run(
        [*SERVER, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=STARTS_WITHIN_S,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def status_of(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def answers(port: int) -> bool:
    try:
        return status_of(port, "/readyz") == 200
    except OSError:
        return False


def is_worker_of_web(process: psutil.Process) -> bool:
    """One of the processes that granian starts for the portal."""
    with contextlib.suppress(psutil.Error):
        parent = process.parent()
        return parent is not None and "config.wsgi:application" in parent.cmdline()
    return False


def servers_in(var: Path) -> list[str]:
    """The command lines of every PostgreSQL and Valkey that works on this data."""
    lines = (" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))
    return [line for line in lines if str(var / "pg") in line or str(var / "valkey") in line]


@pytest.fixture
def port() -> int:
    """A port whose neighbours for the verifier (+1) and the mailbox (+25) are free too."""
    for candidate in range(20_000 + os.getpid() % 5_000, 32_000, 50):
        try:
            for wanted in (candidate, candidate + 1, candidate + 25):
                with socket.socket() as listener:
                    listener.bind(("127.0.0.1", wanted))
        except OSError:
            continue
        return candidate
    raise AssertionError("no free ports")


@pytest.fixture
def var(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "var"
    yield folder
    assert servers_in(folder) == []


def test_a_newcomers_day(var: Path, port: int) -> None:
    with Server(var, port) as server:
        for address in (f":{port}\n", f":{port + 1}/v1/keys/verify\n", f":{port + 25}\n"):
            assert address in server.text
        assert re.search(r"Password of everybody: \S+", server.text)
        assert status_of(port, "/readyz") == 200
        assert status_of(port + 1, "/v1/keys/verify") in {401, 405}
        assert status_of(port + 25, "/") == 200
        assert (var / "env").stat().st_mode & 0o777 == 0o600
        secrets_of_first_start = (var / "env").read_text()

        workers = [process for process in server.family if is_worker_of_web(process)]
        assert workers
        for worker in workers:
            worker.kill()
        end = time.monotonic() + STOPS_WITHIN_S
        while not any(is_worker_of_web(process) for process in server.family) or not answers(port):
            assert time.monotonic() < end, server.text
            time.sleep(0.2)

        status, text = call("--port", str(port + 2), KAGIBAN_VAR=str(var))
        assert (status, text.count("\n")) == (1, 1)
        assert f"already runs here: http://localhost:{port}" in text

        family = server.family
        assert server.stop(signal.SIGINT) == 0
        _, alive = psutil.wait_procs(family, timeout=30)
        assert alive == []

    # As after a start on another database.
    kept = json.loads((var / "demo_credentials.json").read_text())
    assert len(kept["keys"]) > 10
    (var / "demo_credentials.json").write_text(json.dumps({**kept, "gateway": FOREIGN_GATEWAY}))
    with Server(var, port) as server:
        assert "Loading the demo" not in server.text
        assert "demo_credentials.json did not fit this database" in server.text
        mended = json.loads((var / "demo_credentials.json").read_text())
        assert mended["keys"] == kept["keys"]
        assert mended["gateway"] not in {kept["gateway"], FOREIGN_GATEWAY}
        assert f"GATEWAY_CREDENTIAL={mended['gateway']}" in server.text
        assert (var / "env").read_text() == secrets_of_first_start
        # The terminal is closed.
        assert server.stop(signal.SIGHUP) == 0


def test_a_start_after_a_kill_finds_its_ports_and_data(var: Path, port: int) -> None:
    with Server(var, port, DEMO="0") as server:
        server.process.kill()
        server.process.wait()
        assert servers_in(var) != []
    with Server(var, port, DEMO="0") as server:
        assert status_of(port, "/readyz") == 200
        assert server.stop(signal.SIGTERM) == 0


def test_a_process_that_ends_by_itself_ends_all_of_it(var: Path, port: int) -> None:
    with Server(var, port, DEMO="0") as server:
        beat = next(process for process in server.family if "beat" in process.cmdline())
        beat.kill()
        assert server.process.wait(timeout=STOPS_WITHIN_S) == 1
        assert "A process ended by itself" in server.text


@pytest.mark.parametrize("offset", [0, 1, 25])
def test_a_port_in_use_is_one_clear_line(var: Path, port: int, offset: int) -> None:
    with socket.create_server(("127.0.0.1", port + offset)):
        status, text = call("--port", str(port), KAGIBAN_VAR=str(var))
    assert status == 1
    assert re.fullmatch(rf"Kagiban: Port {port + offset} \(for the \w+\) is in use; .+ --port\.\n", text)


def test_lost_secrets_are_not_made_anew_over_old_data(var: Path, port: int) -> None:
    (var / "pg").mkdir(parents=True)
    status, text = call("--port", str(port), KAGIBAN_VAR=str(var))
    assert (status, text.count("\n")) == (1, 1)
    assert "which holds the secrets, is gone" in text


def test_fresh_leaves_servers_alone_that_are_not_its_own(var: Path, port: int) -> None:
    status, text = call("--fresh", "--port", str(port), KAGIBAN_VAR=str(var))
    assert (status, text.count("\n")) == (1, 1)
    assert "DATABASE_URL" in text


def test_a_database_that_does_not_answer_is_one_clear_line(var: Path, port: int) -> None:
    given = {"DATABASE_URL": "postgres://kagiban:not-shown@127.0.0.1:9/kagiban", "REDIS_URL": ""}
    status, text = call("--port", str(port), KAGIBAN_VAR=str(var), **given)
    assert (status, text.count("\n")) == (1, 1)
    assert text.startswith("Kagiban: The database of DATABASE_URL can't be reached: ")
    assert "not-shown" not in text


def test_given_servers_are_used_and_none_is_started(
    var: Path, port: int, process_environment: dict[str, str]
) -> None:
    given = {name: process_environment[name] for name in ("DATABASE_URL", "REDIS_URL")}
    with Server(var, port, DEMO="0", **given):
        assert servers_in(var) == []
        assert status_of(port, "/readyz") == 200


def test_too_old_a_python_is_told_so() -> None:
    program = (
        f"import runpy, sys; sys.version_info = (3, 9, 2, 'final', 0); "
        f"runpy.run_path({str(ROOT / 'script' / 'server')!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "Kagiban needs Python 3.11 or newer; this is Python 3.9.\n"


def test_a_missing_module_is_named() -> None:
    script = str(ROOT / "script" / "server")
    program = (
        "import runpy, sys; sys.modules['honcho.manager'] = None; "
        f"sys.path.insert(0, {str(ROOT / 'script')!r}); "
        f"sys.argv = [{script!r}]; runpy.run_path({script!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the Python module honcho.manager is missing; remove .venv" in done.stderr
    assert done.stderr.count("\n") == 1
