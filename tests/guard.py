"""Tests write into temporary folders and nowhere else: an audit hook that refuses what a test would write."""

import os
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
_WRITES: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Which argument names what is changed; the last one is the folder that a relative name is of (see `rmtree`).
_CHANGES: Final = {"os.mkdir": 0, "os.remove": 0, "os.rmdir": 0, "os.rename": 1}
_NO_FOLDER: Final = -1
# Reports and pictures are what a run is asked for; the rest is what Python and pytest keep for themselves.
_TEMPORARY: Final = os.path.realpath(tempfile.gettempdir())
_CHECKOUT: Final = f"{ROOT}/"
_ALLOWED: Final = tuple(f"{place}/" for place in (_TEMPORARY, "/dev", "/proc"))
# In the checkout itself, which may lie in a temporary folder, or hold it.
_ALLOWED_WITHIN: Final = tuple(
    f"{place}/"
    for place in (ROOT / "var/test", ROOT / "var/screenshots", _TEMPORARY)
    if f"{place}/".startswith(_CHECKOUT)
)
# pytest makes its cache beside its place and moves it there.
_CACHES: Final = ("/__pycache__/", "/.pytest_cache/", "/pytest-cache-files-", "/.hypothesis/")


def refuse_writing(event: str, arguments: tuple[object, ...]) -> None:
    """Raise for a file that is opened to be written, made, moved or removed outside of where tests may."""
    if event == "open":
        path, _mode, flags = arguments
        if not isinstance(flags, int) or not flags & _WRITES:
            return
    elif event in _CHANGES and arguments[-1] == _NO_FOLDER:
        path = arguments[_CHANGES[event]]
    else:
        return
    if not isinstance(path, str | bytes | os.PathLike) or may_write(path):
        return
    # To make a folder that is there changes nothing.
    if event != "os.mkdir" or not Path(os.fsdecode(path)).is_dir():
        raise RuntimeError(f"A test tried to write to {os.fsdecode(path)}, outside its temporary folder.")


def may_write(path: "str | bytes | os.PathLike[str]") -> bool:
    """Whether a path, its links followed, lies where tests may write."""
    place = f"{os.path.realpath(os.fsdecode(path))}/"
    allowed = _ALLOWED_WITHIN if place.startswith(_CHECKOUT) else _ALLOWED
    return place.startswith(allowed) or any(cache in place for cache in _CACHES)
