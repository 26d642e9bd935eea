"""R4 for real: Debian's Dovecot on the loopback, read by the poll job; killed, cut off and refused (R4)."""

import grp
import imaplib
import ipaddress
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from django.db import connection
from django.utils import timezone
from imap_tools.imap_utf7 import utf7_encode

from intake.mailbox import DONE, mailbox_status, read_mailbox
from intake.models import ReceivedMail
from notifications.models import Message
from tests.intake.letters import BODY, mail
from tests.intake.test_letters import JAPANESE, nested
from tests.product import ROOT
from tests.serving import free_port, free_ports

pytestmark = [pytest.mark.dovecot, pytest.mark.django_db(transaction=True)]
USER, PASSWORD = "api-key-requests@starlist.example.jp", "pass/word @100%"
STARTS_WITHIN_S = 20


@dataclass
class Dovecot:
    """A running Dovecot with one mailbox."""

    folder: Path
    plain_port: int
    tls_port: int

    @property
    def certificate(self) -> str:
        return str(self.folder / "tls.pem")

    def url(self, scheme: str = "imaps", folder: str = "INBOX", port: int = 0) -> str:
        port = port or (self.tls_port if scheme == "imaps" else self.plain_port)
        return f"{scheme}://{USER.replace('@', '%40')}@127.0.0.1:{port}/{folder}"

    @contextmanager
    def session(self) -> Iterator[imaplib.IMAP4]:
        with imaplib.IMAP4("127.0.0.1", self.plain_port) as client:
            client.login(f'"{USER}"', PASSWORD)
            client.select("INBOX")
            yield client

    def put(self, *mails: bytes) -> None:
        with self.session() as client:
            for raw in mails:
                status, _answer = client.append("INBOX", "", "", raw)
                assert status == "OK"

    def flags(self) -> list[str]:
        with self.session() as client:
            _status, found = client.fetch("1:*", "(FLAGS)")
            return [line.decode() for line in found if isinstance(line, bytes)]

    def count(self, folder: str) -> int:
        with self.session() as client:
            _status, found = client.select(f'"{folder}"', readonly=True)
            return int(found[0] or 0)


def certificate() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the tests' Dovecot")])
    now = timezone.now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.public_bytes(Encoding.PEM) + secret


