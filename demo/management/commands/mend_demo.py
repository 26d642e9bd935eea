"""`manage.py mend_demo`: makes the demo's credentials file fit the database that is there."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from demo.mending import mend_credentials


class Command(BaseCommand):
    """See the module."""

    help = "Issue the demo's gateway a new credential where the kept one belongs to another database."

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Mend, and say so where there was something to mend."""
        said = mend_credentials(now=timezone.now())
        if said:
            self.stdout.write(f"{said}\n")
