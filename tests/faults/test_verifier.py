"""V5 for real: PostgreSQL and Valkey stopped and killed under a running verifier, and back again."""

from typing import Any

from config import embedded
from tests.stack import ANSWERS_WITHIN_S, Stack


def _never_valid_but_revoked(_status: int, body: dict[str, Any]) -> bool:
    assert body["code"] in {"REVOKED", "UNAVAILABLE"}
    return bool(body["code"] == "REVOKED")


def healthy(status: int, body: dict[str, Any]) -> bool:
    return status == 200 and body["code"] == "VALID" and "degraded" not in body


def test_servers_go_and_come_back(stack: Stack) -> None:
    warm, other, cold = stack.keys
    for text in (warm, other):
        status, body, _ = stack.ask(text)
        assert healthy(status, body)
    assert stack.missing() == set()

    # Valkey killed: the registry answers, and says that it is degraded.
    stack.kill_valkey()
    for _ in range(20):
        status, body, seconds = stack.ask(warm)
        assert (status, body["code"], body["degraded"]) == (200, "VALID", True)
        assert seconds < ANSWERS_WITHIN_S
    assert stack.missing() == {"valkey", "hot_store"}
    # A change made meanwhile counts at once; the store can't be told of it.
    stack.sql(
        "UPDATE keys_key SET status = 'revoked', revoke_reason = 'leaked', ended_at = now(), "
        "revision = revision + 1 WHERE id = (SELECT key_id FROM keys_secret "
        f"WHERE public_id = '{other.split('_')[2]}')"
    )
    assert stack.ask(other)[1]["code"] == "REVOKED"

    # A gateway that wants no answer without the store gets none.
    stack.sql("UPDATE verifier_gateway SET fail_policy = 'closed'")
    stack.await_answer(warm, lambda status, body: status == 503 and body["code"] == "UNAVAILABLE")
    stack.sql("UPDATE verifier_gateway SET fail_policy = 'open'")

    # Back with what it had written: the record from before the revocation is not believed.
    stack.start_valkey()
    stack.await_answer(other, _never_valid_but_revoked)
    stack.await_answer(warm, healthy)
    stack.await_rest()
    assert stack.ask(other)[1]["code"] == "REVOKED"

    # PostgreSQL stopped: warm keys go on, the gateway stays known, a cold key is a clear 503.
    embedded.stop_postgres(stack.folder)
    stack.stays(warm, healthy, seconds=4)  # longer than a gateway's credential is believed without asking
    status, body, _ = stack.ask(cold)
    assert (status, body["code"]) == (503, "UNAVAILABLE")
    assert stack.missing() == {"postgresql"}

    # Both away: a clear 503, and no thread is stuck.
    stack.kill_valkey()
    for _ in range(20):
        status, body, seconds = stack.ask(warm)
        assert (status, body["code"]) == (503, "UNAVAILABLE")
        assert seconds < ANSWERS_WITHIN_S

    # Back again, by itself.
    embedded.start_postgres(stack.folder)
    stack.start_valkey()
    stack.await_answer(warm, healthy)
    stack.await_answer(cold, healthy)
    assert stack.missing() == set()
