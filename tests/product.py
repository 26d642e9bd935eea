"""The product as it runs: portal, verifier and worker as processes of their own, and a mail server."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from django.db import connection
from django.utils import timezone

from notifications.services.delivery import sweep_outbox
from tests import smtp_sink
from tests.serving import free_ports

ROOT = Path(__file__).resolve().parent.parent
STARTS_WITHIN_S = 60.0
MAIL_WITHIN_S = 60.0
LISTEN = ["-m", "granian", "--interface", "wsgi", "--no-ws", "--log-level", "warning", "--host", "127.0.0.1"]
WORKER = [
    "-m",
    "celery",
    "-A",
    "config",
    "worker",
    "-c",
    "1",
    "-l",
    "INFO",
    "--without-gossip",
    "--without-mingle",
]


@dataclass(frozen=True)
class Mail:
    """A mail as its reader has it."""

    to: str
    subject: str
    text: str
    html: str

    def link(self, path: str, ending: str = "") -> str:
        """The first address below `path` (`/decide/`) in the text, which the HTML must have, too."""
        found = re.findall(rf"https?://[^\s/]+{re.escape(path)}\S+", self.text)
        url: str = next(url for url in found if url.endswith(ending))
        assert url.replace("&", "&amp;") in self.html or url in self.html
        return url


@dataclass
class Product:
    """A running product and its mails."""

    base: str
    verifier: str
    sink: smtp_sink.Sink
    logs: Path
    read: set[int] = field(default_factory=set)

    def mail_to(self, address: str, words: str = "") -> Mail:
        """The next unread mail to this address with these words in it; waits for it."""
        end = time.monotonic() + MAIL_WITHIN_S
        while time.monotonic() < end:
            for number, message in enumerate(list(self.sink.mails)):
                if number in self.read or address not in str(message["To"]):
                    continue
                subject, text = str(message["Subject"]), _part(message, "plain")
                if words in subject or words in text:
                    self.read.add(number)
                    return Mail(address, subject, text, _part(message, "html"))
            time.sleep(0.05)
        have = [(str(mail["To"]), str(mail["Subject"])) for mail in self.sink.mails]
        raise AssertionError(f"no mail to {address} about {words!r}; there are {have}")

    def verify(self, gateway: str, text: str, **question: Any) -> dict[str, Any]:
        """Ask the verifier about a key, as a gateway does."""
        return self._call(gateway, "/v1/keys/verify", {"key": text, **question})

    def report(self, gateway: str, **told: Any) -> dict[str, Any]:
        """Report how a call ended, as a gateway does."""
        return self._call(gateway, "/v1/usage", told)

    def _call(self, gateway: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.verifier}{path}",
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {gateway}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                answer: dict[str, Any] = json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                answer = json.loads(error.read())
        return answer

    def forget(self) -> None:
        """Begin a test with an empty mailbox."""
        self.sink.mails.clear()
        self.read.clear()

    def settle(self) -> None:
        """Wait until nothing is left to be sent, so that the next test begins in silence."""
        end = time.monotonic() + MAIL_WITHIN_S
        while time.monotonic() < end:
            with connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM notifications_message WHERE state = 'pending'")
                if cursor.fetchone() == (0,):
                    return
            time.sleep(0.05)
        sweep_outbox(now=timezone.now())


def _part(message: Any, kind: str) -> str:
    part = message.get_body(preferencelist=(kind,))
    assert part is not None
    return str(part.get_content())


@contextmanager
def running(logs: Path) -> Iterator[Product]:
    """The product on this test worker's database and Valkey while the block runs."""
    ports = free_ports(2)
    bases = [f"http://127.0.0.1:{port}" for port in ports]
    with smtp_sink.running() as sink, ExitStack() as stack:
        database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
        environment = {
            **os.environ,
            "DATABASE_URL": database.geturl(),
            "PORTAL_URL": bases[0],
            "VERIFIER_URL": bases[1],
            "EMAIL_URL": sink.url,
            "PYTHONUNBUFFERED": "1",
            # Hashed and compressed, as everybody outside of the tests is served them.
            "STATIC_FROM_SOURCE": "0",
            "STATIC_FOLDER": str(logs / "static"),
        }
        collect = [sys.executable, "manage.py", "collectstatic", "--no-input", "--verbosity", "0"]
        subprocess.run(collect, cwd=ROOT, env=environment, check=True)
        commands = {"worker": WORKER}
        for name, port, threads in (("portal", ports[0], "4"), ("verifier", ports[1], "2")):
            options = ["--port", str(port), "--blocking-threads", threads]
            commands[name] = [*LISTEN, *options, "config.wsgi:application"]
        for name, command in commands.items():
            stack.enter_context(_process([sys.executable, *command], environment, logs / f"{name}.log"))
        _await(logs, bases)  # the worker comes when it comes: its tasks wait
        yield Product(bases[0], bases[1], sink, logs)


class Stage:
    """Keeps a product running from test to test: to start its processes takes as long as a short test."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._stack = ExitStack()
        self._product: Product | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.clear()

    def product(self) -> Product:
        """The product, started where it does not run."""
        if self._product is None:
            self._product = self._stack.enter_context(running(self._logs))
        return self._product

    def clear(self) -> None:
        """Stop it where it runs."""
        self._product = None
        self._stack.close()


@contextmanager
def _process(command: list[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await(logs: Path, bases: list[str]) -> None:
    end = time.monotonic() + STARTS_WITHIN_S
    while not all(_answers(base) for base in bases):
        assert time.monotonic() < end, [log.read_text()[-2_000:] for log in logs.glob("*.log")]
        time.sleep(0.1)


def _answers(base: str) -> bool:
    try:
        with urllib.request.urlopen(f"{base}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
