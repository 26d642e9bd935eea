"""`script/bench verify`: warm checks against a fixed answer of granian's and against peers, in turns, by wrk.

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
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import redis

from script import bench_peers
from script.bench_peers import Peer
from script.bench_stack import Seeded, drain, free_port, on_core, processor_seconds, seed, server, servers

N_KEYS = 1_000
PEERS = ("django", *bench_peers.STARTS)
CONNECTIONS = 32
THREADS = 16
# wrk calls `delay` before each request, for the milliseconds to wait.
_DELAY = """local ffi = require("ffi")
ffi.cdef("typedef struct { long s; long us; } moment; int gettimeofday(moment *, void *);")
local moment, due = ffi.new("moment")
function delay()
ffi.C.gettimeofday(moment, nil)
local now = tonumber(moment.s) * 1e6 + tonumber(moment.us)
due = (due or now) + %f
return math.max(0, (due - now) / 1000)
end
"""
BODY = '{"key":"%s","ip":"203.0.113.9","scope":"catalog:read","environment":"live","lease_seconds":1}'


@dataclass(slots=True)
class Round:
    """One run of wrk. `server_us` is the server's processor time for a request.

    `function_us` is the time of a call of Valkey's functions, as Valkey counts it itself; 0 without any.
    """

    per_second: float
    p50_ms: float
    p99_ms: float
    n_errors: int
    server_us: float
    function_us: float = 0.0


@dataclass(frozen=True, slots=True)
class Target:
    """What wrk asks. `store`: the Valkey behind it, whose functions' time is to be told."""

    url: str
    script: Path
    process: psutil.Process
    store: "redis.Redis | None" = None


