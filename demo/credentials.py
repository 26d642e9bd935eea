"""What the demo must remember in clear to play a gateway: one file that only its owner can read."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from config.places import VAR


@dataclass(slots=True)
class KnownKey:
    """A key whose secret the demo's traffic uses, and what it may ask for."""

    secret: str
    workspace: str
    environment: str
    scopes: list[str]
    ip_ranges: list[str]
    a_day: int


@dataclass(slots=True)
class Credentials:
    """The gateway's credential and the secrets of some keys. Never printed by accident."""

    gateway: str = ""
    keys: list[KnownKey] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"Credentials({len(self.keys)} keys)"


def path() -> Path:
    """`demo_credentials.json` in `KAGIBAN_VAR` (`var/`), or where DEMO_CREDENTIALS says."""
    return Path(os.environ.get("DEMO_CREDENTIALS") or VAR / "demo_credentials.json")


def write(credentials: Credentials) -> None:
    """Replace the file; it is never readable by others, not even for a moment."""
    target = path()
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = target.with_name(f"{target.name}.new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(credentials), file)
    unfinished.replace(target)


def read() -> Credentials:
    """What `write` kept; empty where nothing was."""
    try:
        data = json.loads(path().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Credentials()
    return Credentials(data["gateway"], [KnownKey(**key) for key in data["keys"]])
