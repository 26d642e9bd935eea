"""Revokes every key of the registry, in order, in a few threads; marks each whose revocation returned."""

import sys
import threading
from itertools import count
from pathlib import Path

import django

django.setup()

from django.db import connection
from django.utils import timezone

from accounts.models import User
from core.actors import staff_actor
from core.ids import next_public_id
from keys.models import Key
from keys.status.services import revoke_key
from script.bench_client import marks

N_THREADS = 3


def main(path: Path, n_keys: int) -> None:
    """Revoke the keys KB-0001 to the last; byte n of the file belongs to key n + 1."""
    ended = marks(path)
    by = User.objects.create_user(
        "sec@kagiban.example", public_id=next_public_id("ST"), name="Sho", roles=["security"]
    )
    numbers = count()

    def revoke() -> None:
        try:
            while (number := next(numbers)) < n_keys:
                key = Key.objects.get(public_id=f"KB-{number + 1:04}")
                revoke_key(
                    actor=staff_actor(by), by=by, key=key, reason="leaked", note="",
                    typed_number=key.public_id, now=timezone.now(),
                )  # fmt: skip
                ended[number] = 1
        finally:
            connection.close()

    threads = [threading.Thread(target=revoke) for _ in range(N_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
