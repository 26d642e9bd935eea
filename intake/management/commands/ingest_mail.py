"""`manage.py ingest_mail`: one mail from standard input, for an MTA's pipe (R4)."""

import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone

from intake.services.receiving import receive_mail

CHUNK = 65_536


class Command(BaseCommand):
    """Ends with 0 once the mail is kept; with EX_TEMPFAIL (75) for the MTA to come again (sysexits.h)."""

    help = "Keeps one mail from standard input (an MTA's pipe)."
    # The MTA waits: system checks belong to the release.
    requires_system_checks: list[str] = []

    def handle(self, **_options: Any) -> None:
        """Read, keep, say the number. Whatever fails is temporary: the mail must come again."""
        raw, is_cut = _read(settings.INTAKE_MAX_BYTES)
        if not raw:
            self.stderr.write("Kagiban: there is no mail on standard input.")
            sys.exit(os.EX_NOINPUT)
        try:
            receipt = receive_mail(raw=raw, via="pipe", now=timezone.now(), is_cut=is_cut)
        except Exception as error:  # noqa: BLE001  # the mail is not kept, and no MTA may bounce it for that
            self.stderr.write(f"Kagiban: the mail could not be kept now ({type(error).__name__}); try again.")
            sys.exit(os.EX_TEMPFAIL)
        kept = "kept" if receipt.is_new else "kept before"
        self.stdout.write(f"{receipt.mail.public_id} {kept}")


def _read(limit: int) -> tuple[bytes, bool]:
    """Up to `limit` bytes, and whether there was more. The rest is read and dropped, as an MTA wants it."""
    pieces, size = [], 0
    while piece := sys.stdin.buffer.read(CHUNK):
        if size <= limit:
            pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)[:limit], size > limit
