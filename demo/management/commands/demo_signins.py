"""`manage.py demo_signins`: who can sign in to the demo, with the codes of this moment."""

import time
from typing import Any

from allauth.mfa import app_settings
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from allauth.mfa.utils import decrypt
from django.core.management.base import BaseCommand, CommandParser

from accounts.models import User
from demo import credentials
from demo.people import PASSWORD, STAFF


class Command(BaseCommand):
    """See the module."""

    help = "Print the demo's sign-ins: address, password, roles, authenticator secret and its current code."

    def add_arguments(self, parser: CommandParser) -> None:
        """`--recovery-codes` prints those, too."""
        parser.add_argument("--recovery-codes", action="store_true", help="print unused recovery codes, too")

    def handle(self, *_args: Any, **options: Any) -> None:
        """One line a person, and what a gateway needs."""
        people = {user.email: user for user in User.objects.filter(is_active=True)}
        known = [people[colleague.address] for colleague in STAFF if colleague.address in people]
        if not known:
            self.stdout.write("The demo is not loaded.\n")
            return
        left = app_settings.TOTP_PERIOD - int(time.time()) % app_settings.TOTP_PERIOD
        self.stdout.write(f"  Sign-ins (demo only). Password of everybody: {PASSWORD}\n\n")
        self.stdout.write(f"  {'Address':<30} {'Roles':<18} {'Reads':<9} {'Code':<8} Authenticator secret\n")
        for user in known:
            secret = self._totp_secret(user)
            code = self._code(secret) if secret else "-"
            roles = ", ".join(user.roles)
            reads = {"ja": "Japanese", "en": "English"}[user.language]
            self.stdout.write(f"  {user.email:<30} {roles:<18} {reads:<9} {code:<8} {secret or '-'}\n")
            if options["recovery_codes"]:
                self.stdout.write(f"{'':33}{' '.join(self._recovery_codes(user))}\n")
        self.stdout.write(
            f"\n  The codes change in {left} s: `script/manage demo_signins` prints the current ones.\n"
        )
        gateway = credentials.read().gateway
        if gateway:
            self.stdout.write(
                f"\n  To ask the verifier as a gateway would:\n    export GATEWAY_CREDENTIAL={gateway}\n"
            )

    def _totp_secret(self, user: User) -> str:
        found = Authenticator.objects.filter(user_id=user.pk, type=Authenticator.Type.TOTP).first()
        return str(decrypt(found.data["secret"])) if found else ""

    def _code(self, secret: str) -> str:
        return str(format_hotp_value(hotp_value(secret, int(time.time()) // app_settings.TOTP_PERIOD)))

    def _recovery_codes(self, user: User) -> list[str]:
        found = Authenticator.objects.filter(user_id=user.pk, type=Authenticator.Type.RECOVERY_CODES).first()
        return list(RecoveryCodes(found).get_unused_codes()) if found else []
