"""A verifier in a process of its own, threads that ask it all the time, and a revocation."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Self

from django.db import connection

from keys.hotstore import publish as hotstore
from tests.dataplane import LiveKey, change
from tests.serving import verifier as verifier_process

RECOVERS_WITHIN_S = 15.0


class Verifier:
    """The verifier's own server, asked over one connection at a time."""

    def __init__(self, port: int, gateway: str) -> None:
        self._port, self._gateway = port, gateway

    def ask(self, text: str, **question: Any) -> dict[str, Any]:
        """The verdict."""
        caller = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            body = json.dumps({"key": text, **question})
            caller.request("POST", "/v1/keys/verify", body, {"Authorization": f"Bearer {self._gateway}"})
            told: dict[str, Any] = json.loads(caller.getresponse().read())
        finally:
            caller.close()
        return told

    def by(self, gateway: str) -> Self:
        """The same one, asked by another gateway."""
        return type(self)(self._port, gateway)

    def await_health(self, keys: list[LiveKey]) -> None:
        """Ask until each key is answered by the store; meanwhile every answer is true."""
        end = time.monotonic() + RECOVERS_WITHIN_S
        for live in keys:
            while True:
                told = self.ask(live.text)
                assert told["code"] in {"VALID", "UNAVAILABLE"}, told
                if told["code"] == "VALID" and "degraded" not in told:
                    break
                assert time.monotonic() < end, told


@contextmanager
def running(store: str, gateway: str, **variables: str) -> Iterator[Verifier]:
    """A verifier on this worker's database and on a hot store of its own."""
    with verifier_process(HOT_STORE_URL=store, **variables) as port:
        yield Verifier(port, gateway)


class Checkers:
    """Threads that ask all the time; `ended` names the keys whose revocation has returned."""

    def __init__(self, ask: Callable[[str], dict[str, Any]], keys: list[LiveKey], n_threads: int = 3) -> None:
        self.ended: set[str] = set()
        self.wrong: list[tuple[str, object]] = []
        self.codes: Counter[str] = Counter()
        self._ask, self._keys = ask, keys
        self._over = False
        self._threads = [threading.Thread(target=self._check, args=(number,)) for number in range(n_threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over = True
        for thread in self._threads:
            thread.join()

    def _check(self, first: int) -> None:
        number = first
        try:
            while not self._over:
                live = self._keys[number % len(self._keys)]
                number += 1
                was_ended = live.key.public_id in self.ended
                told = self._ask(live.text)
                code = str(told["code"])
                self.codes[f"degraded {code}" if "degraded" in told else code] += 1
                if told.get("key", live.key.public_id) != live.key.public_id:
                    self.wrong.append((live.key.public_id, told))  # another question's answer
                elif (code == "VALID" and was_ended) or code not in {"VALID", "REVOKED", "UNAVAILABLE"}:
                    self.wrong.append((live.key.public_id, told))
        except Exception as error:  # noqa: BLE001 - whatever it was, the test must tell it
            self.wrong.append(("", repr(error)))
        finally:
            connection.close()


def revoke(live: LiveKey) -> bool:
    """Revoke a key as its service does, and tell the store."""
    change(live.key, status="revoked", revoke_reason="leaked", ended_at=datetime.now(UTC))
    return hotstore.publish_key(live.key.public_id)
