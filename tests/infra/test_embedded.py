"""The embedded servers: started twice, long paths, data that outlives a kill."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from config import embedded

pytestmark = pytest.mark.long


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    embedded.stop_valkey(tmp_path)
    embedded.stop_postgres(tmp_path)


def valkey_pid(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        return int(client.info("server")["process_id"])


def test_postgresql_keeps_its_data_and_starts_once(root: Path) -> None:
    url = embedded.start_postgres(root, durable=False)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (value text)")
        connection.execute("INSERT INTO kept VALUES ('鍵番')")
    assert embedded.start_postgres(root, durable=False) == url
    embedded.stop_postgres(root)
    assert embedded.start_postgres(root, durable=False) == url
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT value FROM kept").fetchone() == ("鍵番",)


def test_postgresql_says_nothing_of_values_in_its_log(root: Path) -> None:
    url = embedded.start_postgres(root, durable=False)
    with psycopg.connect(url) as connection, pytest.raises(psycopg.Error):
        connection.execute("SELECT 'a private value'::integer")
    log = (root / "pg" / "log").read_text()
    assert "STATEMENT" not in log
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TEMPORARY TABLE t (a text UNIQUE)")
        with pytest.raises(psycopg.Error):
            connection.execute("INSERT INTO t VALUES ('private'), ('private')")
    assert "private)" not in (root / "pg" / "log").read_text()


def test_a_path_too_long_for_a_socket_still_works(root: Path) -> None:
    deep = root / ("d" * 60) / ("e" * 60)
    url = embedded.start_postgres(deep, durable=False)
    try:
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        embedded.stop_postgres(deep)
    assert not Path(url.partition("host=")[2]).exists()


def test_valkey_starts_once_and_wants_its_password(root: Path) -> None:
    url = embedded.start_valkey(root)
    pid = valkey_pid(url)
    assert embedded.start_valkey(root) == url
    assert valkey_pid(url) == pid
    with redis.Redis.from_url(url) as client:
        port = client.connection_pool.connection_kwargs["port"]
    with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    command = " ".join(psutil.Process(pid).cmdline())
    assert url.partition("@")[0].rpartition(":")[2] not in command
    for name in ("password", "valkey.conf"):
        assert (root / "valkey" / name).stat().st_mode & 0o077 == 0


def test_valkey_answers_on_a_socket_too_where_its_path_is_short(root: Path) -> None:
    pid = valkey_pid(embedded.start_valkey(root))
    url = embedded.valkey_socket_url(root)
    assert url is not None
    assert valkey_pid(url) == pid
    assert (root / "valkey" / "vk.sock").stat().st_mode & 0o077 == 0
    assert embedded.valkey_socket_url(root / ("deep" * 30)) is None


def test_valkey_keeps_what_it_acknowledged_a_second_ago(root: Path) -> None:
    url = embedded.start_valkey(root)
    with redis.Redis.from_url(url) as client:
        client.set("kept", "yes")
        assert client.waitaof(1, 0, 3_000)[0] == 1
    pid = valkey_pid(url)
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid)], timeout=5)
    with redis.Redis.from_url(embedded.start_valkey(root)) as client:
        assert client.get("kept") == b"yes"
