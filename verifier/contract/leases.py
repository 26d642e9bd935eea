"""Names of checks that hold something: unique over all processes (V3)."""

from itertools import count
from os import register_at_fork, urandom

_leases = count()


class _Process:
    """A mark that no other process has, in 5 bytes."""

    mark = b""


def _mark_process() -> None:
    _Process.mark = urandom(5)


_mark_process()
register_at_fork(after_in_child=_mark_process)


def new_lease() -> bytes:
    """A name that no other check of any process has, in 10 bytes."""
    return _Process.mark + next(_leases).to_bytes(5, "big")
