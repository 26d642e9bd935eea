"""What happened to a request, told for people: who, when, why, day by day; built from the audit log (L3).

The log has a line for each mail and each click. The story leaves out what only proves something, and says
the rest in sentences. Whoever may see the log gets more of it, and the way to each event.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.roles import Permission
from approvals.models import Request
from audit.models import Event
from audit.names import names_of
from audit.selectors import line_of, who_for_whom
from audit.wording import STEPS, look_of
from core.ids import refs
from core.wording import due_text, duration_text

LONGEST = 500

# %(who)s acted; %(step)s, %(people)s, %(recipient)s, %(steps)s, %(key)s come from what the event carries.
SENTENCES: Mapping[str, str | Promise] = {
    "request.drafted": _("%(who)s began this request."),
    "request.edited": _("%(who)s saved the draft."),
    "request.submitted": _("%(who)s submitted it. It needs: %(steps)s."),
    "request.resubmitted": _("%(who)s changed it and submitted it again. It needs: %(steps)s."),
    "request.withdrawn": _("%(who)s withdrew it."),
    "request.approved": _("Every approval was given, and it was granted."),
    "request.expired": _("Nobody decided in time, so it ended. Silence never approves."),
    "step.opened": _("%(step)s was asked: %(people)s."),
    "step.approved": _("%(who)s approved it as %(step)s."),
    "step.rejected": _("%(who)s rejected it as %(step)s. With that it ended."),
    "step.changes_wanted": _("%(who)s asked for changes as %(step)s. It went back to the requester."),
    "request.pulled_back": _("%(who)s took it back to edit it."),
    "step.stands": _("The approval by %(step)s still stands on the new revision."),
    "step.fell": _("The approval by %(step)s fell: what it was about was changed."),
    "step.added": _("Now %(step)s is needed, too."),
    "step.dropped": _("%(step)s is not needed any more."),
    "step.stuck": _("Nobody could decide as %(step)s. Security and the administrators were told."),
    "step.undeliverable": _("The mail to %(step)s came back."),
    "link.renewed": _("%(recipient)s was sent a new link."),
    "link.sent": _("A link went to %(recipient)s."),
}
# Said by another sentence, at the same moment.
FOLDED = {"request.rejected", "request.sent_back", "key.issued", "delivery.sent"}
# For whoever keeps watch over the log; nobody else needs to know who opened or mistyped what.
FOR_THE_LOG = {"link.expired", "consent.code_sent", "consent.code_failed", "consent.code_passed"}
# Void, or its step is another one: nothing that it was about was changed.
FELL_OTHERWISE = _("The approval by %(step)s counts no more on the new revision.")
CONSENTED = _("%(who)s consented, signing as %(capacity)s.")
FOUND = {
    "stands": _("%(who)s looked into the doubtful answer of %(step)s: it stands."),
    "again": _("%(who)s found the answer of %(step)s void. It went back to the requester, to be asked anew."),
    "rejected": _("%(who)s found the answer of %(step)s void. What it led to has ended."),
}
REFUSED = _("%(who)s did not consent, signing as %(capacity)s. With that it ended.")
ASKED_TO_CONSENT = _("The rights-holder was asked to consent.")


@dataclass(frozen=True, slots=True)
class Entry:
    """One sentence of the story. `why` is the reason somebody typed; `event` is None without the log."""

    at: datetime
    sentence: str
    why: str
    aside: str
    icon: str
    tone: str
    event: UUID | None


@dataclass(frozen=True, slots=True)
class Day:
    """What happened on one day of the reader's zone, newest first."""

    day: date
    entries: Sequence[Entry]


def story_of(request: Request, *, reader: User) -> list[Day]:
    """The story of a request that the reader may see, newest first, in a constant number of queries."""
    sees_log = reader.may(Permission.SEE_AUDIT)
    events = [
        event
        for event in Event.objects.filter(objects_touched__contains=refs(request))
        .exclude(action__in=FOLDED if sees_log else FOLDED | FOR_THE_LOG)
        .order_by("id")[:LONGEST]
        if not _is_staffs_first_link(event)
    ]
    names = names_of(_refs_in(events))
    asked = {(event.payload.get("step"), event.payload.get("revision")): event for event in _asking(events)}
    entries = [
        replace(_entry(run, names, asked), event=run[-1].uid if sees_log else None) for run in _runs(events)
    ]
    days = groupby(entries, key=lambda entry: timezone.localdate(entry.at))
    return [Day(day, list(of_day)[::-1]) for day, of_day in days][::-1]


