"""The mails of grants: a key may act in another workspace (V2)."""

from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from keys.models import WorkspaceGrant
from keys.status.mails import key_mail
from notifications.models import Message
from notifications.registry import Mail
from partners.mails import Fact, when_text


def workspace_granted(message: Message) -> Mail | None:
    """To PMs and owners: a key may act in another workspace. Not sent once that has ended."""
    grant = _find_grant(message)
    if not grant.is_in_force(timezone.now()):
        return None
    return _grant_mail(message, grant, (_("Granted by"), grant.granted_by.name), grant.reason, grant.ends_at)


def workspace_grant_ended(message: Message) -> Mail | None:
    """To PMs and owners: that was taken back, or its last day is over."""
    grant = _find_grant(message)
    if grant.taken_back_by is not None and grant.taken_back_at is not None:
        by = (_("Taken back by"), grant.taken_back_by.name)
        return _grant_mail(message, grant, by, grant.end_reason, grant.taken_back_at)
    if grant.end_told_at is None:
        return None
    return _grant_mail(message, grant, (_("Granted by"), grant.granted_by.name), grant.reason, grant.ends_at)


def _find_grant(message: Message) -> WorkspaceGrant:
    related = ("key__partner", "key__recipient", "workspace", "granted_by", "taken_back_by")
    return WorkspaceGrant.objects.select_related(*related).get(uid=message.context["grant"])


def _grant_mail(message: Message, grant: WorkspaceGrant, by: Fact, reason: str, at: datetime) -> Mail:
    where = f"{grant.workspace.name} ({grant.workspace.code})"
    return key_mail(
        message,
        grant.key,
        by,
        (_("Reason"), reason),
        workspace=where,
        ends=when_text(at),
        taken_back=grant.taken_back_at is not None,
    )


BUILDERS = (workspace_granted, workspace_grant_ended)
