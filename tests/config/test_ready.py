"""What `/readyz` says of the servers behind a process (O2)."""

import json
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.test import Client

from keys.hotstore import client as hotwire
from tests.relay import Relay

pytestmark = pytest.mark.django_db(transaction=True)
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture(autouse=True)
def fresh_process() -> Iterator[None]:
    hotwire.drop()
    hotwire.resume()
    yield
    hotwire.drop()
    hotwire.resume()


def missing() -> set[str]:
    """What it says is away; the status and the word agree with that."""
    answer = Client().get("/readyz")
    told: dict[str, Any] = json.loads(answer.content)
    word = told.pop("status")
    away = {name for name, answers in told.items() if not answers}
    assert set(told) == {"postgresql", "valkey", "hot_store"}
    assert (answer.status_code, word) == ((503, "unavailable") if away else (200, "ok"))
    return away


def test_it_names_the_server_that_is_away(settings: Any) -> None:
    assert missing() == set()
    own = settings.HOT_STORE_URL
    settings.HOT_STORE_URL = NOWHERE
    assert missing() == {"hot_store"}
    settings.HOT_STORE_URL = own
    settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": NOWHERE}}
    assert missing() == {"valkey"}


def test_a_hot_store_that_is_silent_does_not_answer(settings: Any) -> None:
    port = urlsplit(os.environ["REDIS_URL"]).port
    assert port
    with Relay(port) as relay:
        settings.HOT_STORE_URL = relay.instead_of(os.environ["REDIS_URL"])
        assert missing() == set()
        relay.hold()
        assert missing() == {"hot_store"}
        relay.release()
        assert missing() == set(), "no pause: it is asked anew each time"
        relay.cut()
        assert missing() == set(), "a connection that was closed while it was idle is replaced"


def test_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    connection.close()
    with monkeypatch.context() as away:
        away.setitem(connection.settings_dict, "HOST", "127.0.0.1")
        away.setitem(connection.settings_dict, "PORT", "1")
        assert missing() == {"postgresql"}
    connection.close()
    assert missing() == set()
