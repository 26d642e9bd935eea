"""Days that the portal takes: enough for every contract, and none to which no day could be added."""

from datetime import date
from typing import Final

FIRST: Final = date(2000, 1, 1)
LAST: Final = date(2099, 12, 31)
# The last day of a contract for which no end was agreed: later than any other, and a day like any other.
NO_END: Final = date(2999, 12, 31)


def is_within(day: date) -> bool:
    """Whether a person may mean this day."""
    return FIRST <= day <= LAST
