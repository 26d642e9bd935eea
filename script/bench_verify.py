"""`script/bench verify`: warm checks against a fixed answer of granian's, interleaved, by wrk.

One process on one core; Valkey, PostgreSQL and wrk on the other. 1,000 rotating keys, all limits on, a
gateway's credential, use counted. Ratios of one run count, not its absolute numbers.
"""

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from script.bench_stack import Seeded, free_port, on_core, seed, server, servers

N_KEYS = 1_000
CONNECTIONS = 32
THREADS = 16
BODY = '{"key":"%s","ip":"203.0.113.9","scope":"catalog:read","environment":"live","lease_seconds":1}'


@dataclass(slots=True)
class Round:
    """One run of wrk."""

    per_second: float
    p50_ms: float
    p99_ms: float
    n_errors: int


def main(arguments: list[str]) -> int:
    """Measure and print; returns the exit status."""
    parser = argparse.ArgumentParser(prog="script/bench verify", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    options = parser.parse_args(arguments)
    if shutil.which("wrk") is None:
        print("script/bench needs wrk (Debian: apt-get install wrk).", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="kagiban-bench-") as name, on_core(1):
        results = _measure(Path(name), options.rounds, options.seconds)
    _report(results)
    if options.json:
        rounds = {name: [asdict(one) for one in many] for name, many in results.items()}
        options.json.write_text(json.dumps(rounds, indent=2) + "\n")
    return 0


def _measure(folder: Path, rounds: int, seconds: int) -> dict[str, list[Round]]:
    results: dict[str, list[Round]] = {}
    with servers(folder) as variables:
        seeded = seed(variables, N_KEYS)
        port, floor_port = free_port(), free_port()
        scripts = _wrk_scripts(folder, seeded)
        own = ["config.verifier", "--port", str(port)]
        with server(own, port, variables), server(_granian(floor_port), floor_port, variables):
            targets = {name: f"http://127.0.0.1:{port}{path}" for name, path in _PATHS.items()}
            targets["floor"] = f"http://127.0.0.1:{floor_port}/v1/keys/verify"
            for name in ("verify", "authorize"):
                _wrk(targets[name], scripts[name], max(8, seconds))  # every key proven, every page warm
            for _ in range(rounds):
                for name, url in targets.items():
                    results.setdefault(name, []).append(_wrk(url, scripts[name], seconds))
    return results


_PATHS = {
    "verify": "/v1/keys/verify",
    "authorize": "/v1/authorize?scope=catalog:read",
    "malformed": "/v1/keys/verify",
}


def _report(results: dict[str, list[Round]]) -> None:
    def middle(name: str, field: str) -> float:
        return float(statistics.median(getattr(one, field) for one in results[name]))

    floor = middle("floor", "per_second")
    print(f"{'':12}{'req/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'x floor':>9}{'errors':>8}")
    for name, rounds in results.items():
        speed = middle(name, "per_second")
        errors = sum(one.n_errors for one in rounds)
        times = f"{middle(name, 'p50_ms'):>9.2f}{middle(name, 'p99_ms'):>9.2f}"
        print(f"{name:12}{speed:>10.0f}{times}{speed / floor:>9.2f}{errors:>8}")
    ratios = {name: middle(name, "per_second") / floor for name in ("verify", "authorize", "malformed")}
    print(
        f"verify/floor {ratios['verify']:.2f} authorize/floor {ratios['authorize']:.2f} "
        f"malformed/floor {ratios['malformed']:.2f} p99_ms {middle('verify', 'p99_ms'):.1f}"
    )


def _granian(port: int) -> list[str]:
    return [
        "granian", "--interface", "wsgi", "--no-ws", "--log-level", "error", "--workers", "1",
        "--blocking-threads", str(THREADS), "--port", str(port), "script.bench_floor:application",
    ]  # fmt: skip


def _wrk(url: str, script: Path, seconds: int) -> Round:
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(script), url]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    found = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if found is None:
        raise RuntimeError(text)
    return Round(float(found[1]), _ms(text, "50%"), _ms(text, "99%"), int(errors[1]) if errors else 0)


def _ms(text: str, quantile: str) -> float:
    found = re.search(rf"{quantile}\s+([\d.]+)(us|ms|s)", text)
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]] if found else 0.0


def _wrk_scripts(folder: Path, seeded: Seeded) -> dict[str, Path]:
    """One Lua file each: requests are made beforehand, so that wrk has nothing to compute."""
    gateway, keys = seeded["gateway"], seeded["keys"]
    bearer = f"Bearer {gateway}"
    post = 'wrk.format("POST", nil, {["Authorization"]="%s",["Content-Type"]="application/json"}, %s)'
    ask = (
        'wrk.format("GET", nil, {["Authorization"]="Bearer %s",["X-Gateway-Credential"]="%s",'
        '["X-Forwarded-For"]="203.0.113.9"})'
    )
    lines = {
        "verify": [post % (bearer, f"'{BODY % text}'") for text in keys],
        "malformed": [post % (bearer, f"'{BODY % (text[:-1] + '!')}'") for text in keys],
        "authorize": [ask % (text, gateway) for text in keys],
    }
    lines["floor"] = lines["verify"]
    scripts = {}
    for name, requests in lines.items():
        scripts[name] = folder / f"{name}.lua"
        made = ",\n".join(requests)
        scripts[name].write_text(
            f"local n = 0\nlocal made\nfunction init()\nmade = {{\n{made}\n}}\nend\n"
            "function request()\nn = n % #made + 1\nreturn made[n]\nend\n"
        )
    return scripts
