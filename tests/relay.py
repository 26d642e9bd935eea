"""A proxy between a process and its server: it can be slow, hold back replies, cut, or speak TLS."""

import asyncio
import ipaddress
import ssl
import threading
from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from django.utils import timezone

TLS_HANDSHAKE = b"\x16"
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Relay:
    """Listens on a port of the loopback (or on a Unix socket) and passes on to `target`, a port or a socket.

    `delay` (seconds) is how much later each piece of a reply comes; `hold` keeps replies back until
    `release`. With `tls_target`, who begins with a TLS handshake is sent there, unread.
    """

    def __init__(
        self,
        target: int | Path,
        *,
        tls: ssl.SSLContext | None = None,
        path: Path | None = None,
        tls_target: int = 0,
    ) -> None:
        self.delay = 0.0
        self.n_connections = 0
        self._target, self._tls, self._path, self._tls_target = target, tls, path, tls_target
        self._loop = asyncio.new_event_loop()
        self._flows = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever)

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def instead_of(self, url: str) -> str:
        """A server's URL with this port in the place of its own."""
        parts = urlsplit(url)
        login = parts.netloc.rpartition("@")[0]
        return parts._replace(netloc=f"{login}@127.0.0.1:{self.port}").geturl()

    def hold(self) -> None:
        """Replies stay here from now on; requests go through."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def release(self) -> None:
        """Let everything through again, what was held first."""
        self._loop.call_soon_threadsafe(self._flows.set)

    def cut(self) -> None:
        """Close every connection."""
        self._run(self._cut())

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._open())
        return self

    def __exit__(self, *_error: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _open(self) -> None:
        self._flows.set()
        if self._path:
            self._server = await asyncio.start_unix_server(self._serve, self._path)
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)

    async def _close(self) -> None:
        self._server.close()
        self._flows.set()
        await self._cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # Transports close in later turns of the loop, one whose handshake failed after it has heard so.
        await asyncio.sleep(0.05)

    async def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.n_connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        ends = [writer]
        try:
            first = await reader.read(65_536) if self._tls_target else b""
            is_tls = first.startswith(TLS_HANDSHAKE)
            there, back = await self._reach(self._tls_target if is_tls else self._target)
            ends.append(back)
            back.write(first)
            self._writers.update(ends)
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer, is_reply=True))
        except OSError:
            pass
        finally:
            self._writers.difference_update(ends)
            for end in ends:
                end.transport.abort()

    @staticmethod
    async def _reach(target: int | Path) -> Pair:
        if isinstance(target, Path):
            return await asyncio.open_unix_connection(target)
        return await asyncio.open_connection("127.0.0.1", target)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_reply: bool = False
    ) -> None:
        while data := await reader.read(65_536):
            if is_reply:
                await self._flows.wait()
            if is_reply and self.delay:
                self._loop.call_later(self.delay, self._write, writer, data)
            else:
                writer.write(data)
        writer.transport.abort()

    def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        if not writer.is_closing():
            writer.write(data)


def make_certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1, signed by itself: its file for clients, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Kagiban's tests")])
    now = timezone.now()
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "tls.pem", folder / "tls.key"
    public.write_bytes(certificate.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return public, context
