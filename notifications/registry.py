"""Which kinds of mail there are: for each a builder, and who wants to know when one can't be delivered.

The apps above register theirs in `AppConfig.ready`, so that this app knows nothing of requests or keys.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from notifications.models import Message


@dataclass(frozen=True, slots=True)
class Mail:
    """What the kind's template is filled with, and for whom. Lives only while it is sent.

    `context` may hold a link or a code, which is why a Mail is never stored or logged: its `repr` shows
    none of it. `answers` is the Message-ID of the mail that this one answers by itself (RFC 3834).
    """

    address: str
    name: str
    language: str
    context: Mapping[str, Any] = field(default_factory=dict, repr=False)
    answers: str = ""


class RecipientGoneError(Exception):
    """Raised by a builder whose mail still matters but has nobody to go to: the message fails at once."""


class UndeliverableCallback(Protocol):
    """Told, in the transaction that marks the message failed, that a mail did not reach its recipient."""

    def __call__(self, message: Message, *, now: datetime) -> None:
        """Must not raise for a message that it does not know."""


# Looks up what the message's ids stand for. None: nobody needs this mail any more.
Builder = Callable[[Message], Mail | None]

_builders: dict[str, Builder] = {}
_folders: dict[str, str] = {}
_undeliverable: dict[str, list[UndeliverableCallback]] = {}


def register(folder: str, *builders: Builder) -> None:
    """Let mails be built by these; each one's name is its kind, its template `emails/<folder>/<kind>.html`.

    Raises ValueError for a kind that has another builder. From `AppConfig.ready`.
    """
    for builder in builders:
        kind: str = builder.__name__
        if _builders.setdefault(kind, builder) is not builder:
            raise ValueError(f"{kind} has a builder already.")
        _folders[kind] = folder


def builder_of(kind: str) -> Builder:
    """The kind's builder. Raises KeyError for an unknown kind."""
    return _builders[kind]


def template_of(kind: str) -> str:
    """The name of the kind's template. Raises KeyError for an unknown kind."""
    return f"emails/{_folders[kind]}/{kind}.html"


def kinds() -> list[str]:
    """All kinds of mail, by name."""
    return sorted(_builders)


def on_undeliverable(kind: str, callback: UndeliverableCallback) -> None:
    """Have `callback` called when a mail of this kind has failed for good."""
    callbacks = _undeliverable.setdefault(kind, [])
    if callback not in callbacks:
        callbacks.append(callback)


def undeliverable_callbacks(kind: str) -> tuple[UndeliverableCallback, ...]:
    """Who wants to know about a failed mail of this kind."""
    return tuple(_undeliverable.get(kind, ()))
