"""The verifier's process: `python -m config.verifier --port 8001 --workers 2`.

Answers the same as `config.wsgi` under any WSGI server does, only faster; of the portal it has nothing but
the health checks.
"""

import argparse
import errno
import os
import socket
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from config.workers import TAKEN, keep, tell_ready

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HEALTH = {"/healthz", "/readyz"}


def main(arguments: list[str]) -> int:
    """Serve in this process, or keep several that do."""
    parser = argparse.ArgumentParser(prog="python -m config.verifier", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--workers", type=int, default=1, help="processes, about one per core")
    parser.add_argument("--socket", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--ready", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.socket is not None:
        return _work(socket.socket(fileno=options.socket), options.ready)
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        listener = _bound((options.host, options.port), family)
    except OSError as error:
        sys.stderr.write(f"Kagiban: Can't listen on {options.host}, port {options.port}: {error}\n")
        return TAKEN
    return _work(listener) if options.workers <= 1 else keep(listener, options.workers)


def _bound(address: tuple[str, int], family: socket.AddressFamily) -> socket.socket:
    """A socket that has its port, so that one which is taken is told now, and does not listen yet.

    Until a worker is ready, who calls is refused, and asks another verifier, instead of waiting for us.
    """
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.bind(address)
    return listener


def _work(listener: socket.socket, ready: int | None = None) -> int:
    from config.wsgi import application as whole
    from verifier.api.app import application as verifier
    from verifier.loop.server import serve

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ["PATH_INFO"] in HEALTH:
            return whole(_asked_by_a_guard(environ), start_response)
        return verifier(environ, start_response)

    try:
        serve(answer, listener, lambda: tell_ready(ready))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        sys.stderr.write(f"Kagiban: Port {listener.getsockname()[1]} is in use.\n")
        return TAKEN
    return 0


def _asked_by_a_guard(environ: "WSGIEnvironment") -> "WSGIEnvironment":
    """A question about the process's health as the portal answers it.

    Whoever watches over processes asks them one by one: by an address, which is no name of the portal, and
    without TLS. He would be sent elsewhere, or away.
    """
    from django.conf import settings

    name = (settings.ALLOWED_HOSTS or ["localhost"])[0].removeprefix(".").replace("*", "localhost")
    kept = {field: value for field, value in environ.items() if field != "HTTP_X_FORWARDED_PROTO"}
    return kept | {"HTTP_HOST": name, "wsgi.url_scheme": "https"}


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    sys.exit(main(sys.argv[1:]))
