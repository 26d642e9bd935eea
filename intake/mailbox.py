"""Reading the request address's mailbox over IMAP (R4).

A message is marked (or moved) only after the transaction that keeps it has committed. Whoever is killed in
between marks nothing, and the next reading finds the message again and knows it: nothing is lost, nothing is
kept twice. Two readings at once do the same work twice, and nothing else.
"""

import imaplib
import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.cache import cache
from django.utils import timezone
from imap_tools import BaseMailBox, MailBox, MailBoxStartTls, MailBoxUnencrypted
from imap_tools.errors import ImapToolsError, MailboxLoginError

from intake.services.receiving import receive_mail

logger = logging.getLogger(__name__)

DONE = "KagibanDone"
BATCH = 50
SCHEMES = {"imaps": 993, "imap+starttls": 143, "imap": 143}
STATUS_KEY = "intake:mailbox"
REMEMBERED_S = 7 * 86_400


class MailboxError(Exception):
    """The mailbox could not be read: `code` is one of CODES, and all that is logged or shown."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Place:
    """Where the mailbox is. Its `repr` shows no password."""

    scheme: str
    host: str
    port: int
    user: str
    folder: str

    @property
    def is_near(self) -> bool:
        """Whether it is on this machine, where a connection needs no TLS."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse_place(url: str) -> tuple[Place, str]:
    """`imaps://user:password@host:993/INBOX` → where it is, and the password (may be empty).

    User and password are percent-encoded. ValueError for anything that is no such address.
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.hostname or not parts.username:
        raise ValueError("IMAP_URL looks like imaps://user:password@host/INBOX.")
    place = Place(
        scheme=parts.scheme,
        host=parts.hostname,
        port=parts.port or SCHEMES[parts.scheme],
        user=unquote(parts.username),
        folder=unquote(parts.path.strip("/")) or "INBOX",
    )
    return place, unquote(parts.password or "")


def read_mailbox(*, now: datetime) -> int:
    """Keep every new message, up to BATCH; returns how many there were. 0 when no mailbox is set.

    What goes wrong is one line in the log and on the page, without the server's words, and is tried again at
    the next call. Raises only when our own database is away.
    """
    if not settings.IMAP_URL:
        return 0
    try:
        n_read = _read()
    except MailboxError as error:
        # Without a traceback, whose last line may be the server's own words.
        logger.error("mailbox not read", extra={"data": {"reason": error.code}})  # noqa: TRY400
        _remember(now, error.code)
        return 0
    _remember(now, "")
    return n_read


def mailbox_status() -> dict[str, object]:
    """`{"at": datetime, "trouble": code}` of the last reading; empty when there was none."""
    found = cache.get(STATUS_KEY)
    return found if isinstance(found, dict) else {}


def _remember(now: datetime, trouble: str) -> None:
    cache.set(STATUS_KEY, {"at": now, "trouble": trouble}, REMEMBERED_S)


def _read() -> int:
    n_read = 0
    with _signed_in() as mailbox:
        for uid in _new_messages(mailbox)[:BATCH]:
            raw, is_cut = _fetch(mailbox, uid)
            if raw is None:
                continue  # somebody else took it out of the folder
            receive_mail(raw=raw, via="imap", now=timezone.now(), is_cut=is_cut)
            _mark(mailbox, uid)
            n_read += 1
    return n_read


@contextmanager
def _signed_in() -> Iterator[BaseMailBox]:
    """The open folder. Whatever the server or the way to it does wrong becomes a MailboxError."""
    try:
        place, password = parse_place(settings.IMAP_URL)
    except ValueError:
        raise MailboxError("bad_url") from None
    try:
        mailbox = _connect(place)
    except (OSError, imaplib.IMAP4.error, ImapToolsError) as error:
        raise MailboxError("tls" if isinstance(error, ssl.SSLError) else "unreachable") from None
    try:
        try:
            mailbox.login(place.user, settings.IMAP_PASSWORD or password, initial_folder=None)
        except (MailboxLoginError, imaplib.IMAP4.error) as error:
            code = "unreachable" if isinstance(error, imaplib.IMAP4.abort) else "login_refused"
            raise MailboxError(code) from None
        try:
            mailbox.folder.set(place.folder)
        except ImapToolsError:
            raise MailboxError("no_folder") from None
        yield mailbox
    except (OSError, imaplib.IMAP4.error, ImapToolsError):
        raise MailboxError("broken_off") from None
    finally:
        _close(mailbox)


def _connect(place: Place) -> BaseMailBox:
    timeout = settings.IMAP_TIMEOUT
    if place.scheme == "imap":
        if not place.is_near:
            raise MailboxError("not_encrypted")
        return MailBoxUnencrypted(place.host, place.port, timeout)
    context = ssl.create_default_context(cafile=settings.IMAP_CA_FILE or None)
    if place.scheme == "imaps":
        return MailBox(place.host, place.port, timeout, ssl_context=context)
    return MailBoxStartTls(place.host, place.port, timeout, ssl_context=context)


def _close(mailbox: BaseMailBox) -> None:
    try:
        mailbox.client.shutdown() if mailbox.client.state == "LOGOUT" else mailbox.client.logout()
    except (OSError, imaplib.IMAP4.error):
        mailbox.client.shutdown()


def _new_messages(mailbox: BaseMailBox) -> list[str]:
    """What was not processed: all, where processed ones are moved, else what lacks a keyword of our own.

    Not what is unseen: somebody who looks into the mailbox makes messages "seen". A server that keeps no
    keywords would show us the same messages for ever, and the newer ones never.
    """
    if settings.IMAP_DONE_FOLDER:
        return mailbox.uids("UNDELETED")
    _name, answer = mailbox.client.response("PERMANENTFLAGS")
    flags = b" ".join(line for line in answer if line)
    if flags and rb"\*" not in flags and DONE.encode() not in flags:
        raise MailboxError("no_keywords")
    return mailbox.uids(f"UNKEYWORD {DONE} UNDELETED")


def _fetch(mailbox: BaseMailBox, uid: str) -> tuple[bytes | None, bool]:
    """The message's first INTAKE_MAX_BYTES, and whether there are more: a larger one never comes over."""
    limit = settings.INTAKE_MAX_BYTES
    status, answer = mailbox.client.uid("FETCH", uid, f"(BODY.PEEK[]<0.{limit + 1}>)")
    if status != "OK":
        raise MailboxError("broken_off")
    found = [part[1] for part in answer if isinstance(part, tuple) and isinstance(part[1], bytes)]
    if not found:
        return None, False
    return found[0][:limit], len(found[0]) > limit


def _mark(mailbox: BaseMailBox, uid: str) -> None:
    if not settings.IMAP_DONE_FOLDER:
        mailbox.flag(uid, [DONE], True)
        return
    if not mailbox.folder.exists(settings.IMAP_DONE_FOLDER):
        mailbox.folder.create(settings.IMAP_DONE_FOLDER)
    mailbox.move(uid, settings.IMAP_DONE_FOLDER)
