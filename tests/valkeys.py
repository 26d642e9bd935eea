"""Several Valkey servers at once for a test: a cluster with its replicas, or a primary behind sentinels.

The wheel's Valkey speaks no TLS: a relay before each server does, at the port that clients are told.
"""

import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from config import embedded
from keys.hotstore.address import Address
from keys.hotstore.cluster import N_SLOTS
from keys.hotstore.connection import Argument, Connection, StoreUnavailableError, encode
from tests.relay import Relay
from tests.serving import free_port, free_ports

PASSWORD = "of-the-tests"
STARTS_WITHIN_S = 60


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Look until it is so; a server that needs longer than this has failed."""
    end = time.monotonic() + STARTS_WITHIN_S
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@dataclass(eq=False)
class Valkey:
    """A server of its own, stopped and killed as a test wishes."""

    folder: Path
    port: int
    settings: list[str]
    arguments: list[str] = field(default_factory=list)
    process: "subprocess.Popen[bytes] | None" = None
    client_port: int = 0

    def __post_init__(self) -> None:
        self.client_port = self.client_port or self.port

    def ask(self, *words: Argument) -> Any:
        """One command; an error reply is raised."""
        address = Address("127.0.0.1", self.port, password="" if self.arguments else PASSWORD)
        connection = Connection(address, 10)
        try:
            return connection.expect(encode(*words))
        finally:
            connection.close()

    def told(self, *words: str) -> dict[str, str]:
        """The fields of INFO and the like."""
        lines = self.ask(*words).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def start(self) -> None:
        """Start it, or start it again with what it has written."""
        self.folder.mkdir(exist_ok=True)
        file = self.folder / "valkey.conf"
        if not file.exists():
            file.write_text("\n".join([f"port {self.port}", f'dir "{self.folder}"', *self.settings]) + "\n")
        program = embedded.valkey_program()
        log = (self.folder / "log").open("ab")
        with log:
            self.process = subprocess.Popen([program, str(file), *self.arguments], stdout=log, stderr=log)
        wait_until(self._answers, f"no Valkey on {self.port}")

    def signal(self, number: int) -> None:
        """Send it a signal; after SIGKILL and SIGTERM it is gone."""
        assert self.process is not None
        self.process.send_signal(number)
        if number in {signal.SIGKILL, signal.SIGTERM}:
            self.process.wait(20)
            self.process = None

    def _answers(self) -> bool:
        try:
            return bool(self.ask("PING") == b"PONG")
        except (OSError, StoreUnavailableError):
            return False


class Valkeys:
    """Servers that go with the test."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"kagiban-valkeys-{os.getpid()}-"))
        self.servers: list[Valkey] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for server in self.servers:
            if server.process is not None:
                server.signal(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def add(self, settings: list[str], arguments: list[str] | None = None, port: int = 0) -> Valkey:
        """One more server, started."""
        port = port or free_port()
        common = ["bind 127.0.0.1", "daemonize no"]
        server = Valkey(self.folder / str(port), port, [*common, *settings], arguments or [])
        self.servers.append(server)
        server.start()
        return server


DATA = [f"requirepass {PASSWORD}", f"primaryauth {PASSWORD}", 'save ""', "repl-diskless-sync-delay 0"]


class Cluster(Valkeys):
    """Three primaries with a replica each; a failed one is replaced after a few seconds.

    With `tls`, clients are sent to relays that speak it.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self._tls = tls
        self._relays = ExitStack()

    def __enter__(self) -> Self:
        ports = free_ports(12)
        for port, bus in zip(ports[:6], ports[6:], strict=True):
            way = self._relays.enter_context(Relay(port, tls=self._tls)).port if self._tls else port
            server = self.add(
                [
                    *DATA, "cluster-enabled yes", f"cluster-port {bus}", "cluster-node-timeout 2000",
                    "cluster-require-full-coverage no", "cluster-replica-validity-factor 0",
                    "cluster-allow-replica-migration no", f"cluster-announce-client-port {way}",
                ],
                port=port,
            )  # fmt: skip
            server.client_port = way
        try:
            self._form(ports[6:])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._relays.close()
        super().__exit__()

    @property
    def url(self) -> str:
        """Names two of the six."""
        kind = "rediss" if self._tls else "redis"
        places = ",".join(f"127.0.0.1:{server.client_port}" for server in self.servers[::4])
        return f"{kind}+cluster://:{PASSWORD}@{places}"

    def holder(self, slot: int) -> Valkey:
        """The primary that serves a slot now, by what one of the living says."""
        alive = next(server for server in self.servers if server.process is not None)
        for first, last, (_host, port, *_), *_replicas in alive.ask("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return self._at(port)
        raise AssertionError(f"nobody has slot {slot}")

    def replica_of(self, primary: Valkey) -> Valkey:
        """The one that follows it."""
        for _first, _last, (_host, port, *_), *replicas in primary.ask("CLUSTER", "SLOTS"):
            if port == primary.client_port and replicas:
                return self._at(replicas[0][1])
        raise AssertionError("nobody follows it")

    def await_health(self) -> None:
        """Until all that run agree, each slot has its primary, and each primary a replica in step."""
        alive = [server for server in self.servers if server.process is not None]
        wait_until(lambda: all(_is_well(server, len(alive)) for server in alive), "the cluster is not well")

    def move(self, slot: int, source: Valkey, target: Valkey) -> None:
        """Move a slot as `valkey-cli --cluster reshard` does, key by key."""
        names = {server: server.ask("CLUSTER", "MYID").decode() for server in (source, target)}
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", names[source])
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", names[target])
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 10):
            words = ["127.0.0.1", target.port, "", 0, 5_000, "AUTH", PASSWORD, "KEYS", *keys]
            source.ask("MIGRATE", *words)
        for server in (target, source):
            server.ask("CLUSTER", "SETSLOT", slot, "NODE", names[target])

    def _at(self, port: int) -> Valkey:
        return next(server for server in self.servers if server.client_port == port)

    def _form(self, buses: list[int]) -> None:
        primaries, replicas = self.servers[:3], self.servers[3:]
        edges = [0, N_SLOTS // 3, 2 * N_SLOTS // 3, N_SLOTS]
        for number, server in enumerate(primaries):
            server.ask("CLUSTER", "ADDSLOTSRANGE", edges[number], edges[number + 1] - 1)
            server.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for server, bus in zip(self.servers[1:], buses[1:], strict=True):
            self.servers[0].ask("CLUSTER", "MEET", "127.0.0.1", server.port, bus)
        wait_until(lambda: all(_n_known(server) == 6 for server in self.servers), "they did not meet")
        for primary, replica in zip(primaries, replicas, strict=True):
            replica.ask("CLUSTER", "REPLICATE", primary.ask("CLUSTER", "MYID").decode())
        self.await_health()


def _n_known(server: Valkey) -> int:
    return int(server.told("CLUSTER", "INFO")["cluster_known_nodes"])


def _is_well(server: Valkey, n_alive: int) -> bool:
    cluster, replication = server.told("CLUSTER", "INFO"), server.told("INFO", "replication")
    if cluster["cluster_state"] != "ok" or int(cluster["cluster_slots_ok"]) != N_SLOTS:
        return False
    # It hears of who follows whom later than a replica is in step.
    if n_alive == 6 and any(len(held) < 4 for held in server.ask("CLUSTER", "SLOTS")):
        return False
    if replication["role"] == "master":
        return n_alive < 6 or "state=online" in replication.get("slave0", "")
    return replication["master_link_status"] == "up"