def main(arguments: list[str]) -> int:
    """Measure and print; returns the exit status."""
    parser = argparse.ArgumentParser(prog="script/bench verify", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument(
        "--against", default="floor", help=f"also against these, with commas: {', '.join(PEERS)}, or all"
    )
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    options = parser.parse_args(arguments)
    if shutil.which("wrk") is None:
        print("script/bench needs wrk (Debian: apt-get install wrk).", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="kagiban-bench-") as name, on_core(1):
        results = _measure(Path(name), _peers_of(options.against), options.rounds, options.seconds)
    _report(results)
    if options.json:
        rounds = {name: [asdict(one) for one in many] for name, many in results.items()}
        options.json.write_text(json.dumps(rounds, indent=2) + "\n")
    return 0


def _peers_of(against: str) -> list[str]:
    names = list(PEERS) if against == "all" else [name for name in against.split(",") if name != "floor"]
    for name in names:
        if name not in PEERS:
            sys.exit(f"script/bench: there is no peer {name}; there are {', '.join(PEERS)}.")
        if why := bench_peers.why_not(name):
            print(f"{name} is left out: it {why}.", file=sys.stderr)
    return [name for name in names if not bench_peers.why_not(name)]


def _measure(folder: Path, peers: list[str], rounds: int, seconds: int) -> dict[str, list[Round]]:
    results: dict[str, list[Round]] = {}
    with servers(folder) as variables, ExitStack() as running:
        targets = _our_targets(folder, variables, running, with_django="django" in peers)
        for start in dict.fromkeys(bench_peers.STARTS[name] for name in peers if name != "django"):
            started = running.enter_context(start(variables, N_KEYS, THREADS))
            for name in started.keys() & set(peers):
                script = wrk_script(folder, name, _asks_of(started[name]))
                targets[name] = Target(started[name].url, script, started[name].process)
        for name, target in targets.items():
            # Every key is proven then: a cold check reads the registry, of which some 130 go in a second.
            ask_by_wrk(target, 1 if name in {"floor", "malformed"} else max(12, seconds))
        drain(variables)
        for _ in range(rounds):
            for name, target in targets.items():
                results.setdefault(name, []).append(ask_by_wrk(target, seconds))
    return results


def _our_targets(
    folder: Path, variables: dict[str, str], running: ExitStack, *, with_django: bool
) -> dict[str, Target]:
    seeded = seed(variables, N_KEYS)
    scripts = {name: wrk_script(folder, name, made) for name, made in _our_asks(seeded).items()}
    port, floor_port = free_port(), free_port()
    store = redis.Redis.from_url(variables["REDIS_URL"])
    own = running.enter_context(server(["config.verifier", "--port", str(port)], port, variables))
    floor = running.enter_context(
        server(_granian(floor_port, "script.bench_floor:application"), floor_port, variables)
    )
    paths = {
        "verify": "/v1/keys/verify",
        "authorize": "/v1/authorize?scope=catalog:read",
        "malformed": "/v1/keys/verify",
    }
    targets = {
        name: Target(f"http://127.0.0.1:{port}{path}", scripts[name], own, store)
        for name, path in paths.items()
    }
    check = "/v1/keys/verify"
    targets["floor"] = Target(f"http://127.0.0.1:{floor_port}{check}", scripts["verify"], floor)
    if with_django:
        port = free_port()
        view = running.enter_context(
            server(_granian(port, "script.bench_django:application"), port, variables)
        )
        targets["django"] = Target(f"http://127.0.0.1:{port}{check}", scripts["verify"], view)
    return targets


def _report(results: dict[str, list[Round]]) -> None:
    def middle(name: str, field: str) -> float:
        return float(statistics.median(getattr(one, field) for one in results[name]))

    speeds = {name: middle(name, "per_second") for name in results}
    heads = f"{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'x floor':>9}{'server us':>11}{'function us':>13}"
    print(f"{'':16}{heads}{'errors':>8}")
    for name, rounds in results.items():
        errors = sum(one.n_errors for one in rounds)
        times = f"{middle(name, 'p50_ms'):>9.2f}{middle(name, 'p99_ms'):>9.2f}"
        share = f"{speeds[name] / speeds['floor']:>9.2f}{middle(name, 'server_us'):>11.1f}"
        share += f"{middle(name, 'function_us'):>13.1f}"
        print(f"{name:16}{speeds[name]:>9.0f}{times}{share}{errors:>8}")
    for name in ("authorize", "malformed"):
        print(f"{name}/floor {speeds[name] / speeds['floor']:.2f}", end=" ")
    others = [name for name in results if name in PEERS and name != "drf-api-key"]
    print(*(f"verify/{name} {speeds['verify'] / speeds[name]:.1f}" for name in others))
    drf = f"{speeds['verify'] / speeds['drf-api-key']:.1f}" if "drf-api-key" in speeds else "-"
    print(
        f"verify/floor {speeds['verify'] / speeds['floor']:.2f} verify/drf {drf} "
        f"p99_ms {middle('verify', 'p99_ms'):.1f} function_us {middle('verify', 'function_us'):.1f}"
    )


def _granian(port: int, application: str) -> list[str]:
    return [
        "granian", "--interface", "wsgi", "--no-ws", "--log-level", "error", "--workers", "1",
        "--blocking-threads", str(THREADS), "--port", str(port), application,
    ]  # fmt: skip


def ask_by_wrk(target: Target, seconds: int, connections: int = CONNECTIONS) -> Round:
    """Ask for so many seconds, by all connections."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(target.script)]
    before, calls_before = processor_seconds(target.process), _function_calls(target.store)
    text = subprocess.run([*command, target.url], check=True, stdout=subprocess.PIPE, text=True).stdout
    spent = processor_seconds(target.process) - before
    n_calls, micros = (
        now - then for now, then in zip(_function_calls(target.store), calls_before, strict=True)
    )
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    found, number = re.search(r"Requests/sec:\s+([\d.]+)", text), re.search(r"(\d+) requests in", text)
    if found is None or number is None:
        raise RuntimeError(text)
    return Round(
        float(found[1]),
        _ms(text, "50%"),
        _ms(text, "99%"),
        int(errors[1]) if errors else 0,
        spent * 1e6 / max(1, int(number[1])),
        micros / max(1, n_calls),
    )


def _function_calls(store: "redis.Redis | None") -> tuple[int, int]:
    """How many calls of its functions the store has answered, and the µs that they took by its own count."""
    counted = store.info("commandstats").get("cmdstat_fcall", {}) if store else {}
    return int(counted.get("calls", 0)), int(counted.get("usec", 0))


def _ms(text: str, quantile: str) -> float:
    found = re.search(rf"{quantile}\s+([\d.]+)(us|ms|s)", text)
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]] if found else 0.0


def _our_asks(seeded: Seeded) -> dict[str, list[str]]:
    gateway, keys = seeded["gateway"], seeded["keys"]
    fields = f'["Authorization"]="Bearer {gateway}",["Content-Type"]="application/json"'
    return {
        "verify": [f"wrk.format('POST', nil, {{{fields}}}, '{BODY % text}')" for text in keys],
        "malformed": [
            f"wrk.format('POST', nil, {{{fields}}}, '{BODY % (text[:-1] + '!')}')" for text in keys
        ],
        "authorize": [
            f'wrk.format("GET", nil, {{["Authorization"]="Bearer {text}",'
            f'["X-Gateway-Credential"]="{gateway}",["X-Forwarded-For"]="203.0.113.9"}})'
            for text in keys
        ],
    }


def _asks_of(peer: Peer) -> list[str]:
    return [f'wrk.format("GET", nil, {{["{peer.field}"]="{text}"}})' for text in peer.keys]


def wrk_script(folder: Path, name: str, asks: list[str], per_second: int = 0) -> Path:
    """A Lua file for wrk; the requests are made beforehand, so that it has nothing to compute.

    It asks as fast as it is answered, or so often a second: each request has its time, and one that is late
    is sent at once.
    """
    script = folder / f"{name}.lua"
    made = ",\n".join(asks)
    script.write_text(
        f"local n = 0\nlocal made\nfunction init()\nmade = {{\n{made}\n}}\nend\n"
        "function request()\nn = n % #made + 1\nreturn made[n]\nend\n"
        + (_DELAY % (1e6 / per_second) if per_second else "")
    )
    return script
