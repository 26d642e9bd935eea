"""The verifier's processes as operations start and stop them: a port that is another's, an end under load."""

import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.checkers import Checkers, Verifier
from tests.dataplane import make_gateway, make_live_key, make_live_keys
from tests.relay import Relay
from tests.serving import ROOT, environment_here, free_port, serving
from tests.valkeys import wait_until

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


def test_who_calls_while_workers_end_is_refused(slow_database: tuple[Relay, str]) -> None:
    relay, url = slow_database
    gateway, keys = make_gateway(), make_live_keys(2)
    store = os.environ["REDIS_URL"]
    with serving("--workers", "2", DATABASE_URL=url, HOT_STORE_URL=store) as (port, process):
        asked = Verifier(port, gateway)
        asked.await_health(keys[:1])
        relay.hold()
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(asked.ask, keys[1].text)
            time.sleep(1)  # Until it waits for the database.
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


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
