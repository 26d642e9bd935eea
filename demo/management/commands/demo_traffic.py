"""`manage.py demo_traffic`: calls the verifier with the demo's keys until it is stopped."""

import os
import random
import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from demo import credentials
from demo.traffic import PATIENCE_S, Traffic, usual_rate


class Command(BaseCommand):
    """See the module."""

    help = "Call the verifier at a gentle pace with the demo's keys, until SIGTERM or Ctrl+C."

    def add_arguments(self, parser: CommandParser) -> None:
        """Where the verifier is, and how many calls a second."""
        default = os.environ.get("VERIFIER_URL") or "http://127.0.0.1:8001"
        parser.add_argument("--url", default=default, help="the verifier (default: %(default)s)")
        parser.add_argument("--rate", type=float, help="calls a second (default: as on the days before)")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Run until it is stopped; without a loaded demo, wait for one."""
        over = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: over.set())
        known = credentials.read()
        while not known.keys:
            if over.wait(PATIENCE_S):
                return
            known = credentials.read()
        rate = options["rate"] or usual_rate(known)
        Traffic(options["url"], wait=over.wait, rng=random.Random()).run(known, rate=rate)
