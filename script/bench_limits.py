"""`script/bench limits`: limits and budgets are exact, from any number of processes.

Four processes ask four workers of the verifier 100,000 times about thirteen keys. Six have a limit of their
own, the others share one of their workspace; none of these opens again meanwhile. As many must be let through
as the limits say: none more, none fewer.
"""

import argparse
import multiprocessing
import tempfile
import time
from collections import Counter
from pathlib import Path

from script.bench_client import Asker
from script.bench_stack import free_port, seed, server, servers

N_PROCESSES = 4
AHEAD = 20
Fields = dict[str, object]


def _sharing(place: int, shared: Fields, *own: Fields) -> list[Fields]:
    return [{**fields, "workspace": place, "shared": shared} for fields in own]


# Keys that are limited together, and how many of their calls may pass.
GROUPS: list[tuple[list[Fields], int]] = [
    ([{"monthly_budget_usd": 50}], 5_000),
    ([{"monthly_budget_usd": 33}], 3_300),
    ([{"concurrency": 2_500}], 2_500),
    ([{"concurrency": 77}], 77),
    ([{"rph": 7_000}], 7_000),
    ([{"rph": 1}], 1),
    (_sharing(40, {"monthly_budget_usd": 60}, {}, {}, {}), 6_000),
    (_sharing(41, {"rph": 7_001}, {}, {"rph": 500}), 7_001),
    # What a key's own limit refuses must take nothing from what the other one may use.
    (_sharing(42, {"rph": 9_000, "monthly_budget_usd": 40}, {"monthly_budget_usd": 3}, {}), 4_000),
]
QUESTION = {"cost_usd": "0.01", "lease_seconds": 3_600}
# The hour's window must not open anew while we ask.
NEEDS_SECONDS = 300


def main(arguments: list[str]) -> int:
    """Ask, count and print; 0 where every limit held exactly."""
    parser = argparse.ArgumentParser(prog="script/bench limits", description=__doc__)
    parser.add_argument("--checks", type=int, default=100_000)
    n_checks = parser.parse_args(arguments).checks
    left = 3_600 - time.time() % 3_600
    if left < NEEDS_SECONDS:
        print(f"Waiting {left:.0f} s for the full hour.")
        time.sleep(left)
    with tempfile.TemporaryDirectory(prefix="kagiban-bench-") as name, servers(Path(name)) as variables:
        limits = [fields for group, _ in GROUPS for fields in group]
        seeded = seed(variables, len(limits), *limits)
        port = free_port()
        with server(["config.verifier", "--port", str(port), "--workers", "4"], port, variables):
            for text in seeded["keys"]:  # proven, before many ask at once; takes nothing from the limits
                Asker(port, seeded["gateway"]).codes([text], scope="no:such")
            admitted, others = _ask_all(port, seeded["gateway"], seeded["keys"], n_checks)
    over = under = 0
    n_each = n_checks // len(limits)
    texts = iter(seeded["keys"])
    for group, limit in GROUPS:
        passed = sum(admitted[next(texts)] for _ in group)
        print(f"{_words(group):64} limit {limit:6} admitted {passed:6}")
        over += max(0, passed - limit)
        under += max(0, min(limit, n_each * len(group)) - passed)
    print(dict(others))
    print(f"checks {admitted.total() + others.total()} over-admitted {over} under-admitted {under}")
    return 0 if over == under == others["UNAVAILABLE"] == 0 else 1


def _words(group: list[Fields]) -> str:
    shared = group[0].get("shared")
    own = [
        {name: value for name, value in key.items() if name not in {"workspace", "shared"}} for key in group
    ]
    return f"together {shared} each {own}" if shared else str(own[0])


def _ask_all(port: int, gateway: str, keys: list[str], n_checks: int) -> tuple[Counter[str], Counter[str]]:
    admitted: Counter[str] = Counter()
    others: Counter[str] = Counter()
    work = (port, gateway, keys, n_checks // N_PROCESSES)
    with multiprocessing.get_context("spawn").Pool(N_PROCESSES) as pool:
        for valid, refused in pool.starmap(_ask, [work] * N_PROCESSES):
            admitted.update(valid)
            others.update(refused)
    return admitted, others


def _ask(port: int, gateway: str, keys: list[str], n_checks: int) -> tuple[Counter[str], Counter[str]]:
    """One process: asks about every key in turn; how often each was let through, and the other codes."""
    asker = Asker(port, gateway)
    valid: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for first in range(0, n_checks, AHEAD):
        texts = [keys[number % len(keys)] for number in range(first, min(first + AHEAD, n_checks))]
        for text, code in zip(texts, asker.codes(texts, **QUESTION), strict=True):
            if code == "VALID":
                valid[text] += 1
            else:
                refused[code] += 1
    asker.close()
    return valid, refused
