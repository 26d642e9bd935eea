"""`script/bench flood`: warm checks with and without a flood of false keys beside them, in turns.

The flood sends well-formed keys that nobody issued: to families that exist (`wrong`), to families that
don't, from one address (`near`) and from everywhere (`far`). Both are offered at a rate, so that nobody waits
for the other but in the server; what counts is the time of a warm check, and what the flood costs the
database.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psycopg

from keys.secrets import form as secret_format
from script.bench_stack import Seeded, free_port, on_core, seed, server, servers
from script.bench_verify import BODY, Round, Target, ask_by_wrk, wrk_script

N_KEYS = 1_000
N_FALSE = 20_000
# Connections: enough that a late answer holds no request back that is due.
N_WARM, N_FLOOD = 32, 64
FLOODS = ("wrong", "near", "far")


def main(arguments: list[str]) -> int:
    """Measure and print; 0 where every warm check was answered."""
    parser = argparse.ArgumentParser(prog="script/bench flood", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--warm", type=int, default=1_000, help="warm checks a second")
    parser.add_argument("--false", type=int, default=10_000, help="false keys a second")
    options = parser.parse_args(arguments)
    if shutil.which("wrk") is None:
        print("script/bench needs wrk (Debian: apt-get install wrk).", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="kagiban-bench-") as name, on_core(1):
        return _measure(Path(name), options)


def _measure(folder: Path, options: argparse.Namespace) -> int:
    alone: list[Round] = []
    beside: dict[str, list[tuple[Round, Round, float]]] = {name: [] for name in FLOODS}
    with servers(folder) as variables, ExitStack() as running:
        seeded = seed(variables, N_KEYS)
        port = free_port()
        own = running.enter_context(server(["config.verifier", "--port", str(port)], port, variables))
        url = f"http://127.0.0.1:{port}/v1/keys/verify"
        asks = _asks(seeded, _true(seeded))
        true = Target(url, wrk_script(folder, "true", asks, options.warm), own)
        false = {
            name: Target(
                url, wrk_script(folder, name, _asks(seeded, _false(seeded, name)), options.false), own
            )
            for name in FLOODS
        }
        ask_by_wrk(Target(url, wrk_script(folder, "all", asks), own), 8)  # every key proven
        for _ in range(options.rounds):
            alone.append(ask_by_wrk(true, options.seconds, N_WARM))
            for name in FLOODS:
                before = _n_reads(variables["DATABASE_URL"])
                with ThreadPoolExecutor(2) as threads:
                    warm = threads.submit(ask_by_wrk, true, options.seconds, N_WARM)
                    flood = threads.submit(ask_by_wrk, false[name], options.seconds, N_FLOOD)
                reads = (_n_reads(variables["DATABASE_URL"]) - before) / options.seconds
                beside[name].append((warm.result(), flood.result(), reads))
    return _report(alone, beside)


def _report(alone: list[Round], beside: dict[str, list[tuple[Round, Round, float]]]) -> int:
    print(f"{'beside':10}{'warm/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'errors':>8}{'false/s':>10}{'reads/s':>9}")
    n_errors = _line("nothing", alone, [0.0] * len(alone), [0.0] * len(alone))
    for name, rounds in beside.items():
        warm, flood, reads = zip(*rounds, strict=True)
        n_errors += _line(name, list(warm), [one.per_second for one in flood], list(reads))
    return 1 if n_errors else 0


def _line(name: str, warm: list[Round], false: list[float], reads: list[float]) -> int:
    def middle(field: str) -> float:
        return float(statistics.median(getattr(one, field) for one in warm))

    n_errors = sum(one.n_errors for one in warm)
    print(
        f"{name:10}{middle('per_second'):>9.0f}{middle('p50_ms'):>9.2f}{middle('p99_ms'):>9.2f}{n_errors:>8}"
        f"{statistics.median(false):>10.0f}{statistics.median(reads):>9.0f}"
    )
    return n_errors


def _true(seeded: Seeded) -> list[str]:
    return [BODY % text for text in seeded["keys"]]


def _false(seeded: Seeded, kind: str) -> list[str]:
    families = [text.split("_")[2][: secret_format.FAMILY_LENGTH] for text in seeded["keys"]]
    bodies = []
    for number in range(N_FALSE):
        family = families[number % len(families)] if kind == "wrong" else None
        body = BODY % secret_format.generate("kb", "live", family).text
        if kind == "far":
            body = body.replace("203.0.113.9", f"198.{18 + number % 2}.{number // 250 % 250}.{number % 250}")
        bodies.append(body)
    return bodies


def _asks(seeded: Seeded, bodies: list[str]) -> list[str]:
    fields = f'["Authorization"]="Bearer {seeded["gateway"]}",["Content-Type"]="application/json"'
    return [f"wrk.format('POST', nil, {{{fields}}}, '{body}')" for body in bodies]


def _n_reads(url: str) -> int:
    """How many transactions the database has had: each read of the cold path is one."""
    with psycopg.connect(url.replace("postgres://", "postgresql://", 1), autocommit=True) as connection:
        found = connection.execute(
            "SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
    return int(found[0]) if found else 0
