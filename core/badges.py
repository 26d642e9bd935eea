"""How each state looks: words, icon and tone, in one table (UX: one worst condition, in words)."""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

TONES = ("ok", "warn", "bad", "info", "mute")


@dataclass(frozen=True, slots=True)
class Look:
    """A badge: translated words, an icon of `static/img/icons.svg`, one of TONES."""

    text: str | Promise
    icon: str
    tone: str


LOOKS: dict[str, dict[str, Look]] = {
    "key": {
        "pending": Look(_("Awaiting delivery"), "handover", "info"),
        "active": Look(_("Active"), "ok", "ok"),
        "retiring": Look(_("Retiring"), "sunset", "warn"),
        "suspended": Look(_("Suspended"), "pause", "mute"),
        "revoked": Look(_("Revoked"), "ban", "mute"),
        "expired": Look(_("Expired"), "clock", "mute"),
        # Conditions: what is most wrong with a key whose status alone would look fine.
        "undelivered": Look(_("Not delivered"), "mail-x", "warn"),
        "expiring": Look(_("Expires soon"), "clock", "warn"),
        "rotating": Look(_("Rotating"), "rotate", "info"),
        "rotation_due": Look(_("Rotation due"), "rotate", "warn"),
        "rotation_late": Look(_("Rotation late"), "rotate", "bad"),
        "unused": Look(_("Unused"), "hourglass", "warn"),
        "limit_near": Look(_("Near its limit"), "gauge", "warn"),
        "anomaly": Look(_("Anomaly"), "alert", "bad"),
        "quarantined": Look(_("Quarantine"), "shield", "bad"),
    },
    "secret": {
        "sealed": Look(_("Not yet revealed"), "lock", "info"),
        "pending": Look(_("Not yet revealed"), "lock", "info"),
        "live": Look(_("Live"), "ok", "ok"),
        "overlap": Look(_("Overlap"), "rotate", "info"),
        "retired": Look(_("Retired"), "sunset", "mute"),
        "revoked": Look(_("Revoked"), "ban", "mute"),
    },
    "request": {
        "draft": Look(_("Draft"), "edit", "mute"),
        "submitted": Look(_("In approval"), "hourglass", "info"),
        "in_approval": Look(_("In approval"), "hourglass", "info"),
        "in_review": Look(_("In approval"), "hourglass", "info"),
        "changes_wanted": Look(_("Changes wanted"), "undo", "warn"),
        "approved": Look(_("Approved"), "ok", "ok"),
        "issued": Look(_("Issued"), "key", "ok"),
        "rejected": Look(_("Rejected"), "reject", "bad"),
        "withdrawn": Look(_("Withdrawn"), "skip", "mute"),
        "expired": Look(_("Expired"), "clock", "mute"),
        "frozen": Look(_("Frozen"), "freeze", "bad"),
    },
    "policy": {
        "draft": Look(_("Draft"), "edit", "mute"),
        "proposed": Look(_("Waits for a second person"), "hourglass", "warn"),
        "current": Look(pgettext_lazy("policy", "In force"), "ok", "ok"),
        "past": Look(_("Was in force"), "clock", "mute"),
        "rejected": Look(_("Rejected"), "reject", "bad"),
        "withdrawn": Look(_("Withdrawn"), "skip", "mute"),
    },
    "step": {
        "waiting": Look(_("Not yet"), "waiting", "mute"),
        "pending": Look(_("Awaiting a decision"), "current", "info"),
        "open": Look(_("Awaiting a decision"), "current", "info"),
        "approved": Look(_("Approved"), "ok", "ok"),
        "rejected": Look(_("Rejected"), "reject", "bad"),
        "changes_wanted": Look(_("Changes wanted"), "undo", "warn"),
        "skipped": Look(_("Not needed"), "skip", "mute"),
        "stands": Look(_("Stands"), "ok", "ok"),
        "doubted": Look(_("In doubt"), "freeze", "bad"),
        "void": Look(_("Void"), "undo", "mute"),
        "voided": Look(_("Void"), "undo", "mute"),
        "cancelled": Look(_("Cancelled"), "skip", "mute"),
        "closed": Look(_("Closed"), "skip", "mute"),
        "expired": Look(_("Expired"), "clock", "mute"),
        "undeliverable": Look(_("Mail undeliverable"), "mail-x", "bad"),
    },
    "delegation": {
        "planned": Look(_("Planned"), "calendar", "info"),
        "in_force": Look(_("Standing in"), "current", "ok"),
        "ended": Look(_("Ended"), "skip", "mute"),
    },
    "change": {
        "draft": Look(_("Draft"), "edit", "mute"),
        "in_review": Look(_("In approval"), "hourglass", "info"),
        "scheduled": Look(_("Waits for its time"), "calendar", "info"),
        "applied": Look(_("Applied"), "ok", "ok"),
        "rolled_back": Look(_("Rolled back"), "undo", "warn"),
        "failed": Look(_("Could not be applied"), "alert", "bad"),
        "cancelled": Look(_("Cancelled before its time"), "skip", "mute"),
        "closed": Look(_("Not approved"), "reject", "mute"),
    },
    "delivery": {
        "waiting": Look(_("Link sent"), "send", "info"),
        "sent": Look(_("Link sent"), "send", "info"),
        "opened": Look(_("Link opened"), "eye", "info"),
        "revealed": Look(_("Revealed"), "eye", "info"),
        "confirmed": Look(_("Confirmed as stored"), "ok", "ok"),
        "replaced": Look(_("Replaced by another link"), "undo", "mute"),
        "expired": Look(_("Expired"), "clock", "mute"),
        "cancelled": Look(_("Cancelled"), "skip", "mute"),
    },
    "contract": {
        "draft": Look(_("Draft"), "edit", "mute"),
        "upcoming": Look(_("Not begun"), "calendar", "info"),
        "active": Look(_("In force"), "ok", "ok"),
        "ending": Look(_("Ends soon"), "clock", "warn"),
        "ended": Look(_("Ended"), "skip", "mute"),
    },
    "identity": {
        "none": Look(_("Identity not checked"), "alert", "warn"),
        "pending": Look(_("Identity not checked"), "alert", "warn"),
        "passed": Look(_("Identity checked"), "shield-ok", "ok"),
        "failed": Look(_("Identity check failed"), "reject", "bad"),
    },
    "partner": {
        "active": Look(_("Active"), "ok", "ok"),
        "suspended": Look(_("Suspended"), "pause", "mute"),
        "ended": Look(_("Ended"), "skip", "mute"),
    },
    "gateway": {
        "active": Look(_("Active"), "ok", "ok"),
        "disabled": Look(_("Disabled"), "pause", "mute"),
        "silent": Look(_("Silent"), "hourglass", "warn"),
    },
    "message": {
        "pending": Look(_("Queued"), "hourglass", "info"),
        "queued": Look(_("Queued"), "hourglass", "info"),
        "sending": Look(_("Sending"), "send", "info"),
        "sent": Look(_("Sent"), "ok", "ok"),
        "retrying": Look(_("Will be tried again"), "rotate", "warn"),
        "failed": Look(_("Failed"), "reject", "bad"),
        "bounced": Look(_("Bounced"), "mail-x", "bad"),
        "cancelled": Look(_("Cancelled"), "skip", "mute"),
    },
    "mail": {
        "waiting": Look(_("Waiting for somebody"), "inbox", "info"),
        "unreadable": Look(_("Could not be read"), "alert", "warn"),
        "taken": Look(_("Taken over"), "ok", "ok"),
        "set_aside": Look(_("Set aside"), "skip", "mute"),
        "bounce": Look(_("Returned mail"), "mail-x", "mute"),
        "automatic": Look(_("Automatic answer"), "rotate", "mute"),
    },
    "staff": {
        "active": Look(_("Active"), "ok", "ok"),
        "invited": Look(_("Invited"), "mail", "info"),
        "left": Look(_("Left"), "user-off", "mute"),
    },
}


def look_of(kind: str, state: str) -> Look:
    """The look of a state. Raises KeyError for one that the table does not know: a badge never guesses."""
    return LOOKS[kind][str(state)]
