"""The peers of `script/bench verify --against …`, each in an environment of its own under `var/bench`.

Each keeps its keys in the same PostgreSQL or Valkey as the product, on the same cores; what its manual says
is what runs, with connections that stay open.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import psutil
import psycopg

from keys.hotstore.address import parse_url
from script.bench_stack import ROOT, free_port, on_core, stopped_at_the_end, wait_for

HERE: Final = ROOT / "script" / "peers"
PLACE: Final = ROOT / "var" / "bench"
PYTHON_PACKAGES: Final = (
    "Django==5.2.*", "djangorestframework==3.18.3", "djangorestframework-api-key==3.1.0",
    "django-rest-knox==5.1.0", "granian==2.8.7", "psycopg[binary]==3.3.9",
)  # fmt: skip
LITELLM: Final = ("litellm[proxy]==1.106.2",)
BETTER_AUTH: Final = ("better-auth@1.7.25", "@better-auth/api-key@1.7.5", "pg@8.23.1")
EXPRESS_GATEWAY: Final = ("express-gateway@1.16.11",)


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that runs: where it is asked, the field that holds a key, and the keys."""

    url: str
    field: str
    keys: list[str]
    process: psutil.Process


@contextmanager
def drf(variables: dict[str, str], n_keys: int, threads: int) -> Iterator[dict[str, Peer]]:
    """djangorestframework-api-key and django-rest-knox under granian, with as many threads as ours."""
    python = _python("python", PYTHON_PACKAGES)
    database = _database(variables["DATABASE_URL"], "peers_drf")
    settings = {"NAME": "peers_drf", "USER": "postgres", "HOST": database}
    environment = {**_bare(), "PEER_DATABASE": json.dumps(settings), "PYTHONPATH": str(HERE)}
    told = subprocess.run(
        [python, str(HERE / "drf.py"), str(n_keys)], env=environment, check=True, stdout=subprocess.PIPE
    )
    keys: dict[str, list[str]] = json.loads(told.stdout)
    port = free_port()
    command = [
        python, "-m", "granian", "--interface", "wsgi", "--no-ws", "--log-level", "error", "--workers", "1",
        "--blocking-threads", str(threads), "--port", str(port), "drf:application",
    ]  # fmt: skip
    with on_core(0):
        process = subprocess.Popen(command, env=environment, cwd=HERE)
    with stopped_at_the_end(process):
        wait_for(port)
        own = psutil.Process(process.pid)
        yield {
            name: Peer(f"http://127.0.0.1:{port}/{name}", "Authorization", keys[name], own) for name in keys
        }


@contextmanager
def better_auth(variables: dict[str, str], n_keys: int, _threads: int) -> Iterator[dict[str, Peer]]:
    """better-auth's API keys, with limits, in Node's HTTP server."""
    folder = _node("better-auth", BETTER_AUTH)
    shutil.copy(HERE / "better_auth.mjs", folder)
    sockets = _database(variables["DATABASE_URL"], "peers_better_auth")
    url = f"postgresql://postgres@localhost/peers_better_auth?host={sockets}"
    port = free_port()
    command = ["node", "better_auth.mjs", str(n_keys), str(port)]
    with _told(command, folder, {"PEER_DATABASE_URL": url}) as (keys, process):
        yield {"better-auth": Peer(f"http://127.0.0.1:{port}/", "X-API-Key", keys, process)}


@contextmanager
def express_gateway(variables: dict[str, str], n_keys: int, _threads: int) -> Iterator[dict[str, Peer]]:
    """express-gateway's key-auth; its keys lie in the same Valkey."""
    folder = _node("express-gateway", EXPRESS_GATEWAY)
    port = free_port()
    command = ["node", str(HERE / "express_gateway.cjs"), str(n_keys), str(port), str(free_port())]
    store = parse_url(variables["REDIS_URL"])
    place = {"path": store.path} if store.path else {"host": store.host, "port": str(store.port)}
    redis = json.dumps({**place, "password": store.password})
    more = {"PEER_REDIS": redis, "PEER_MODULES": str(folder / "node_modules")}
    with _told(command, folder, more) as (keys, process):
        yield {"express-gateway": Peer(f"http://127.0.0.1:{port}/", "Authorization", keys, process)}


