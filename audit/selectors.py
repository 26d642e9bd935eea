"""Events as people read them: the explorer's lists, one event's page, a thing's timeline (L3)."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.actions import Action
from audit.models import Event
from audit.names import names_of, page_of, refs_named
from audit.wording import (
    FIELD_WORDS,
    REASONS,
    SENTENCES,
    STEPS,
    actions_in,
    look_of,
    word_of,
)
from core.ids import KINDS
from core.parsing import search_words

TIMELINE_LENGTH = 50


@dataclass(frozen=True, slots=True)
class Filters:
    """What the explorer's list is narrowed to; empty means everything. Days count whole, in the active zone.

    `action` is an action's name or `group:<name>`; `actor` a public id or a part of a name; `thing` is
    written as `key:KB-0412` or just `KB-0412`; `text` is looked for in what events carry, in request ids,
    and as the number of a thing.
    """

    action: str = ""
    actor: str = ""
    thing: str = ""
    since: date | None = None
    until: date | None = None
    text: str = ""

    def as_query(self) -> dict[str, str]:
        """The filters that are set, as the URL's query has them."""
        named = {
            "action": self.action,
            "actor": self.actor,
            "thing": self.thing,
            "since": self.since.isoformat() if self.since else "",
            "until": self.until.isoformat() if self.until else "",
            "q": self.text,
        }
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that an event concerns: `key:KB-0412`, its words, and its page if it has one."""

    ref: str
    kind: str
    number: str
    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Line:
    """One event in words. `detail` is its reason or note; `who` the actor's name."""

    event: Event
    sentence: str
    detail: str
    who: str
    things: Sequence[Thing]
    icon: str
    tone: str


# --- lists ----------------------------------------------------------------------------------------


def find_events(filters: Filters) -> QuerySet[Event]:
    """The events that match, in no order yet. The text filter reads every candidate: narrow it by days."""
    rows = Event.objects.all()
    if filters.action.startswith("group:"):
        rows = rows.filter(action__in=actions_in(filters.action.removeprefix("group:")))
    elif filters.action:
        rows = rows.filter(action=filters.action)
    if filters.actor:
        rows = rows.filter(actor_ref__in=[*refs_named(filters.actor), filters.actor])
    if filters.thing:
        rows = rows.filter(objects_touched__contains=[_thing_ref(filters.thing)])
    if filters.since:
        rows = rows.filter(occurred_at__gte=_midnight(filters.since))
    if filters.until:
        rows = rows.filter(occurred_at__lt=_midnight(filters.until + timedelta(days=1)))
    if filters.text:
        rows = rows.annotate(payload_text=Cast("payload", TextField())).filter(
            Q(payload_text__icontains=filters.text)
            | Q(request_id=filters.text)
            | Q(objects_touched__contains=[_thing_ref(filters.text)])
        )
    return rows


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


def _thing_ref(text: str) -> str:
    text = " ".join(search_words(text))
    kind, colon, number = text.partition(":")
    if colon:
        return f"{kind.lower()}:{number if kind.lower() == 'message' else number.upper()}"
    return f"{KINDS.get(text[:2].upper(), 'key')}:{text.upper()}"


def timeline_of(thing: str, limit: int = TIMELINE_LENGTH) -> list[Line]:
    """The latest events of `key:KB-0412`, newest first, for `audit/partials/_timeline.html`."""
    rows = Event.objects.filter(objects_touched__contains=[thing]).order_by("-id")[:limit]
    return lines_of(rows)


# --- words ------------------------------------------------------------------------------------------


def lines_of(events: Iterable[Event]) -> list[Line]:
    """Events in words, with three queries for the names of all of them together."""
    rows = list(events)
    refs = {event.actor_ref for event in rows}
    for event in rows:
        refs.update(thing.partition(":")[2] for thing in event.objects_touched)
        refs.update(str(event.payload.get(name, "")) for name in ("recipient", "on_behalf_of"))
    names = names_of(refs)
    return [line_of(event, names) for event in rows]


def line_of(event: Event, names: Mapping[str, str]) -> Line:
    """One event in words, in the active language. `names` are those of `audit.names.names_of`."""
    # Keys without a request once named one without a number; the log is not rewritten for that.
    things = [_thing(ref, names) for ref in event.objects_touched if not ref.endswith(":")]
    look = look_of(event.action)
    return Line(
        event=event,
        sentence=_sentence(event, names, things),
        detail=_detail(event.payload),
        who=who_of(event, names),
        things=things,
        icon=look.icon,
        tone=look.tone,
    )


