"""The ways in which a service says no. Only `core.middleware` turns them into pages."""

from typing import ClassVar

from django.utils.functional import Promise


class DomainError(Exception):
    """A refusal that a person can understand; nothing was changed.

    `message` is a translated sentence for the screen. `field` names the form field it belongs to, if any.
    """

    status: ClassVar[int] = 400

    def __init__(self, message: str | Promise, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class NotFound(DomainError):  # noqa: N818 - an answer to a person, named as one
    """The thing does not exist for this person."""

    status = 404


class NotAllowed(DomainError):  # noqa: N818
    """The person sees the thing but may not do this to it."""

    status = 403


class Conflict(DomainError):  # noqa: N818
    """The thing changed meanwhile, or is not in a state that allows this."""

    status = 409


class Invalid(DomainError):  # noqa: N818
    """The input can't be accepted as it is."""

    status = 422