@contextmanager
def litellm(_variables: dict[str, str], _n_keys: int, _threads: int) -> Iterator[dict[str, Peer]]:
    """LiteLLM's proxy with its master key alone, no database and no limits: the least that it can check.

    Keys of its own would need an engine that its database layer downloads.
    """
    folder, port = PLACE / "litellm", free_port()
    python = Path(_python("litellm", LITELLM))
    setting = folder / "proxy.json"
    model = {"model": "openai/fixed", "api_key": "none"}
    key = f"sk-{secrets.token_hex(24)}"
    setting.write_text(
        json.dumps(
            {
                "model_list": [{"model_name": "fixed", "litellm_params": model}],
                "general_settings": {"master_key": key},
            }
        )
    )
    command = [str(python.with_name("litellm")), "--config", str(setting), "--host", "127.0.0.1"]
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    with on_core(0):
        process = subprocess.Popen(
            [*command, "--port", str(port), "--num_workers", "1", "--telemetry", "False"],
            env={**_bare(), **quiet},
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )
    with stopped_at_the_end(process):
        wait_for(port, 180)
        url = f"http://127.0.0.1:{port}/v1/models"
        yield {"litellm": Peer(url, "Authorization", [f"Bearer {key}"], psutil.Process(process.pid))}


STARTS: Final = {
    "drf-api-key": drf,
    "knox": drf,
    "better-auth": better_auth,
    "express-gateway": express_gateway,
    "litellm": litellm,
}


def why_not(name: str) -> str:
    """Why a peer can't be measured here; empty where it can."""
    if name in {"better-auth", "express-gateway"} and shutil.which("npm") is None:
        return "needs node and npm"
    return ""


@contextmanager
def _told(
    command: list[str], folder: Path, more: dict[str, str]
) -> Iterator[tuple[list[str], psutil.Process]]:
    """Run a server that prints its keys as JSON when it is ready."""
    with on_core(0):
        process = subprocess.Popen(
            command, cwd=folder, env={**_bare(), **more}, stdout=subprocess.PIPE, text=True
        )
    with stopped_at_the_end(process):
        assert process.stdout is not None
        line = next((line for line in process.stdout if line.startswith("[")), None)
        if line is None:
            raise RuntimeError(f"{command[1]} did not start.")
        yield json.loads(line), psutil.Process(process.pid)


def _python(name: str, packages: tuple[str, ...]) -> str:
    """The Python of an environment with these packages, made once."""
    folder = PLACE / name
    stamp, wanted = folder / "packages", "\n".join(packages)
    python = folder / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, *packages], check=True)
        stamp.write_text(wanted)
    return str(python)


def _node(name: str, packages: tuple[str, ...]) -> Path:
    """A folder with a peer's packages, made once."""
    folder = PLACE / name
    stamp, wanted = folder / "packages", "\n".join(packages)
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "package.json").write_text('{"private": true}')
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--legacy-peer-deps"]
        subprocess.run([*command, *packages], cwd=folder, check=True, stdout=sys.stderr)
        stamp.write_text(wanted)
    return folder


def _database(url: str, name: str) -> str:
    """Make an empty database beside the product's; the folder of the server's socket."""
    sockets = parse_qs(urlsplit(url).query)["host"][0]
    with psycopg.connect(host=sockets, user="postgres", dbname="postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return sockets


def _bare() -> dict[str, str]:
    """The environment without what is ours."""
    ours = {"DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "PYTHONPATH"}
    return {name: value for name, value in os.environ.items() if name not in ours}
