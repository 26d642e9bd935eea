"""Plays a gateway: asks the verifier about the demo's keys at their usual pace, now and then wrongly."""

import http.client
import json
import logging
import random
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

from demo.credentials import Credentials, KnownKey

logger = logging.getLogger(__name__)

SLOWEST, FASTEST = 0.5, 4.0
PATIENCE_S = 5.0
FOREIGN_SCOPE = "vault:open"
FOREIGN_ADDRESS = "192.0.2.250"
TIMEOUT_S = 5


def usual_rate(credentials: Credentials) -> float:
    """Calls a second at which the keys' day looks like the days before, within bounds."""
    return min(FASTEST, max(SLOWEST, sum(key.a_day for key in credentials.keys) / 86_400))


def question_for(key: KnownKey, rng: random.Random) -> dict[str, object]:
    """One call: nearly always right; sometimes from elsewhere, for another scope, or mistyped."""
    luck = rng.random()
    question: dict[str, object] = {
        "key": key.secret,
        "ip": _address(key, rng),
        "scope": rng.choice(key.scopes),
        "workspace": key.workspace,
        "environment": key.environment,
        "lease_seconds": 30,
    }
    if luck < 0.004:
        question["scope"] = FOREIGN_SCOPE
    elif luck < 0.007 and key.ip_ranges:
        question["ip"] = FOREIGN_ADDRESS
    elif luck < 0.010:
        question["key"] = key.secret[:-1] + ("a" if key.secret[-1] != "a" else "b")
    return question


def report_for(answer: dict[str, Any], rng: random.Random) -> dict[str, object] | None:
    """How a call that was let through ended: nearly always well. None for one that never began."""
    if not answer.get("valid"):
        return None
    told: dict[str, object] = {
        "status": rng.choices((200, 404, 502), (990, 9, 1))[0],
        "latency_ms": round(rng.lognormvariate(4.4, 0.6), 1),
    }
    if "check" in answer:
        return told | {"check": answer["check"]}
    return told | {"key": answer["key"], "id": f"{rng.getrandbits(64):016x}"}


def _address(key: KnownKey, rng: random.Random) -> str:
    network = ip_network(key.ip_ranges[0] if key.ip_ranges else "198.51.100.128/26")
    # A few machines each, not one and not all of them.
    offset = rng.randrange(min(6, network.num_addresses))
    return str(network[offset])


class Traffic:
    """Asks until `wait` says stop. `wait(seconds)` sleeps and returns True when it is over."""

    def __init__(self, url: str, *, wait: Callable[[float], bool], rng: random.Random) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port
        self._secure = parts.scheme == "https"
        self._wait, self._rng = wait, rng
        self._connection: http.client.HTTPConnection | None = None

    def run(self, credentials: Credentials, *, rate: float) -> int:
        """Returns how many answers came."""
        n_answers, weights = 0, [key.a_day for key in credentials.keys]
        pause = 0.0
        while not self._wait(pause):
            key = self._rng.choices(credentials.keys, weights)[0]
            try:
                answer = self._post("/v1/keys/verify", question_for(key, self._rng), credentials.gateway)
                told = report_for(answer, self._rng)
                if told is not None:
                    self._post("/v1/usage", told, credentials.gateway)
            except (OSError, http.client.HTTPException, ValueError):
                self._connection = None
                pause = PATIENCE_S  # the verifier starts, stops or is away: that is not ours to report
            else:
                n_answers += 1
                pause = self._rng.expovariate(rate)
        if self._connection is not None:
            self._connection.close()
        return n_answers

    def _post(self, path: str, body: dict[str, object], gateway: str) -> dict[str, Any]:
        """One call over the kept connection; returns the answer. OSError, HTTPException, ValueError."""
        if self._connection is None:
            kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
            self._connection = kind(self._host, self._port, timeout=TIMEOUT_S)
        headers = {"Authorization": f"Bearer {gateway}", "Content-Type": "application/json"}
        self._connection.request("POST", path, json.dumps(body), headers)
        answer: dict[str, Any] = json.loads(self._connection.getresponse().read())
        return answer