def _is_staffs_first_link(event: Event) -> bool:
    """The step's opening names the staff who were asked; a contact is named by the link alone."""
    return event.action == "link.sent" and event.payload.get("step") != "rights_holder"


def _refs_in(events: Iterable[Event]) -> set[str]:
    refs: set[str] = set()
    for event in events:
        refs.add(event.actor_ref)
        refs.update(thing.partition(":")[2] for thing in event.objects_touched)
        refs.update(str(event.payload.get(name, "")) for name in ("recipient", "on_behalf_of"))
        refs.update(map(str, event.payload.get("people") or []))
    return refs


def _asking(events: Iterable[Event]) -> Iterable[Event]:
    return (event for event in events if event.action == "step.opened")


def _runs(events: Sequence[Event]) -> list[list[Event]]:
    """Events one by one, but somebody's savings of a draft on one day together."""

    def same(event: Event) -> object:
        is_edit = event.action == "request.edited"
        return (event.actor_ref, timezone.localdate(event.occurred_at)) if is_edit else event.pk

    return [list(run) for _key, run in groupby(events, key=same)]


def _entry(run: Sequence[Event], names: Mapping[str, str], asked: Mapping[Any, Event]) -> Entry:
    event = run[-1]
    look = look_of(event.action)
    return Entry(
        at=event.occurred_at,
        sentence=_sentence(event, len(run), names),
        why=str(event.payload.get("reason", "")),
        aside=_aside(event, asked),
        icon=look.icon,
        tone=look.tone,
        event=None,
    )


def _sentence(event: Event, n: int, names: Mapping[str, str]) -> str:
    pattern: str | Promise | None = SENTENCES.get(event.action)
    if event.action == "request.doubt_cleared":
        pattern = FOUND.get(str(event.payload.get("status")))
    if event.action == "step.fell" and not event.payload.get("fields"):
        pattern = FELL_OTHERWISE
    if pattern is None:
        return line_of(event, names).sentence
    if n > 1:
        pattern = ngettext(
            "%(who)s worked on the draft and saved it %(n)d time.",
            "%(who)s worked on the draft and saved it %(n)d times.",
            n,
        )
    said = event.payload
    if event.actor_kind == "contact":
        pattern = {"step.approved": CONSENTED, "step.rejected": REFUSED}.get(event.action, pattern)
    people = gettext(", ").join(names.get(str(ref), str(ref)) for ref in said.get("people") or [])
    if event.action == "step.opened" and said.get("step") == "rights_holder":
        pattern = ASKED_TO_CONSENT
    words: dict[str, Any] = defaultdict(
        lambda: "—",
        who=who_for_whom(event, names),
        n=n,
        step=_step_text(said.get("step")),
        steps=" → ".join(_step_text(step) for step in said.get("steps") or []) or "—",
        people=people or gettext("nobody"),
        recipient=names.get(str(said.get("recipient", "")), "—"),
        capacity=said.get("capacity") or "—",
    )
    return str(pattern) % words


def _step_text(code: object) -> str:
    return str(STEPS.get(str(code), code))


def _aside(event: Event, asked: Mapping[Any, Event]) -> str:
    """A step's due time, or how long its answer took."""
    said = event.payload
    if event.action == "step.opened" and said.get("due_at"):
        return gettext("Answer due by %(due)s.") % {"due": due_text(datetime.fromisoformat(said["due_at"]))}
    if event.action not in {"step.approved", "step.rejected", "step.changes_wanted"}:
        return ""
    opening = asked.get((said.get("step"), said.get("revision")))
    if opening is None:
        return ""
    took: timedelta = event.occurred_at - opening.occurred_at
    return gettext("Answered after %(time)s.") % {"time": duration_text(took)}
