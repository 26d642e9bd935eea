"""Windows of the clock that tests must not straddle."""

import time

_ROOM_S = 5.0


def early_in(seconds: int) -> None:
    """Until the window of so many seconds that runs now has enough left for what a test does in it."""
    left = seconds - time.time() % seconds
    if left < _ROOM_S:
        time.sleep(left + 0.01)
