"""`script/server`: the whole product on one machine, for a newcomer, a developer and the demo."""

import argparse
import contextlib
import errno
import fcntl
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TypedDict

import honcho.manager
import psutil
from honcho.manager import Manager

from config import local
from config.embedded import EmbeddedServerError
from config.local import Addresses, LocalError
from config.places import ROOT, VAR

NEEDED_MIB = 300
READY_WITHIN_S = 120
# Tasks under way may end by themselves; honcho's own five seconds are too few on a busy machine.
honcho.manager.KILL_WAIT = 20
STOPPED_BY_HAND = {130, 143}


class Facts(TypedDict):
    """What `config.prepare` found out."""

    demo: bool
    commands: list[str]


def main(arguments: list[str]) -> int:
    """Start everything and wait; returns the exit status. Every failure a person can mend is one line."""
    options = _parse(arguments)
    try:
        return _run(options)
    except (LocalError, EmbeddedServerError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return _fail("Stopped before it was ready.")
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return _fail("The disk is full.")
        return _fail(f"{error.strerror}: {error.filename}" if error.filename else str(error))


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="script/server", description=__doc__)
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine only)"
    )
    parser.add_argument(
        "--port", type=_port, default=8000, help="the portal's port; verifier +1, mailbox +25"
    )
    parser.add_argument("--fresh", action="store_true", help="start over: forget the data below var/")
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    last = 65535 - local.MAILBOX_OFFSET
    if not text.isdecimal() or not 1 <= int(text) <= last:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 1 to {last}")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    addresses = Addresses(host=options.host, portal=options.port)
    VAR.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _only_one(addresses):
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _interrupt)
        _stop_orphans()
        _check_room()
        _check_ports(addresses)
        if options.fresh:
            _start_over()
        variables = local.environment(addresses, os.environ)
        try:
            local.start_servers(variables)
            facts = _prepare(variables)
            return _serve(addresses, variables, facts)
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)  # a second Ctrl+C must not leave the servers behind
            _stop_orphans()  # there are some only if the manager itself failed
            local.stop_servers()


# --- before the start -------------------------------------------------------------------------------------


@contextlib.contextmanager
def _only_one(addresses: Addresses) -> Iterator[None]:
    """Hold the installation's lock; the kernel lets go of it however this process ends."""
    with (VAR / "server.lock").open("a+") as file:
        os.register_at_fork(after_in_child=file.close)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise LocalError(f"It already runs here: {file.read().strip()}.") from None
        file.truncate(0)
        file.write(f"{addresses.url(addresses.portal)} (process {os.getpid()})\n")
        file.flush()
        yield


def _check_room() -> None:
    free = shutil.disk_usage(VAR).free // 2**20
    if free < NEEDED_MIB:
        raise LocalError(f"The disk is full: {free} MiB are free and {NEEDED_MIB} are needed.")


