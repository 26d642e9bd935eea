"""`script/bench registry`: what the registry's pages ask of the database, with a million keys in it.

Each order of the list on its first page and deep down, with filters, the search, home, a partner's page;
beside each deep page the same page by OFFSET. Milliseconds of database time, the median of some rounds: of
the query for the rows, and of the whole page. The last line has the slowest, for lists that of the rows.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from script.bench_stack import ROOT, servers


def main(arguments: list[str]) -> int:
    """Seed, measure and print."""
    parser = argparse.ArgumentParser(prog="script/bench registry", description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="kagiban-bench-") as name, servers(Path(name)) as variables:
        served = {**variables, "STATIC_FROM_SOURCE": "1", "LOG_LEVEL": "ERROR"}
        for module, *told in (
            ("script.bench_registry_seed", str(options.keys)),
            ("script.bench_registry_pages", str(options.rounds)),
        ):
            done = subprocess.run([sys.executable, "-m", module, *told], cwd=ROOT, env=served, check=False)
            if done.returncode:
                break
    return done.returncode
