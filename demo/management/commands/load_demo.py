"""`manage.py load_demo`: invented people, partners and six months of history, into an empty database."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from core.errors import DomainError
from demo.loading import load_demo


class Command(BaseCommand):
    """See the module."""

    help = "Load the demo into an empty database."

    def add_arguments(self, parser: CommandParser) -> None:
        """`--now`: another day to end on."""
        parser.add_argument("--now", help="ISO time with its zone at which the story ends (default: now)")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Load, and say what there is."""
        now = parse_datetime(options["now"]) if options["now"] else timezone.now()
        if now is None or now.tzinfo is None:
            raise CommandError("--now is a time like 2026-11-21T12:00:00+09:00.")
        try:
            loaded = load_demo(now=now)
        except DomainError as error:
            raise CommandError(str(error.message)) from error
        keys = ", ".join(f"{n} {status}" for status, n in sorted(loaded.keys.items()))
        requests = ", ".join(f"{n} {state}" for state, n in sorted(loaded.requests.items()))
        self.stdout.write(f"Keys: {keys}\nRequests: {requests}\n")
        self.stdout.write(
            f"{loaded.n_use_days} days of use; {loaded.n_mails_waiting} mails to be sent now.\n"
        )
