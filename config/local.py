"""The environment of a local installation: its servers, its secrets, its addresses.

`script/server` and `script/manage` put it together; production sets its own variables and never comes here.
"""

import fcntl
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from config import embedded
from config.places import ROOT, VAR

# What `--fresh` removes. The tests' pictures and the like stay.
DATA = ("pg", "pg.new", "valkey", "mail", "beat", "static", "env")
ANY_ADDRESS = {"0.0.0.0", "::"}  # noqa: S104 - compared with, not bound to
VERIFIER_OFFSET = 1
MAILBOX_OFFSET = 25


class LocalError(RuntimeError):
    """The local installation can't run; the message is one line for a person."""


@dataclass(frozen=True)
class Addresses:
    """Where the processes listen. The portal's port decides the other two."""

    host: str = "127.0.0.1"
    portal: int = 8000

    @property
    def verifier(self) -> int:
        """The port of the verifier."""
        return self.portal + VERIFIER_OFFSET

    @property
    def mailbox(self) -> int:
        """The port of the demo's mailbox."""
        return self.portal + MAILBOX_OFFSET

    @property
    def ports(self) -> dict[str, int]:
        """The three ports by the name of what listens there."""
        return {"portal": self.portal, "verifier": self.verifier, "mailbox": self.mailbox}

    def url(self, port: int) -> str:
        """The address for a person: `localhost`, because a passkey can't belong to a bare IP address."""
        near = self.host in {"127.0.0.1", "::1", *ANY_ADDRESS}
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{'localhost' if near else host}:{port}"


def environment(addresses: Addresses, given: Mapping[str, str]) -> dict[str, str]:
    """The variables for every process of the local installation; what is `given` wins.

    Makes the secrets at the first call and keeps them in `var/env`. The two servers' URLs are not in it: see
    `start_servers`. Raises LocalError when the secrets are gone and the data that they protect is not.
    """
    hosts = ["localhost", "127.0.0.1", "[::1]", addresses.host]
    if addresses.host in ANY_ADDRESS:
        hosts = ["*"]
    defaults = {
        **_secrets(),
        "DEMO": "1",
        "LOG_LEVEL": "WARNING",
        "PORTAL_URL": addresses.url(addresses.portal),
        "VERIFIER_URL": addresses.url(addresses.verifier),
        "MAILBOX_URL": addresses.url(addresses.mailbox),
        "ALLOWED_HOSTS": ",".join(hosts),
        "MAIL_FOLDER": str(VAR / "mail"),
        "STATIC_FOLDER": str(VAR / "static"),
        "PYTHONUNBUFFERED": "1",
    }
    return {**defaults, **{name: value for name, value in given.items() if value or name not in defaults}}


def start_servers(variables: dict[str, str]) -> None:
    """Start the embedded servers that `variables` does not name, and name them there."""
    if not (variables.get("DATABASE_URL") or variables.get("DATABASE_URL_FILE")):
        variables["DATABASE_URL"] = embedded.start_postgres(VAR)
    if not (variables.get("REDIS_URL") or variables.get("REDIS_URL_FILE")):
        variables["REDIS_URL"] = embedded.start_valkey(VAR)


def stop_servers() -> None:
    """Stop the embedded servers that run."""
    embedded.stop_valkey(VAR)
    embedded.stop_postgres(VAR)


def remove_data() -> None:
    """Forget everything: database, hot store, mails and secrets. The servers must be stopped."""
    for name in DATA:
        path = VAR / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _secrets() -> dict[str, str]:
    path = VAR / "env"
    if not path.exists():
        if (VAR / "pg").exists():
            raise LocalError("var/env, which holds the secrets, is gone; put it back, or use --fresh.")
        VAR.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = {"SECRET_KEY": secrets.token_urlsafe(50)}
        for name in ("API_KEY_HASH_SECRET", "LINK_SECRET", "FIELD_SECRET"):
            made[name] = f"1:{secrets.token_hex(32)}"
        unfinished = VAR / "env.new"
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.writelines(f"{name}={value}\n" for name, value in made.items())
        unfinished.replace(path)
    lines = path.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def manage(arguments: list[str]) -> int:
    """Run one of Django's commands in the local installation (`script/manage migrate`); returns its status.

    The embedded servers are used as they run, or run for this command only.
    """
    variables = environment(Addresses(), os.environ)
    with (VAR / "server.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = True
        except BlockingIOError:
            alone = False
        try:
            start_servers(variables)
            command = [sys.executable, str(ROOT / "manage.py"), *arguments]
            return subprocess.run(command, cwd=ROOT, env=variables, check=False).returncode
        finally:
            if alone:
                stop_servers()
