"""The verifier's processes as operations start and stop them: a port that is another's, an end under load."""

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.checkers import Checkers, Verifier
from tests.dataplane import make_gateway, make_live_key, make_live_keys
from tests.relay import Relay
from tests.serving import ROOT, await_workers, environment_here, free_port, serving, workers_of
from tests.valkeys import wait_until

# Eight seconds are meant, and ten would be too many; but this machine may stall.
ENDS_WITHIN_S = 16

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_of_two_that_start_at_once_one_serves_and_the_other_says_why_not(
    workers: str, tmp_path: Path
) -> None:
    port, logs = free_port(), [tmp_path / "first", tmp_path / "second"]
    command = [sys.executable, "-m", "config.verifier", "--port", str(port), "--workers", workers]
    environment = {**environment_here(), "PYTHONWARNINGS": "ignore"}
    processes = []
    for log in logs:
        with log.open("wb") as file:
            processes.append(subprocess.Popen(command, cwd=ROOT, env=environment, stderr=file))
    try:
        wait_until(lambda: any(one.poll() is not None for one in processes), "both go on")
        wait_until(lambda: _listens(port), "nobody serves")
        ended = [number for number, one in enumerate(processes) if one.poll() is not None]
        assert [processes[number].returncode for number in ended] == [69]
        told = logs[ended[0]].read_text()
        assert "in use" in told
        assert "Traceback" not in told
    finally:
        for one in processes:
            one.terminate()
        assert sorted(one.wait(20) for one in processes) == [0, 69]


def test_workers_that_can_not_start_are_given_up(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-m", "config.verifier", "--port", str(free_port()), "--workers", "2"]
    environment = {**environment_here(), "PYTHONWARNINGS": "ignore", "API_KEY_HASH_SECRET": "no secret"}
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=file)
    try:
        assert process.wait(120) == 70
    finally:
        process.kill()
        process.wait()
    assert log.read_text().splitlines()[-1] == (
        "Kagiban: No worker could start in 4 tries; the last one ended with status 1."
    )


def test_worker_that_dies_is_replaced() -> None:
    gateway, live = make_gateway(), make_live_key()
    with serving("--workers", "2", HOT_STORE_URL=os.environ["REDIS_URL"]) as (port, process):
        asked = Verifier(port, gateway)
        asked.await_health([live])
        for _ in range(3):
            before = _pids(process)
            os.kill(min(before), signal.SIGKILL)
            _await_another(process, before)
            asked.await_health([live])


def _await_another(process: "subprocess.Popen[bytes]", before: set[int]) -> None:
    wait_until(lambda: len(_pids(process) - before) == 1, "nobody takes its place")


def _pids(process: "subprocess.Popen[bytes]") -> set[int]:
    return {worker.pid for worker in workers_of(process)}


def test_who_calls_while_workers_end_is_refused(slow_database: tuple[Relay, str]) -> None:
    relay, url = slow_database
    gateway, keys = make_gateway(), make_live_keys(2)
    store = os.environ["REDIS_URL"]
    with serving("--workers", "2", DATABASE_URL=url, HOT_STORE_URL=store) as (port, process):
        asked = Verifier(port, gateway)
        asked.await_health(keys[:1])
        await_workers(process, store, 2)
        time.sleep(1)  # Until the other has read its gateways, too.
        relay.hold()
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(asked.ask, keys[1].text)
            time.sleep(2)  # Until it waits for the database.
            process.terminate()
            wait_until(lambda: not _listens(port), "callers are kept waiting")
            assert not waiting.done()
            relay.release()
            assert waiting.result()["code"] == "VALID"


def test_use_that_can_not_be_written_does_not_keep_a_process_that_ends(
    slow_database: tuple[Relay, str],
) -> None:
    relay, url = slow_database
    gateway, live = make_gateway(fail_policy="open"), make_live_key()
    nowhere = f"redis://127.0.0.1:{free_port()}"
    with serving(DATABASE_URL=url, HOT_STORE_URL=nowhere, VERIFIER_DATABASE_SECONDS="2") as (port, _):
        asked = Verifier(port, gateway)
        with Checkers(asked.ask, [live], 2) as checkers:
            wait_until(lambda: checkers.codes["degraded VALID"] > 20, "the registry does not answer")
            time.sleep(1)  # Until it has a connection to write by, for which it has half a minute.
            relay.hold()
            time.sleep(2)
        assert checkers.wrong == []


def test_process_ends_in_time_while_both_servers_hang(
    slow_database: tuple[Relay, str], capfd: pytest.CaptureFixture[str]
) -> None:
    relay, url = slow_database
    gateway, known, strange = make_gateway(fail_policy="open"), make_live_key(), make_live_key()
    # Far more patient with the database than whoever stops a process is with that.
    patience = {"VERIFIER_DATABASE_SECONDS": "60", "DATABASE_CONNECT_SECONDS": "60"}
    with (
        Relay(int(urlsplit(os.environ["REDIS_URL"]).port or 0)) as store,
        serving(DATABASE_URL=url, HOT_STORE_URL=store.instead_of(os.environ["REDIS_URL"]), **patience) as (
            port,
            process,
        ),
        ThreadPoolExecutor(4) as threads,
    ):
        asked = Verifier(port, gateway)
        asked.await_health([known])
        store.hold()
        wait_until(lambda: "degraded" in asked.ask(known.text), "the registry does not answer")
        time.sleep(1)  # Until it has a connection to write by.
        relay.hold()
        waiting = [threads.submit(asked.ask, live.text) for live in [known, strange] * 2]
        time.sleep(1)  # Until they wait for the database, on connections old and new.
        process.terminate()
        assert process.wait(ENDS_WITHIN_S) == 0
        assert all(one.exception() is not None or one.result()["code"] == "UNAVAILABLE" for one in waiting)
    assert capfd.readouterr().err.count("its last use could not be written") <= 1


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
