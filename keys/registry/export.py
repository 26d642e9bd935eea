"""The registry as a file: its columns, in the order that the office's spreadsheet had (K4)."""

from collections.abc import Sequence

from django.utils.translation import gettext_lazy as _

from core.exports import Cell
from keys.catalogue.selectors import local_name
from keys.models import Key
from keys.terms.terms import last_day

HEADER = (
    _("Partner"),
    _("Key ID"),
    _("API products"),
    _("Expires"),
    _("Name"),
    _("Status"),
    _("Environment"),
    _("Plan"),
    _("Scopes"),
    _("Workspace"),
    _("Owner"),
    _("Recipient"),
    _("Requests a minute"),
    _("Requests an hour"),
    _("IP ranges"),
    _("Rotation due"),
    _("Last used"),
    _("Issued"),
    _("Ended"),
    _("Reason"),
)


def cells_of(key: Key) -> Sequence[Cell]:
    """One key's cells, in the order of HEADER."""
    return (
        key.partner.name,
        key.public_id,
        ", ".join(local_name(product) for product in key.products.all()),
        last_day(key),
        key.name,
        key.get_status_display(),
        key.get_environment_display(),
        key.plan.name,
        " ".join(key.scopes),
        key.workspace.name,
        key.owner.name,
        key.recipient.name,
        key.rpm,
        key.rph,
        " ".join(key.ip_ranges),
        key.rotation_due_on,
        key.last_used_at,
        key.issued_at,
        key.ended_at,
        key.get_revoke_reason_display() or key.status_reason or " ".join(str(hold) for hold in key.holds),
    )
