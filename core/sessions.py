"""Sessions in the database, sealed: what a session holds for a moment is no plain text in a backup (S3).

While somebody sets up an authenticator app, its secret waits in the session until the first code proves it;
Django's own encoding only signs.
"""

import binascii
from typing import Any

from cryptography.exceptions import InvalidTag
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore

from core.sealing import seal, unseal

PURPOSE = "session"


class SessionStore(DatabaseStore):
    """Django's database sessions with AES-256-GCM under FIELD_SECRET in place of a signature."""

    def encode(self, session_dict: dict[str, Any]) -> str:
        """The sealed text of a session."""
        return seal(self.serializer().dumps(session_dict), purpose=PURPOSE)

    def decode(self, session_data: bytes | str) -> dict[str, Any]:
        """What a session holds; nothing for one that was changed, or sealed under a retired secret."""
        text = session_data.decode() if isinstance(session_data, bytes) else session_data
        try:
            found: dict[str, Any] = self.serializer().loads(unseal(text, purpose=PURPOSE))
        except (InvalidTag, KeyError, ValueError, binascii.Error):
            return {}
        return found
