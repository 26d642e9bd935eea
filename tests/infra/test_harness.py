"""The test harness itself: what other tests lean on without looking."""

import os
import socket
from datetime import UTC, datetime

import psycopg
import pytest
import redis
from django.conf import settings
from django.db import DatabaseError, connection, transaction

from audit.actions import Action
from audit.models import Event
from audit.services import record
from core.actors import SYSTEM


def leave_an_event() -> None:
    with transaction.atomic():
        record(Action.SIGNED_IN, actor=SYSTEM("test"), objects=["staff:ST-0001"], now=datetime.now(UTC))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", [1, 2])
def test_database_is_empty_again_after_committed_events(turn: int) -> None:
    assert Event.objects.count() == 0
    leave_an_event()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", [1, 2])
def test_rows_of_the_migrations_outlive_the_flush(turn: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM django_content_type")
        assert cursor.fetchone()[0] > 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", [1, 2])
@pytest.mark.parametrize("statement", ["UPDATE audit_event SET action = 'x'", "TRUNCATE audit_event CASCADE"])
def test_flush_puts_the_guards_of_the_audit_log_back(turn: int, statement: str) -> None:
    leave_an_event()
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        with pytest.raises(DatabaseError, match="append-only"):
            cursor.execute(statement)
        cursor.execute("SET session_replication_role = DEFAULT")


@pytest.mark.parametrize("turn", [1, 2])
def test_valkey_is_empty_when_a_test_begins(valkey: "redis.Redis", turn: int) -> None:
    assert valkey.dbsize() == 0
    valkey.set("left", "over")


def test_a_process_gets_the_database_of_this_worker(process_environment: dict[str, str]) -> None:
    with psycopg.connect(process_environment["DATABASE_URL"]) as other:
        row = other.execute("SELECT current_database()").fetchone()
    assert row == (connection.settings_dict["NAME"],)
    assert process_environment["REDIS_URL"] == os.environ["REDIS_URL"]


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "example.org"])
def test_no_test_reaches_the_network(host: str) -> None:
    with pytest.raises(RuntimeError, match="over the network"):
        socket.create_connection((host, 80), timeout=1)


def test_the_settings_know_the_servers_of_this_worker(valkey: "redis.Redis") -> None:
    valkey.set("mine", "yes")
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        assert client.get("mine") == b"yes"
