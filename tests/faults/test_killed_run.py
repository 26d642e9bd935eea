"""A test run that is killed leaves no server behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests import servers

ROOT = Path(__file__).resolve().parents[2]
RUN = """
import subprocess, time
from tests import servers
folder = servers.start()
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
print(folder, child.pid, flush=True)
time.sleep(600)
"""


def of_run(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if str(folder) in " ".join([*process.cmdline(), process.environ().get(servers.RUN, "")]):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_servers_and_children_of_a_killed_run_end_with_it() -> None:
    kept = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
    run = subprocess.Popen([sys.executable, "-c", RUN], cwd=ROOT, env=kept, stdout=subprocess.PIPE, text=True)
    assert run.stdout
    with run.stdout:
        told, pid = run.stdout.readline().split()
    folder = Path(told)
    assert psutil.pid_exists(int(pid))
    assert any("postgres" in process.name() for process in of_run(folder))
    run.send_signal(signal.SIGKILL)
    run.wait()
    end = time.monotonic() + 60
    while left := of_run(folder):
        assert time.monotonic() < end, left
        time.sleep(0.1)
    assert not folder.exists()
