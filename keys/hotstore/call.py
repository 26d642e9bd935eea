"""The form of a check's call: what is asked and told, packed (functions.lua, ASKED and VERDICT)."""

import struct
from collections.abc import Iterable
from typing import Final

from keys.hotstore.record import environment_word

# A place is held to the next point of a grid of milliseconds, so that the store keeps few ends and not one
# for each call: so many points at most lie in a lease's length, which becomes an eighth longer at most.
_MOST_POINTS: Final = 16
_NO_ENVIRONMENT: Final = b"\xff" * 4

_ASKED = struct.Struct("<dII4sB")
_VERDICT = struct.Struct("<qqqIIIBB")
_SHARED_LEFT = struct.Struct("<qqq")

# Code, identity, left in minute, hour and budget (-1: no limit), now, seconds until worth a retry, for how
# many ms from `now` on a place is held, and what is left of the workspace's limits, where it has some.
Told = tuple[bytes, bytes, int, int, int, int, int, int, tuple[int, int, int] | None]


def lease_grid(milliseconds: int) -> int:
    """The distance in ms between the moments at which leases of this length may end: a power of two."""
    return 1 << (-(-milliseconds // _MOST_POINTS) - 1).bit_length()


def lease_end(milliseconds: int, since: int) -> int:
    """When a lease of this length ends that began then; `since` and the end in ms since 1970."""
    grid = lease_grid(milliseconds)
    return -(-(since + milliseconds) // grid) * grid


def pack_asked(
    *, cost: int, lease_ms: int, environment: str, address: bytes, country: bytes, texts: Iterable[str]
) -> bytes:
    """What a check asks for. `cost` in millionths of a USD; `texts`: workspace, scopes, model, features."""
    word = environment_word(environment)
    # Longer ones match none.
    word = word if len(word) == len(_NO_ENVIRONMENT) else _NO_ENVIRONMENT
    parts = [_ASKED.pack(cost, lease_ms, lease_grid(lease_ms), word, len(address)), address]
    parts += [struct.pack("<B", len(country)), country]
    for text in texts:
        encoded = text.encode()
        parts += [struct.pack("<I", len(encoded)), encoded]
    return b"".join(parts)


def read_verdict(reply: bytes) -> Told:
    """The function's verdict."""
    minute, hour, budget, now, retry, held, is_shared, length = _VERDICT.unpack_from(reply)
    end = _VERDICT.size + length
    code, shared = reply[_VERDICT.size : end], None
    if is_shared:
        shared = _SHARED_LEFT.unpack_from(reply, end)
        end += _SHARED_LEFT.size
    return code, reply[end:], minute, hour, budget, now, retry, held, shared
