"""`manage.py invite_admin`: the first administrator of a new installation."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_email
from django.utils import timezone

from accounts.roles import Role
from accounts.services import invite_staff
from core.actors import SYSTEM
from core.errors import DomainError


class Command(BaseCommand):
    """Invites; the person sets a password by the mailed link, adds a second factor, invites the others."""

    help = "Mail an invitation to an administrator: the first one, or one more when nobody can sign in."

    def add_arguments(self, parser: CommandParser) -> None:
        """Address and name, and the language of the mail."""
        parser.add_argument("email")
        parser.add_argument("name")
        parser.add_argument("--language", choices=["ja", "en"], default="ja")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Invite, or say in one line why not."""
        try:
            validate_email(options["email"])
            user = invite_staff(
                actor=SYSTEM("manage.invite_admin"),
                email=options["email"],
                name=options["name"],
                department="",
                roles=[Role.ADMIN],
                language=options["language"],
                now=timezone.now(),
            )
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        except DomainError as error:
            raise CommandError(str(error.message)) from error
        self.stdout.write(f"{user.public_id} invited: a link to set a password is on its way by mail.\n")