def configuration(folder: Path, plain_port: int, tls_port: int) -> str:
    # Dovecot gives mail to nobody with root's rights; without root it can be nobody else.
    me = pwd.getpwuid(os.geteuid())
    owner = pwd.getpwnam("nobody") if me.pw_uid == 0 else me
    (folder / "mail").mkdir()
    os.chown(folder / "mail", owner.pw_uid, owner.pw_gid)
    group = grp.getgrgid(me.pw_gid).gr_name
    users = "" if me.pw_uid == 0 else (
        f"default_internal_user = {me.pw_name}\ndefault_login_user = {me.pw_name}\n"
        f"default_internal_group = {group}\n"
    )  # fmt: skip
    (folder / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
    (folder / "users").chmod(0o644)
    return f"""
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = imap
listen = 127.0.0.1
{users}ssl = yes
ssl_cert = <{folder}/tls.pem
ssl_key = <{folder}/tls.pem
auth_failure_delay = 0
first_valid_uid = 1
mail_location = maildir:{folder}/mail
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {folder}/users
}}
userdb {{
  driver = static
  args = uid={owner.pw_uid} gid={owner.pw_gid} home={folder}/mail
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {plain_port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Dovecot]:
    program = shutil.which("dovecot") or shutil.which("dovecot", path="/usr/sbin")
    assert program, (
        "There is no Dovecot here. Install it (Debian: dovecot-imapd): this test needs the real one."
    )
    # Not below pytest's folder, which only its owner may enter.
    folder = Path(tempfile.mkdtemp(prefix="dovecot-"))
    folder.chmod(0o755)
    (folder / "tls.pem").write_bytes(certificate())
    found = Dovecot(folder, *free_ports(2))
    (folder / "dovecot.conf").write_text(configuration(folder, found.plain_port, found.tls_port))
    process = subprocess.Popen([program, "-F", "-c", str(folder / "dovecot.conf")])
    try:
        end = time.monotonic() + STARTS_WITHIN_S
        while not _answers(found.plain_port):
            log = folder / "dovecot.log"
            assert process.poll() is None, log.read_text() if log.exists() else "it ended at once"
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as wire:
            return wire.recv(4) == b"* OK"
    except OSError:
        return False


@pytest.fixture
def dovecot(server: Dovecot, settings: Any) -> Dovecot:
    """The server with an empty mailbox, and the settings that lead to it."""
    with server.session() as client:
        client.uid("STORE", "1:*", "+FLAGS", r"\Deleted")
        client.expunge()
    settings.IMAP_URL, settings.IMAP_PASSWORD = server.url(), PASSWORD
    settings.IMAP_CA_FILE, settings.IMAP_TIMEOUT = server.certificate, 5
    return server


def read() -> int:
    return read_mailbox(now=timezone.now())


def test_every_mail_is_kept_once_and_marked(dovecot: Dovecot, settings: Any) -> None:
    settings.INTAKE_MAX_BYTES = 5_000_000
    bodies = [raw.replace(b"<1@minato", f"<{n}@minato".encode()) for n, raw in enumerate(JAPANESE.values())]
    large = mail(BODY + "あ" * 3_300_000, message_id="<large@x>")
    bad = [nested(1_000), b"\xff\xfe\x00no mail at all", b"Subject: only a subject\n\n"]
    dovecot.put(*bodies, large, *bad)
    assert read() == len(bodies) + 4
    assert ReceivedMail.objects.count() == len(bodies) + 4
    assert ReceivedMail.objects.filter(kind="request").count() == len(bodies) + 1
    kept = ReceivedMail.objects.get(message_id="<large@x>")
    assert (kept.n_bytes, kept.notes) == (5_000_000, ["raw_cut", "text_cut"])
    assert all(DONE in line and r"\Seen" not in line for line in dovecot.flags())
    assert read() == 0
    assert mailbox_status()["trouble"] == ""


def test_processed_mails_are_moved_where_a_folder_is_set(dovecot: Dovecot, settings: Any) -> None:
    settings.IMAP_DONE_FOLDER = "受付済み"
    dovecot.put(mail(), mail(message_id="<2@x>"))
    assert read() == 2
    assert dovecot.count("INBOX") == 0
    assert dovecot.count(utf7_encode("受付済み").decode()) == 2
    dovecot.put(mail(message_id="<3@x>"))
    assert read() == 1
    assert ReceivedMail.objects.count() == 3


@pytest.mark.parametrize("scheme", ["imaps", "imap+starttls", "imap"])
def test_each_way_to_connect(dovecot: Dovecot, settings: Any, scheme: str) -> None:
    settings.IMAP_URL = dovecot.url(scheme)
    dovecot.put(mail())
    assert read() == 1


def test_killed_between_keeping_and_marking_leaves_no_twin(
    dovecot: Dovecot, process_environment: dict[str, str], tmp_path: Path
) -> None:
    script = tmp_path / "read.py"
    script.write_text(
        "import time, django; django.setup()\n"
        "from django.utils import timezone\n"
        "from intake import mailbox\n"
        "def mark(*_): print('kept', flush=True); time.sleep(60)\n"
        "mailbox._mark = mark\n"
        "mailbox.read_mailbox(now=timezone.now())\n"
    )
    environment = process_environment | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PYTHONPATH": str(ROOT),
        "IMAP_URL": dovecot.url(),
        "IMAP_PASSWORD": PASSWORD,
        "IMAP_CA_FILE": dovecot.certificate,
    }
    dovecot.put(mail(), mail(message_id="<2@x>"))
    process = subprocess.Popen([sys.executable, str(script)], env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"kept\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert ReceivedMail.objects.count() == 1
    assert not any(DONE in line for line in dovecot.flags())

    assert read() == 2
    assert ReceivedMail.objects.count() == Message.objects.filter(kind="mail_received").count() == 2
    assert all(DONE in line for line in dovecot.flags())
    assert read() == 0


@contextmanager
def cut_off_after(n_bytes: int, port: int) -> Iterator[int]:
    """A way to the server that breaks after so many bytes from it; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def carry() -> None:
            client, _address = listener.accept()
            with client, socket.create_connection(("127.0.0.1", port)) as server:
                back = threading.Thread(target=_pump, args=(client, server, 10**9))
                back.start()
                _pump(server, client, n_bytes)
                for wire in (client, server):
                    # Its other end may have gone first.
                    with suppress(OSError):
                        wire.shutdown(socket.SHUT_RDWR)
                back.join()

        thread = threading.Thread(target=carry)
        thread.start()
        yield int(listener.getsockname()[1])
        thread.join()


def _pump(source: socket.socket, target: socket.socket, n_bytes: int) -> None:
    try:
        while n_bytes > 0 and (data := source.recv(min(4_096, n_bytes))):
            target.sendall(data)
            n_bytes -= len(data)
    except OSError:
        pass


@pytest.mark.parametrize("n_bytes", [5, 700, 3_000, 60_000])
def test_connection_that_breaks_is_taken_up_again(
    dovecot: Dovecot, settings: Any, caplog: pytest.LogCaptureFixture, n_bytes: int
) -> None:
    dovecot.put(*(mail(BODY + "あ" * 20_000, message_id=f"<{n}@x>") for n in range(3)))
    with cut_off_after(n_bytes, dovecot.plain_port) as port:
        settings.IMAP_URL = dovecot.url("imap", port=port)
        read()
    assert [record.levelname for record in caplog.records if record.name == "intake.mailbox"] == ["ERROR"]
    assert mailbox_status()["trouble"] in {"broken_off", "unreachable"}
    assert ReceivedMail.objects.count() < 3
    settings.IMAP_URL = dovecot.url("imap")
    read()
    assert ReceivedMail.objects.count() == 3
    assert all(DONE in line for line in dovecot.flags())


def _wrong_password(settings: Any, _dovecot: Dovecot) -> None:
    settings.IMAP_PASSWORD = "not this one"


def _nobody_there(settings: Any, dovecot: Dovecot) -> None:
    settings.IMAP_URL = dovecot.url(port=free_port())


def _strange_certificate(settings: Any, _dovecot: Dovecot) -> None:
    settings.IMAP_CA_FILE = ""


def _no_such_folder(settings: Any, dovecot: Dovecot) -> None:
    settings.IMAP_URL = dovecot.url(folder="Nowhere")


def _typo(settings: Any, _dovecot: Dovecot) -> None:
    settings.IMAP_URL = "imap.example.jp"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_wrong_password, "login_refused"),
        (_nobody_there, "unreachable"),
        (_strange_certificate, "tls"),
        (_no_such_folder, "no_folder"),
        (_typo, "bad_url"),
    ],
)
def test_what_is_wrong_is_one_clear_line_and_the_next_reading_works(
    dovecot: Dovecot,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Any, Dovecot], None],
    reason: str,
) -> None:
    dovecot.put(mail())
    spoil(settings, dovecot)
    assert read() == 0
    (line,) = [record for record in caplog.records if record.name.startswith("intake")]
    assert (line.getMessage(), line.__dict__["data"]) == ("mailbox not read", {"reason": reason})
    assert line.exc_info is None
    assert "not this one" not in caplog.text
    assert mailbox_status()["trouble"] == reason
    settings.IMAP_URL, settings.IMAP_PASSWORD = dovecot.url(), PASSWORD
    settings.IMAP_CA_FILE = dovecot.certificate
    assert read() == 1
    assert mailbox_status()["trouble"] == ""


def test_server_without_keywords_wants_a_folder(
    dovecot: Dovecot, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = imaplib.IMAP4.response

    def without(client: imaplib.IMAP4, code: str) -> Any:
        return (code, [rb"(\Seen \Deleted)"]) if code == "PERMANENTFLAGS" else told(client, code)

    monkeypatch.setattr(imaplib.IMAP4, "response", without)
    dovecot.put(mail())
    assert read() == 0
    assert mailbox_status()["trouble"] == "no_keywords"
    settings.IMAP_DONE_FOLDER = "Done"
    assert read() == 1


def test_two_readers_at_once_keep_each_mail_once(dovecot: Dovecot) -> None:
    dovecot.put(*(mail(message_id=f"<{n}@x>") for n in range(12)))

    def work() -> None:
        try:
            read()
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ReceivedMail.objects.count() == 12
    assert all(DONE in line for line in dovecot.flags())
    assert read() == 0


def test_without_a_mailbox_nothing_is_read(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    settings.IMAP_URL = ""
    assert read() == 0
    assert caplog.records == []
