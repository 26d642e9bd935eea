"""Waits for a test run to end and ends what it left behind: `python -m tests.watch FOLDER`."""

import os
import sys
from pathlib import Path

import psutil

from tests import servers


def main(folder: Path) -> None:
    """Wait until standard input ends; a run that stopped by itself has removed its folder by then."""
    sys.stdin.buffer.read()
    if not folder.exists():
        return
    orphans = [process for process in psutil.process_iter() if _is_of(process, folder)]
    for process in orphans:
        try:
            process.kill()
        except psutil.Error:
            continue
    psutil.wait_procs(orphans, timeout=10)
    servers.stop(folder)


def _is_of(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.pid != os.getpid() and process.environ().get(servers.RUN) == str(folder)
    except psutil.Error:
        return False


if __name__ == "__main__":
    main(Path(sys.argv[1]))
