"""The acknowledgement of a mail: that it arrived, and under which number."""

from datetime import datetime

from intake.models import ReceivedMail
from notifications import registry
from notifications.models import Message
from notifications.registry import Mail

NOTE = "answer_returned"


def mail_received(message: Message) -> Mail | None:
    """To the sender, in the mail's language. Repeats nothing of it: the address may be somebody else's."""
    mail = ReceivedMail.objects.filter(public_id=message.recipient_ref).first()
    if mail is None or not mail.from_address:
        return None
    return Mail(
        address=mail.from_address,
        # A name that a stranger wrote would make our mail say what they like.
        name=mail.contact.name if mail.contact else "",
        language=mail.language,
        context={"number": mail.public_id},
        answers=mail.message_id,
    )


def note_returned(message: Message, *, now: datetime) -> None:  # noqa: ARG001 - the callback's signature
    """An acknowledgement that nobody took says something about the sender: it is shown beside the mail."""
    mail = ReceivedMail.objects.select_for_update().filter(public_id=message.recipient_ref).first()
    if mail is not None and NOTE not in mail.notes:
        mail.notes = [*mail.notes, NOTE]
        mail.save(update_fields=["notes"])


def register_mails() -> None:
    """Tell the outbox of this mail. From `AppConfig.ready`."""
    registry.register("intake", mail_received)
    registry.on_undeliverable("mail_received", note_returned)
