"""`manage.py load_catalogue`: the API products, scopes and plans alone."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from demo.catalogue import load_catalogue


class Command(BaseCommand):
    """See the module."""

    help = "Load the demo's API products, scopes and plans, and nothing else."

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Add what is not there yet."""
        self.stdout.write(f"{load_catalogue(now=timezone.now())} API products added.\n")
