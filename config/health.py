"""Health checks of the containers: `python -m config.health web|worker|beat`; the status is the answer."""

import os
import sys
import time
import urllib.request
from pathlib import Path

BEAT_SILENT_AFTER_S = 420


def main(arguments: list[str]) -> int:
    """0 where the named process of this container does its work, 1 where not, 2 for an unknown name."""
    checks = {"web": _web, "worker": _worker, "beat": _beat}
    if len(arguments) != 1 or arguments[0] not in checks:
        print(f"Name one of {', '.join(checks)}.", file=sys.stderr)
        return 2
    return 0 if checks[arguments[0]]() else 1


def _web() -> bool:
    # As the proxy in front would ask, so that the answer is not a redirect to https.
    host = os.environ.get("ALLOWED_HOSTS", "localhost").split(",")[0].removeprefix(".")
    port = os.environ.get("PORT", "8000")
    headers = {"Host": host.replace("*", "localhost"), "X-Forwarded-Proto": "https"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/healthz", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=4) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _worker() -> bool:
    """This container's worker answers through the broker."""
    from config.celery import app

    me = f"celery@{os.uname().nodename}"
    return bool(app.control.ping(destination=[me], timeout=4))


def _beat() -> bool:
    """Beat writes its schedule down every three minutes; twice late, it hangs."""
    schedules = list(Path(os.environ.get("BEAT_FOLDER", "/run/beat")).glob("schedule*"))
    return any(time.time() - path.stat().st_mtime < BEAT_SILENT_AFTER_S for path in schedules)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
