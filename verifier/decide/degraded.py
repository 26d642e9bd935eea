"""Checks while the hot store is away: the registry itself, with limits that only this process counts (V5)."""

import threading
import time
from datetime import UTC, datetime
from typing import Final

from django.db import Error as DatabaseFailure
from django.utils import timezone

from keys.hotstore import publish as hotstore
from keys.hotstore.record import MICROS, Policy, SecretState
from keys.secrets.form import FAMILY_LENGTH
from verifier.contract.codes import Code
from verifier.contract.question import Question
from verifier.decide import checks, cold
from verifier.decide.checks import Call, Counters
from verifier.decide.warm import Verdict
from verifier.registry.reading import UnavailableError, for_outages
from verifier.usage import local_use

_MAX_KEYS: Final = 50_000

_lock = threading.Lock()
# By family, and by the number of a workspace with limits.
_counters: dict[str, Counters] = {}
# Digests that Argon2 has proven in this process: a digest names the same text for ever.
_proven: set[bytes] = set()


def decide(question: Question, key_id: str, digest: bytes) -> Verdict:
    """The verdict of the registry as it is now; every answer says that it is degraded.

    Limits start from zero in each process, so several processes together may admit a multiple. Raises
    UnavailableError where the database is away too.
    """
    family = key_id[:FAMILY_LENGTH]
    try:
        with for_outages.reading():
            found = hotstore.read(family, now=timezone.now())
            secret = cold.match(question.secret, found.secrets) if found else None
            if found is None or secret is None:
                return Verdict(Code.NOT_FOUND, now=int(time.time()), degraded=True)
            is_proven = digest in _proven or secret.status not in {"live", "overlap"}
            if not is_proven and not cold.prove(question.secret, secret):
                return Verdict(Code.NOT_FOUND, now=int(time.time()), degraded=True)
    except DatabaseFailure:
        raise UnavailableError from None
    if len(_proven) >= _MAX_KEYS:
        _proven.clear()
    _proven.add(digest)
    policy = found.policy
    state = SecretState(digest, secret.status, secret.ends_at)
    verdict = _judge(policy, state, question, family)
    local_use.of_process.count(key_id, verdict.code, question.context, now=verdict.now)
    return verdict


def forget_all() -> None:
    """Drop what this process has counted and proven by itself."""
    _counters.clear()
    _proven.clear()
    local_use.of_process.forget()


def _judge(policy: Policy, state: SecretState, question: Question, family: str) -> Verdict:
    now = time.time()
    code = checks.refusal(policy, state, question.context, datetime.fromtimestamp(now, UTC))
    verdict = Verdict(code or Code.VALID, policy.identity, now=int(now), degraded=True)
    if code is not None:
        return verdict
    verdict.lease = local_use.new_lease()
    with _lock:
        if len(_counters) >= _MAX_KEYS:
            _counters.clear()
        taken = checks.take(
            policy,
            _counters.setdefault(family, Counters()),
            _counters.setdefault(policy.shared.workspace, Counters()) if policy.shared else Counters(),
            Call(
                micros=int(now * MICROS),
                cost=question.context.cost_micros,
                lease=verdict.lease,
                lease_seconds=question.context.lease_seconds,
            ),
        )
    verdict.code = taken.code or Code.VALID
    verdict.retry = taken.retry
    verdict.minute, verdict.hour, verdict.budget = taken.left
    verdict.shared = taken.shared
    return verdict