def who_of(event: Event, names: Mapping[str, str]) -> str:
    """The actor's name, or what stands for one."""
    if event.actor_kind == "system":
        return _("Somebody not signed in") if event.actor_ref == "anonymous" else _("Kagiban (automatic)")
    return names.get(event.actor_ref) or event.actor_ref


def who_for_whom(event: Event, names: Mapping[str, str]) -> str:
    """The actor's name, and in whose place they acted (A5)."""
    who, giver = who_of(event, names), str(event.payload.get("on_behalf_of", ""))
    if giver:
        return _("%(who)s (for %(giver)s)") % {"who": who, "giver": names.get(giver) or giver}
    if event.payload.get("basis") == "escalation":
        return _("%(who)s (deputy, by escalation)") % {"who": who}
    return who


def _sentence(event: Event, names: Mapping[str, str], things: Sequence[Thing]) -> str:
    try:
        pattern = SENTENCES[Action(event.action)]
    except ValueError:
        return event.action  # an action of another version of this program
    step, recipient = str(event.payload.get("step", "")), str(event.payload.get("recipient", ""))
    words: dict[str, str] = defaultdict(
        lambda: "—",
        who=who_for_whom(event, names),
        what=(things[0].name or things[0].number) if things else "—",
        step=str(STEPS.get(step, step)) or "—",
        recipient=names.get(recipient, recipient) or "—",
    )
    return str(pattern) % words


def _detail(payload: Mapping[str, Any]) -> str:
    code = str(payload.get("reason_code", ""))
    parts = [str(REASONS.get(code, code)), str(payload.get("reason", "")), str(payload.get("note", ""))]
    return " — ".join(dict.fromkeys(part for part in parts if part))


def _thing(ref: str, names: Mapping[str, str]) -> Thing:
    kind, _colon, number = ref.partition(":")
    return Thing(ref, word_of(kind), number, names.get(number, ""), page_of(ref))


# --- one event --------------------------------------------------------------------------------------


def get_event(uid: UUID) -> Event | None:
    """The event with this uid."""
    return Event.objects.filter(uid=uid).first()


def changes_of(event: Event) -> list[tuple[str, str, str]]:
    """`(field, before, after)` for what the event says was changed."""
    before, after = (event.payload.get(name) for name in ("before", "after"))
    if not isinstance(before, dict) or not isinstance(after, dict):
        return []
    return [
        (_field_word(name), _text(before.get(name)), _text(after.get(name)))
        for name in sorted(before.keys() | after.keys())
    ]


def facts_of(event: Event, names: Mapping[str, str]) -> list[tuple[str, str]]:
    """The other fields that the event carries, in words."""
    shown = {name: value for name, value in event.payload.items() if name not in {"before", "after"}}
    return [(_field_word(name), _value_text(name, value, names)) for name, value in sorted(shown.items())]


def _value_text(name: str, value: Any, names: Mapping[str, str]) -> str:
    if name == "reason_code":
        return str(REASONS.get(str(value), value))
    if name == "step":
        return str(STEPS.get(str(value), value))
    if name == "steps" and isinstance(value, list):
        return " → ".join(str(STEPS.get(str(item), item)) for item in value)
    if isinstance(value, str) and value in names:
        return f"{names[value]} ({value})"
    return _text(value)


def _text(value: Any) -> str:
    if value is None or value in ("", []):
        return "—"
    if isinstance(value, bool):
        return _("Yes") if value else _("No")
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)


def _field_word(name: str) -> str:
    return str(FIELD_WORDS.get(name, name))


@dataclass(frozen=True, slots=True)
class Check:
    """Whether an event still is what was recorded. `wrong` names the columns that say something else."""

    digest: str
    recomputed: str
    wrong: Sequence[str]

    @property
    def holds(self) -> bool:
        """Digest and columns agree with the canonical bytes."""
        return self.digest == self.recomputed and not self.wrong


def check_event(event: Event) -> Check:
    """Hash the canonical bytes anew and compare what the columns repeat of them (L2)."""
    canonical = bytes(event.canonical)
    body = json.loads(canonical)
    said = {
        "uid": str(event.uid),
        "at": event.occurred_at.astimezone(UTC).isoformat(timespec="microseconds"),
        "action": event.action,
        "actor": {"kind": event.actor_kind, "ref": event.actor_ref},
        "objects": event.objects_touched,
        "payload": event.payload,
        "sealed": event.sealed,
        "request_id": event.request_id,
    }
    wrong = [name for name, value in said.items() if body.get(name) != value]
    return Check(bytes(event.digest).hex(), hashlib.sha256(canonical).hexdigest(), wrong)
