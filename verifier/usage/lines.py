"""The lines in which use is counted (V6): by the function (functions.lua, `u`) and by `local_use`."""

from collections.abc import Mapping
from datetime import datetime

from keys.hotstore.record import ADDRESS_LENGTH, readable_address
from keys.secrets.form import FAMILY_LENGTH
from keys.use.services.outcomes import Outcome
from keys.use.services.use import Cost, Peak, Use, record_use


def record_lines(*, batch: str, lines: Mapping[str, int], now: datetime) -> bool:
    """Add a batch of lines to the registry; False if it was added before. See `record_use`."""
    uses, costs, peaks, outcomes = _read(lines)
    return record_use(batch=batch, uses=uses, costs=costs, peaks=peaks, outcomes=outcomes, now=now)


def _read(lines: Mapping[str, int]) -> tuple[list[Use], list[Cost], list[Peak], list[Outcome]]:
    uses, costs, peaks, outcomes = [], [], [], []
    for line, n in lines.items():
        minute, *rest = line.split("|")
        match rest:
            case []:
                pass  # how many addresses a key id has in this batch
            case [key_id, "$"]:
                costs.append(Cost(int(minute), key_id[:FAMILY_LENGTH], n))
            case [key_id, "most", "of", limit]:
                peaks.append(Peak(int(minute), key_id, limit, n))
            case [family, what] if len(family) == FAMILY_LENGTH:
                outcomes.append(Outcome(int(minute), family, what, n))
            case [key_id, code]:  # as counted before there were addresses
                uses.append(Use(int(minute), key_id, code, n))
            case [key_id, code, address]:
                uses.append(Use(int(minute), key_id, code, n, _readable(address)))
    return uses, costs, peaks, outcomes


def _readable(address: str) -> str:
    return address if len(address) != ADDRESS_LENGTH else readable_address(address)
