"""Office hours in Tokyo, and what happens when: the demo's history is played in the order of its days."""

import heapq
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from zoneinfo import ZoneInfo

TOKYO = ZoneInfo("Asia/Tokyo")
OPENS, CLOSES = 9, 18
Act = Callable[[datetime], object]


def in_office(moment: datetime) -> datetime:
    """The moment itself in office hours, else the next morning at the same minute."""
    local = moment.astimezone(TOKYO)
    if local.hour >= CLOSES:
        local = (local + timedelta(days=1)).replace(hour=OPENS)
    elif local.hour < OPENS:
        local = local.replace(hour=OPENS)
    while local.weekday() >= 5:
        local = (local + timedelta(days=1)).replace(hour=OPENS)
    return local


class Story:
    """Acts with their times. `run` plays them in order until `now`; an act may put later ones in.

    What would happen after `now` does not: so a request that was made yesterday still waits today.
    """

    def __init__(self, now: datetime) -> None:
        self.now = now
        self._acts: list[tuple[datetime, int, Act]] = []
        self._number = count()

    def at(self, moment: datetime, act: Act) -> None:
        """Put an act in, to be played at this time."""
        if moment <= self.now:
            heapq.heappush(self._acts, (moment, next(self._number), act))

    def run(self) -> None:
        """Play everything."""
        while self._acts:
            moment, _, act = heapq.heappop(self._acts)
            act(moment)
