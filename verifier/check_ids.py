"""The ids of checks that hold something: with them a gateway reports how the call ended (V3, V7).

An id carries what the check reserved, signed for the gateway that asked. So nothing has to be kept for a call
that is under way, and no gateway can settle or free what another one holds, or say that more was reserved.
"""

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from django.conf import settings

from keys import hashing
from keys.hotrecord import month_ends
from keys.secret_format import FAMILY_LENGTH
from verifier import warm

# Key id, lease, when (seconds since 1970), end of its budget month, what was reserved in millionths of a USD;
# then the workspace whose budget it counts for, too, and the signature.
_BODY: Final = struct.Struct(">12s10sIIQ")
_N_SIGNATURE: Final = 10
_MAX_LENGTH: Final = 100
# Time zones differ by quarters of an hour, so months begin at one.
_QUARTER: Final = 900


@dataclass(frozen=True, slots=True)
class CheckId:
    """What a check reserved. `lease` names it; `workspace` is empty where none has a budget of its own."""

    key_id: str
    lease: bytes
    at: int
    month: int
    reserved: int
    workspace: str = ""

    @property
    def family(self) -> str:
        """What the key's record is found by."""
        return self.key_id[:FAMILY_LENGTH]

    def text(self, gateway: str) -> bytes:
        """The id as the gateway with this number gets it."""
        lease = bytes.fromhex(self.lease.decode())
        body = _BODY.pack(self.key_id.encode(), lease, self.at, self.month, self.reserved)
        body += self.workspace.encode()
        signature = warm.digester()(_signed(gateway, body))[:_N_SIGNATURE]
        return urlsafe_b64encode(body + signature).rstrip(b"=")


def read(text: str, gateway: str) -> CheckId | None:
    """The id that was given to this gateway; None for anything else."""
    if len(text) > _MAX_LENGTH or not text.isascii():
        return None
    try:
        found = urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
    except NotBase64:
        return None
    body, signature = found[:-_N_SIGNATURE], found[-_N_SIGNATURE:]
    message = _signed(gateway, body)
    if not any(
        hashing.same(hashing.digester(version)(message)[:_N_SIGNATURE], signature)
        for version in settings.PEPPERS
    ):
        return None
    key_id, lease, at, month, reserved = _BODY.unpack_from(body)
    workspace = body[_BODY.size :].decode()
    return CheckId(key_id.decode(), lease.hex().encode(), at, month, reserved, workspace)


def month_end(now: int, time_zone: str) -> int:
    """The end of the budget month that runs at `now`; both in seconds since 1970."""
    return _month_end(now // _QUARTER, time_zone)


@lru_cache(maxsize=1_000)
def _month_end(quarter: int, time_zone: str) -> int:
    return month_ends(datetime.fromtimestamp(quarter * _QUARTER, UTC), time_zone)[0]


def _signed(gateway: str, body: bytes) -> bytes:
    # Begins like no secret does: digests of those are made under the same peppers.
    return b"check\0%b\0%b" % (gateway.encode(), body)