def _check_ports(addresses: Addresses) -> None:
    for name, port in addresses.ports.items():
        try:
            found = socket.getaddrinfo(addresses.host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(found[0]) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(found[4])
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise LocalError(
                    f"Can't listen on {addresses.host}, port {port}: {error.strerror}."
                ) from None
            raise LocalError(f"Port {port} (for the {name}) is in use; choose another with --port.") from None


def _start_over() -> None:
    if os.environ.get("DATABASE_URL") or os.environ.get("REDIS_URL"):
        raise LocalError("--fresh forgets the data below var/ only; unset DATABASE_URL and REDIS_URL for it.")
    local.stop_servers()
    local.remove_data()


def _stop_orphans() -> None:
    """Stop the processes of a launcher that was killed before it could stop them itself."""
    record = VAR / "processes.json"
    if not record.exists():
        return
    with contextlib.suppress(ValueError):
        for pid, started in json.loads(record.read_text()):
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                process = psutil.Process(pid)
                # The number may belong to another program by now; its time of birth tells.
                if abs(process.create_time() - started) < 1:
                    family = [process, *process.children(recursive=True)]
                    os.killpg(pid, signal.SIGKILL)
                    psutil.wait_procs(family, timeout=10)
    record.unlink(missing_ok=True)


def _prepare(variables: dict[str, str]) -> Facts:
    command = [sys.executable, "-m", "config.prepare"]
    with subprocess.Popen(
        command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as preparing:
        _remember([preparing.pid])
        try:
            output, _ = preparing.communicate()
        except KeyboardInterrupt:
            os.killpg(preparing.pid, signal.SIGTERM)
            raise
    if preparing.returncode:
        raise LocalError("The database could not be prepared; the reason stands above.")
    told = json.loads(output.splitlines()[-1])
    if "error" in told:
        raise LocalError(told["error"])
    facts: Facts = told
    return facts


# --- the processes ----------------------------------------------------------------------------------------


class Processes(Manager):  # type: ignore[misc]  # honcho is published without types
    """honcho's manager, which also says when everything answers."""

    def __init__(self, host: str, awaited: list[int], greet: Callable[[], str]) -> None:
        super().__init__()
        self.host = host
        self.awaited = awaited
        self.greet = greet

    def _start(self) -> None:
        super()._start()
        # Only from here on: honcho forks, and a thread would not survive that.
        signal.signal(signal.SIGHUP, lambda _number, _frame: os.kill(os.getpid(), signal.SIGTERM))
        threading.Thread(target=self._announce, daemon=True).start()

    def _announce(self) -> None:
        while not self._all_started():
            time.sleep(0.05)
        _remember([entry["pid"] for entry in self._processes.values()])
        end = time.monotonic() + READY_WITHIN_S
        while not self._terminating:
            if all(_answers(self.host, port) for port in self.awaited):
                print(self.greet(), flush=True)
                return
            if time.monotonic() > end:
                _fail(f"Not everything answers after {READY_WITHIN_S} s; the reason stands above.")
                os.kill(os.getpid(), signal.SIGTERM)
                return
            time.sleep(0.2)


def _commands(addresses: Addresses, *, demo: bool, traffic: bool) -> dict[str, str]:
    python = shlex.quote(sys.executable)
    host = shlex.quote(addresses.host)
    granian = f"exec {python} -m granian --interface wsgi --no-ws --respawn-failed-workers"
    listen = f"{granian} --log-level error --host {host}"
    schedule = VAR / "beat" / "schedule"
    schedule.parent.mkdir(exist_ok=True)
    # Celery's advice against root is for servers; here it is a newcomer's first container.
    quiet = shlex.quote("ignore:You're running the worker with superuser privileges")
    celery = f"exec {python} -W {quiet} -m celery --quiet --app config"
    portal, verifier, mailbox = addresses.portal, addresses.verifier, addresses.mailbox
    commands = {
        "web": f"{listen} --port {portal} --blocking-threads 8 config.wsgi:application",
        "verifier": f"exec {python} -m config.verifier --host {host} --port {verifier}",
        "worker": f"{celery} worker --concurrency 2 --without-gossip --without-mingle --loglevel WARNING",
        "beat": f"{celery} beat --schedule {shlex.quote(str(schedule))} --pidfile= --loglevel WARNING",
    }
    if demo:
        commands["mailbox"] = f"{listen} --port {mailbox} --blocking-threads 2 config.mailbox:application"
    if traffic:
        commands["traffic"] = f"exec {python} {shlex.quote(str(ROOT / 'manage.py'))} demo_traffic"
    return commands


def _serve(addresses: Addresses, variables: dict[str, str], facts: Facts) -> int:
    awaited = [addresses.portal, addresses.verifier, *([addresses.mailbox] if facts["demo"] else [])]
    manager = Processes(addresses.host, awaited, lambda: _greeting(addresses, variables, facts))
    traffic = "demo_traffic" in facts["commands"]
    for name, command in _commands(addresses, demo=facts["demo"], traffic=traffic).items():
        manager.add_process(name, command, env=variables, cwd=str(ROOT))
    manager.loop()
    status = int(manager.returncode)
    if status in STOPPED_BY_HAND:
        return 0
    return _fail("A process ended by itself, so everything was stopped; the reason stands above.")


def _remember(pids: list[int]) -> None:
    """Write down which processes run, for `_stop_orphans` of a later start."""
    born = []
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            born.append((pid, psutil.Process(pid).create_time()))
    (VAR / "processes.json").write_text(json.dumps(born))


def _answers(host: str, port: int) -> bool:
    """Whether a server behind a port answers at all, short of an error of its own."""
    near = "127.0.0.1" if host in local.ANY_ADDRESS else host
    # As a proxy in front would say it, so that an installation with an https address does not send us there.
    headers = {"Host": "localhost", "X-Forwarded-Proto": "https"}
    request = urllib.request.Request(
        f"http://{f'[{near}]' if ':' in near else near}:{port}/healthz", headers=headers
    )
    try:
        with urllib.request.urlopen(request, timeout=2) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def _greeting(addresses: Addresses, variables: dict[str, str], facts: Facts) -> str:
    lines = [
        "",
        "Kagiban is ready.",
        "",
        f"  Portal    {addresses.url(addresses.portal)}",
        f"  Verifier  {addresses.url(addresses.verifier)}/v1/keys/verify",
    ]
    if facts["demo"]:
        lines += [
            f"  Mailbox   {addresses.url(addresses.mailbox)}",
            "            (links in mails of an earlier start lead to the port that it had)",
        ]
    if "demo_signins" in facts["commands"]:
        # Only now: it prints one-time codes, which live for half a minute.
        command = [sys.executable, str(ROOT / "manage.py"), "demo_signins"]
        signins = subprocess.run(
            command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False
        )
        lines += ["", signins.stdout.rstrip(), *_curl(addresses.url(addresses.verifier))]
        if addresses.host in local.ANY_ADDRESS:
            lines += ["", "  Everybody who reaches this machine can sign in with these accounts."]
    return "\n".join([*lines, "", "Ctrl+C stops everything.", ""])


def _curl(verifier: str) -> list[str]:
    """The rest of the command whose credential `demo_signins` printed; the key comes into no argument.

    No comments between the commands: zsh, the shell of macOS, takes them for arguments.
    """
    return [
        "    read -rs KEY",
        """    printf '{"key": "%s", "ip": "203.0.113.7"}' "$KEY" |""",
        f"""      curl -s {verifier}/v1/keys/verify -d @- -H "Content-Type: application/json" \\""",
        """        -H "Authorization: Bearer $GATEWAY_CREDENTIAL\"""",
        "  `read` waits for a key to be pasted. The address must be one that it may be used from: some keys",
        "  with theirs stand in var/demo_credentials.json.",
    ]


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _fail(message: str) -> int:
    print(f"Kagiban: {message}", file=sys.stderr, flush=True)
    return 1
