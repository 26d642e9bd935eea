"""Numbers in the environment: read within bounds, so that one that makes no sense stops the start.

Why none of them takes 0 for "for ever": docs/decisions/0011-numbers-in-the-environment.md.
"""

import re
from typing import Final

from django.core.exceptions import ImproperlyConfigured
from environ import FileAwareEnv

# Ten years in hours. In days it is 240 years, and a day so far off is still one of the calendar.
MOST: Final = 87_600
# Nobody waits longer for a server than this.
MOST_SECONDS: Final = 3_600
_WHOLE = re.compile(r"[0-9]{1,15}").fullmatch
_DECIMAL = re.compile(r"[0-9]{0,15}\.?[0-9]{1,15}").fullmatch


class NumberEnv(FileAwareEnv):  # type: ignore[misc]  # environ is published without types
    """The environment, with numbers that name their variable when they can't be used."""

    def whole(self, name: str, default: int, *, least: int = 1, most: int = MOST) -> int:
        """A whole number within bounds. Raises ImproperlyConfigured."""
        return _whole(name, str(self.str(name, default=str(default))), least, most)

    def wholes(self, name: str, default: list[int], *, least: int = 1, most: int = MOST) -> list[int]:
        """Whole numbers with commas between them. Raises ImproperlyConfigured."""
        texts = self.list(name, default=[str(number) for number in default])
        return [_whole(name, str(text), least, most) for text in texts]

    def seconds(self, name: str, default: float) -> float:
        """How long a server is waited for: more than 0, at most an hour. Raises ImproperlyConfigured."""
        text = str(self.str(name, default=str(default))).strip()
        if not _DECIMAL(text) or not 0 < float(text) <= MOST_SECONDS:
            raise ImproperlyConfigured(
                f"{name} is {text!r}. It must be a number of seconds above 0 and at most {MOST_SECONDS}."
            )
        return float(text)


def _whole(name: str, text: str, least: int, most: int) -> int:
    text = text.strip()
    if not _WHOLE(text) or not least <= int(text) <= most:
        raise ImproperlyConfigured(f"{name} is {text!r}. It must be a whole number from {least} to {most}.")
    return int(text)
