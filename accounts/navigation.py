"""What stands in the navigation, and who sees it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.roles import Permission

if TYPE_CHECKING:
    from accounts.models import User

Counter = Callable[["User"], int]
_counters: dict[str, Counter] = {}


@dataclass(frozen=True, slots=True)
class Entry:
    """A place of the portal. `permissions`: any of them is enough; none means everyone."""

    label: str | Promise
    icon: str
    url_name: str
    permissions: frozenset[Permission] = frozenset()


@dataclass(frozen=True, slots=True)
class Link:
    """An entry as one person sees it on one page."""

    label: str | Promise
    icon: str
    url: str
    current: bool
    n: int


ENTRIES: tuple[Entry, ...] = (
    Entry(_("Home"), "home", "home"),
    Entry(_("Key registry"), "list", "keys:key-list", frozenset({Permission.SEE_KEYS})),
    Entry(_("Approvals queue"), "checklist", "approvals:queue", frozenset({Permission.SEE_REQUESTS})),
    Entry(
        _("Requests"),
        "request",
        "approvals:request-list",
        frozenset({Permission.SEE_REQUESTS, Permission.MAKE_REQUESTS}),
    ),
    Entry(
        _("Deputies"),
        "calendar",
        "approvals:delegation-list",
        frozenset({Permission.DECIDE, Permission.SEE_AUDIT}),
    ),
    Entry(_("Mail requests"), "inbox", "intake:mail-list", frozenset({Permission.SEE_MAIL})),
    Entry(_("Partners"), "partner", "partners:partner-list", frozenset({Permission.SEE_PARTNERS})),
    Entry(
        _("Approval policy"),
        "scale",
        "approvals:policy-list",
        frozenset({Permission.EDIT_POLICY, Permission.APPROVE_POLICY}),
    ),
    Entry(_("Audit log"), "audit", "audit:event-list", frozenset({Permission.SEE_AUDIT})),
    Entry(_("Team and permissions"), "team", "accounts:staff-list", frozenset({Permission.SEE_STAFF})),
    Entry(_("Gateways"), "gateway", "verifier:gateway-list", frozenset({Permission.SEE_GATEWAYS})),
    Entry(_("Notifications"), "mail", "notifications:message-list", frozenset({Permission.SEE_MESSAGES})),
)


def register_counter(url_name: str, count: Counter) -> None:
    """Let an app above show how much waits for a person behind an entry (called from `AppConfig.ready`)."""
    _counters[url_name] = count


def links_for(user: "User", request: HttpRequest) -> list[Link]:
    """The entries that this person may open, in order."""
    path = request.path
    here = [(entry, _url(entry.url_name)) for entry in ENTRIES if _may_see(user, entry)]
    return [
        Link(
            label=entry.label,
            icon=entry.icon,
            url=url,
            current=path == url or (url != "/" and path.startswith(url)),
            n=_counters[entry.url_name](user) if entry.url_name in _counters else 0,
        )
        for entry, url in here
        if url
    ]


def _may_see(user: "User", entry: Entry) -> bool:
    return not entry.permissions or any(user.may(permission) for permission in entry.permissions)


def _url(name: str) -> str:
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""
