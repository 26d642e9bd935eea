"""Makes `.venv` from the lock and goes on inside it. Needs nothing but Python's standard library.

Shared by `script/server`, `script/test` and `script/manage`, which check Python's version first: this file is
written for 3.11 and newer.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
# Names the locks that .venv was filled from, by their hash: the same hash means that there is nothing to do.
STAMP = VENV / "kagiban-locks"
# What runs; and that with the tests' tools, real proxies among them.
NEEDED_MIB = {"requirements.txt": 700, "requirements-dev.txt": 1_400}


def enter(lock: str) -> None:
    """Make sure that `.venv` holds what `lock` names, then run this same script in it.

    Returns when the script already runs in `.venv`. Ends the program with one line when that can't be done.
    """
    if Path(sys.prefix).resolve() == VENV.resolve() and _is_filled(lock):
        return
    try:
        guard = os.open(ROOT, os.O_RDONLY)
        fcntl.flock(guard, fcntl.LOCK_EX)  # two first starts at once: the second waits
        if not _is_filled(lock):
            _fill(lock)
        os.close(guard)
    except OSError as error:
        sys.exit(
            f"Kagiban: the set-up of .venv failed: {error.strerror or error} ({error.filename or VENV})."
        )
    os.execv(PYTHON, [str(PYTHON), *sys.argv])


def _fingerprint(lock: str) -> str:
    return hashlib.sha256((ROOT / lock).read_bytes()).hexdigest()


def _is_filled(lock: str) -> bool:
    if not STAMP.exists() or _fingerprint(lock) not in STAMP.read_text().split():
        return False
    # The Python below .venv may have gone with an upgrade of the system.
    return PYTHON.exists()


def _fill(lock: str) -> None:
    free = shutil.disk_usage(ROOT).free // 2**20
    if free < NEEDED_MIB[lock]:
        sys.exit(f"Kagiban: only {free} MiB are free on this disk; .venv needs about {NEEDED_MIB[lock]} MiB.")
    print(
        f"Installing what {lock} names into .venv; this happens once and takes a minute or two.", flush=True
    )
    pip = _make_venv()
    quietly = ["--quiet", "--no-input", "--disable-pip-version-check"]
    command = [*pip, "install", *quietly, "--no-compile", "--require-hashes"]
    done = subprocess.run(
        [*command, "--requirement", str(ROOT / lock)], stderr=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = (errors or done.stderr.splitlines() or ["pip gave no reason"])[-1].removeprefix("ERROR: ")
        sys.exit(f"Kagiban: the dependencies could not be installed: {reason}")
    # pip would do this on one core. What can't be compiled is an example or for another Python.
    subprocess.run([PYTHON, "-m", "compileall", "-qq", "-j", "0", str(VENV / "lib")], check=False)
    # The development lock holds the other one, whole: script/lock makes it so.
    names = [lock, "requirements.txt"]
    STAMP.write_text("\n".join(sorted({_fingerprint(name) for name in names})) + "\n")


def _make_venv() -> list[str]:
    """Make `.venv` where it does not work yet; returns the command of a pip that installs into it."""
    works = PYTHON.exists() and subprocess.run([PYTHON, "-c", ""], check=False).returncode == 0
    # Debian ships Python without the pip that venv would put in; the system's pip can fill it from outside.
    outside = importlib.util.find_spec("ensurepip") is None
    if outside and importlib.util.find_spec("pip") is None:
        sys.exit("Kagiban needs pip; install it first (Debian and Ubuntu: apt install python3-pip).")
    if not works:
        options = ["--clear", *(["--without-pip"] if outside else [])]
        made = subprocess.run(
            [sys.executable, "-m", "venv", *options, str(VENV)], capture_output=True, text=True, check=False
        )
        if made.returncode:
            reason = (made.stderr.strip() or made.stdout.strip() or "no reason given").splitlines()[-1]
            sys.exit(f"Kagiban: `python -m venv` failed: {reason}")
    inside = [str(PYTHON), "-m", "pip"]
    if subprocess.run([*inside, "--version"], capture_output=True, check=False).returncode == 0:
        return inside
    return [sys.executable, "-m", "pip", "--python", str(PYTHON)]
