"""Keeping a mail that arrived: exactly once, whatever its bytes are, and answering it (R4)."""

import logging
import zlib
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from email.utils import parseaddr

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction

from audit.actions import Action
from audit.services import record
from core.actors import SYSTEM
from core.ids import next_public_id, ref, refs
from core.sealing import seal
from intake.charsets import UNREADABLE
from intake.fields import ASKS, read_fields
from intake.letters import Letter, identity_of, is_by_the_rules, read_letter
from intake.models import PURPOSE, ReceivedMail
from intake.senders import Guess, guess_sender
from intake.tokens import known_tokens
from notifications.models import BounceReport
from notifications.services import enqueue
from notifications.services.bounces import report_bounce

logger = logging.getLogger(__name__)
Kind, State = ReceivedMail.Kind, ReceivedMail.State
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a message. `is_new` is False for one that was kept before."""

    mail: ReceivedMail
    is_new: bool


def receive_mail(*, raw: bytes, via: str, now: datetime, is_cut: bool = False) -> Receipt:
    """Keep a mail as a request to be taken over, as one that could not be read, or as a returned mail.

    `is_cut` says that the mail was longer than `raw`. Raises only when the database is away: then nothing was
    kept, and whoever has the mail must come again. A mail that was kept before changes nothing.
    """
    identity = identity_of(raw)
    known = ReceivedMail.objects.filter(identity=identity).first()
    if known is not None:
        return Receipt(known, is_new=False)
    try:
        return _keep(_Arrival(raw, read_letter(raw, known_tokens), identity, via, is_cut), now)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:  # noqa: BLE001  # a mail that nobody foresaw is kept all the same
        logger.warning("mail not understood", extra={"data": {"error": type(error).__name__}})
        return _keep(_Arrival(raw, Letter(trouble="broken", raw=raw), identity, via, is_cut), now)


@dataclass(frozen=True, slots=True)
class _Arrival:
    raw: bytes
    letter: Letter
    identity: str
    via: str
    is_cut: bool


@transaction.atomic
def _keep(arrival: _Arrival, now: datetime) -> Receipt:
    mail = _row_of(arrival, now)
    made = ReceivedMail.objects.bulk_create([mail], ignore_conflicts=True)
    if not ReceivedMail.objects.filter(public_id=made[0].public_id).exists():
        # Another process kept it between our look and our write.
        return Receipt(ReceivedMail.objects.get(identity=arrival.identity), is_new=False)
    mail = ReceivedMail.objects.get(public_id=mail.public_id)
    record(
        Action.MAIL_RECEIVED,
        actor=SYSTEM(f"intake.{arrival.via}"),
        objects=refs(mail, mail.partner),
        payload={"kind": mail.kind, "via": arrival.via},
        now=now,
    )
    if arrival.letter.bounce is not None:
        _report(mail, arrival.letter, now)
    elif arrival.letter.may_answer:
        _answer(mail, now)
    return Receipt(mail, is_new=True)


def _row_of(arrival: _Arrival, now: datetime) -> ReceivedMail:
    letter = arrival.letter
    found = read_fields(letter.text) if letter.bounce is None else {}
    kind = _kind_of(letter, found)
    guess = guess_sender(letter.from_address, found) if kind in {Kind.REQUEST, Kind.UNREADABLE} else Guess()
    return ReceivedMail(
        public_id=next_public_id("MR"),
        identity=arrival.identity,
        kind=kind,
        state=State.WAITING if kind in {Kind.REQUEST, Kind.UNREADABLE} else State.FILED,
        trouble=(letter.trouble or "no_fields") if kind == Kind.UNREADABLE else "",
        notes=_notes(arrival),
        via=arrival.via,
        received_at=now,
        message_id=letter.message_id,
        subject=letter.subject,
        from_name=letter.from_name,
        from_address=letter.from_address,
        language=letter.language,
        text=letter.text,
        found=found,
        attachments=[asdict(attachment) for attachment in letter.attachments],
        raw=seal(zlib.compress(letter.raw), purpose=PURPOSE) if letter.raw else "",
        n_bytes=len(arrival.raw),
        partner=guess.partner,
        matched_by=guess.matched_by,
        contact=guess.contact,
        staff=guess.staff,
    )


def _kind_of(letter: Letter, found: dict[str, str]) -> ReceivedMail.Kind:
    if letter.bounce is not None:
        return Kind.BOUNCE
    if letter.is_automatic or letter.from_address.lower() in _own_addresses():
        return Kind.AUTOMATIC
    return Kind.REQUEST if ASKS & found.keys() else Kind.UNREADABLE


def _notes(arrival: _Arrival) -> list[str]:
    letter = arrival.letter
    notes = {
        "held_secret": letter.held_secret and letter.bounce is None,
        "raw_dropped": letter.raw is None and letter.bounce is None,
        "raw_cut": arrival.is_cut,
        "text_cut": letter.is_text_cut,
        "garbled": UNREADABLE in letter.subject + letter.text,
        "address_unusual": bool(letter.from_address) and not is_by_the_rules(letter.from_address),
    }
    return [note for note, holds in notes.items() if holds]


def _report(mail: ReceivedMail, letter: Letter, now: datetime) -> None:
    bounce = letter.bounce
    assert bounce is not None
    if not bounce.is_clear:
        _show(mail, "bounce_unclear")
        return
    verdict = report_bounce(
        event_id=ref(mail),
        uid=bounce.uid,
        is_final=bounce.is_final,
        status=bounce.status,
        now=now,
    )
    if verdict == BounceReport.Verdict.UNKNOWN:
        _show(mail, "bounce_unknown")
        return
    mail.notes = [*mail.notes, f"bounce_{verdict}"]
    mail.save(update_fields=["notes"])


def _show(mail: ReceivedMail, note: str) -> None:
    """What a report leaves open is for a person to look at: a step may wait for somebody who never heard."""
    mail.notes, mail.state = [*mail.notes, note], State.WAITING
    mail.save(update_fields=["notes", "state"])


# --- the acknowledgement ------------------------------------------------------------------------------------


def _answer(mail: ReceivedMail, now: datetime) -> None:
    """Acknowledge a mail, unless the sender was answered often enough today: two machines must not talk.

    The sender's lock makes two arrivals at once count one after the other.
    """
    sender = mail.from_address.lower()
    if mail.state != State.WAITING or sender in _own_addresses():
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"intake:{sender}"])
    answered = ReceivedMail.objects.filter(from_address__iexact=sender, answered_at__gt=now - DAY)
    if answered.count() >= settings.INTAKE_ANSWERS_PER_DAY:
        return
    enqueue(
        "mail_received",
        recipient_ref=mail.public_id,
        context={},
        dedupe_key=f"mail_received:{mail.public_id}",
        objects=refs(mail),
        now=now,
    )
    mail.answered_at = now
    mail.save(update_fields=["answered_at"])


def _own_addresses() -> set[str]:
    own = (settings.DEFAULT_FROM_EMAIL, settings.INTAKE_ADDRESS, settings.BOUNCE_ADDRESS)
    return {parseaddr(address)[1].lower() for address in own} - {""}
