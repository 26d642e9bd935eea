"""Who may see received mails."""

from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.roles import Permission
from core.errors import NotFound
from intake.models import ReceivedMail


def find_mail(user: User, number: str) -> ReceivedMail:
    """The mail with this number, for someone who may see mails. NotFound otherwise."""
    mail = (
        ReceivedMail.objects.select_related("partner", "contact", "staff", "request", "settled_by")
        .defer("raw")
        .filter(public_id=number)
        .first()
    )
    if mail is None or not user.may(Permission.SEE_MAIL):
        raise NotFound(_("There is no such mail."))
    return mail
