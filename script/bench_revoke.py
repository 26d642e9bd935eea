"""`script/bench revoke`: no check that begins after a revocation returned lets the key through (V4).

10,000 keys are revoked through the service, by several at once, while other processes ask about them all
the time: keys that are warm, keys that are loaded cold in that moment, and a store that is emptied again and
again and once killed outright.
"""

import argparse
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import redis

from config import embedded
from script.bench_client import Asker, marks
from script.bench_stack import ROOT, free_port, seed, server, servers

N_CHECKERS = 2
AHEAD = 8
# What lies around the key that was revoked last is asked about most.
NEAR = 40


def main(arguments: list[str]) -> int:
    """Revoke, ask and print; 0 where nothing stale was let through."""
    parser = argparse.ArgumentParser(prog="script/bench revoke", description=__doc__)
    parser.add_argument("--keys", type=int, default=10_000)
    n_keys = parser.parse_args(arguments).keys
    with tempfile.TemporaryDirectory(prefix="kagiban-bench-") as name, servers(Path(name)) as variables:
        seeded = seed(variables, n_keys)
        port = free_port()
        ended = Path(name) / "ended"
        ended.write_bytes(bytes(n_keys + 1))
        with server(["config.verifier", "--port", str(port)], port, variables):
            checks, stale, valid = _race(variables, port, seeded["gateway"], seeded["keys"], ended)
        n_revoked = sum(ended.read_bytes()[:n_keys])
    print(f"revoked {n_revoked} checks {checks} let through before {valid} stale {stale}")
    return 0 if stale == 0 and valid > 0 and n_revoked == n_keys else 1


def _race(
    variables: dict[str, str], port: int, gateway: str, keys: list[str], ended: Path
) -> tuple[int, int, int]:
    revoker = [sys.executable, "-m", "script.bench_revoker", str(ended), str(len(keys))]
    with multiprocessing.get_context("spawn").Pool(N_CHECKERS) as pool:
        asked = pool.starmap_async(_check, [(port, gateway, keys, ended)] * N_CHECKERS)
        process = subprocess.Popen(revoker, cwd=ROOT, env={**variables, "LOG_LEVEL": "ERROR"})
        try:
            _lose_the_store(ended.parent, variables["REDIS_URL"], process)
            if process.returncode:
                raise RuntimeError("The revoker failed.")
        finally:
            marks(ended)[len(keys)] = 1
            found = asked.get(60)
    return sum(one[0] for one in found), sum(one[1] for one in found), sum(one[2] for one in found)


def _lose_the_store(folder: Path, url: str, revoker: "subprocess.Popen[bytes]") -> None:
    """Empty the store about every second until all is revoked; kill it once."""
    killed = False
    for turn in range(1_000_000):
        if revoker.poll() is not None:
            return
        time.sleep(random.uniform(0.2, 1.5))
        store = redis.Redis.from_url(url)
        if turn == 8 and not killed:
            killed = True
            number = int(store.info("server")["process_id"])
            os.kill(number, signal.SIGKILL)
            os.waitpid(number, 0)
            time.sleep(0.5)
            embedded.start_valkey(folder)
        else:
            store.flushdb()
        store.close()


def _check(port: int, gateway: str, keys: list[str], path: Path) -> tuple[int, int, int]:
    """One process: asks until told to stop; how often, how often it heard something stale, and VALID."""
    ended, asker = marks(path), Asker(port, gateway)
    n_checks = n_stale = n_valid = frontier = 0
    while not ended[len(keys)]:
        while frontier < len(keys) and ended[frontier]:
            frontier += 1
        near = [frontier + random.randint(-NEAR, NEAR) for _ in range(AHEAD // 2)]
        far = [random.randrange(len(keys)) for _ in range(AHEAD // 2)]
        numbers = [number for number in near + far if 0 <= number < len(keys)]
        dead = [ended[number] for number in numbers]
        for was_dead, code in zip(dead, asker.codes([keys[number] for number in numbers]), strict=True):
            n_checks += 1
            n_valid += code == "VALID"
            n_stale += code == "VALID" and bool(was_dead)
    asker.close()
    return n_checks, n_stale, n_valid
