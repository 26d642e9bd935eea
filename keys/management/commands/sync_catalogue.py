"""`manage.py sync_catalogue FILE`: API products, scopes and plans from a TOML file."""

import tomllib
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from core.actors import SYSTEM
from core.errors import DomainError
from keys.catalogue.services import sync_catalogue

TABLES = {"products", "plans"}


class Command(BaseCommand):
    """See docs/running.md for the file; running it again changes only what changed in it."""

    help = "Bring API products, scopes and plans in line with a TOML file; all of it or nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        """The file."""
        parser.add_argument("file", type=Path)

    def handle(self, *_args: Any, **options: Any) -> None:
        """Sync, or say in one line what is wrong with the file."""
        try:
            data = tomllib.loads(options["file"].read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise CommandError(f"{options['file']}: {error}") from error
        tables = {name: data.get(name, {}) for name in TABLES}
        if data.keys() - TABLES or not all(_is_table(table) for table in tables.values()):
            raise CommandError(f"{options['file']}: only [products.<code>] and [plans.<code>] belong here.")
        try:
            synced = sync_catalogue(actor=SYSTEM("manage.sync_catalogue"), **tables, now=timezone.now())
        except DomainError as error:
            raise CommandError(str(error.message)) from error
        self.stdout.write(f"{synced.n_added} added, {synced.n_changed} changed.\n")


def _is_table(table: object) -> bool:
    return isinstance(table, dict) and all(isinstance(row, dict) for row in table.values())
