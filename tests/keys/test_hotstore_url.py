"""The store by other URLs: over TLS, with a user that may do only what is needed, on a socket (O1)."""

import asyncio
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfoNotFoundError

import pytest
import redis.exceptions
from celery import Celery
from django.core.cache import caches
from django.utils import timezone

from config.stores import broker_url, cache_url
from keys.hotstore import client as hotwire
from keys.hotstore import publish as hotstore
from keys.hotstore.pipeline import Way
from keys.secrets import form as secret_format
from keys.use.selectors.limits import use_now
from tests.dataplane import change, make_gateway, make_live_key, verify
from tests.relay import Relay, make_certificate
from verifier.usage.drain import drain_use

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.usefixtures("fresh_process")


@contextmanager
def store_at(settings: Any, url: str) -> Iterator[None]:
    """This process's hot store is the one at `url`."""
    settings.HOT_STORE_URL = url
    hotwire.drop()
    hotwire.resume()
    yield
    hotwire.drop()
    hotwire.resume()


def _over_pipe() -> bool:
    """Whether the event loop's way opens, and which function call it gets answered."""

    async def main() -> bool:
        way = Way(asyncio.get_running_loop())
        await way.open()
        pipe = way.pipe()
        await way.close()
        return pipe is not None and bool(pipe.run)

    return asyncio.run(main())


@pytest.fixture
def certified(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The worker's own Valkey behind TLS: its URL, and the authority's file."""
    authority, context = make_certificate(tmp_path)
    parts = urlsplit(os.environ["REDIS_URL"])
    assert parts.port is not None
    with Relay(parts.port, tls=context) as relay:
        yield relay.instead_of(os.environ["REDIS_URL"]).replace("redis:", "rediss:", 1), authority


def test_checks_go_over_tls(db: None, settings: Any, certified: tuple[str, Path]) -> None:
    url, authority = certified
    gateway, live = make_gateway(), make_live_key(rpm=2)
    with store_at(settings, f"{url}?ssl_ca_certs={authority}"):
        answers = [verify(gateway, live.text) for _ in range(3)]
        assert [answer.code for answer in answers] == ["VALID", "VALID", "RATE_LIMITED_MINUTE"]
        assert not any("degraded" in answer.json for answer in answers)
        assert _over_pipe()


def test_connection_over_tls_that_was_closed_is_replaced(
    settings: Any, certified: tuple[str, Path], valkey: Any
) -> None:
    url, authority = certified
    with store_at(settings, f"{url}?ssl_ca_certs={authority}"):
        assert hotwire.ask(hotwire.encode("PING")) == b"PONG"
        valkey.client_kill_filter(_type="normal", skipme=True)
        assert hotwire.ask(hotwire.encode("PING")) == b"PONG"


@pytest.mark.parametrize(
    ("parameters", "works"),
    [
        ("", False),
        ("?ssl_cert_reqs=none", True),
        ("?ssl_ca_certs=/nowhere.pem", False),
        ("?ssl_check_hostname=false", False),
    ],
)
def test_certificate_that_nobody_vouches_for_is_refused(
    settings: Any, certified: tuple[str, Path], parameters: str, works: bool
) -> None:
    with store_at(settings, certified[0] + parameters):
        if works:
            assert hotwire.ask(hotwire.encode("PING")) == b"PONG"
        else:
            with pytest.raises(hotwire.StoreUnavailableError):
                hotwire.ask(hotwire.encode("PING"))
        assert _over_pipe() is works


def test_cache_and_broker_go_over_tls(settings: Any, certified: tuple[str, Path]) -> None:
    url, authority = certified
    settings.CACHES = {
        "default": settings.CACHES["default"] | {"LOCATION": cache_url(f"{url}?ssl_ca_certs={authority}")}
    }
    caches["default"].set("one", 1)
    assert caches["default"].get("one") == 1
    caches["default"].close()
    for parameters, error in (f"?ssl_ca_certs={authority}", None), ("", "CERTIFICATE_VERIFY_FAILED"):
        app = Celery(broker=broker_url(url + parameters))
        with app.connection_for_write() as connection:
            if error is None:
                connection.ensure_connection(max_retries=1, timeout=5)
            else:
                with pytest.raises(Exception, match=error):
                    connection.ensure_connection(max_retries=1, timeout=5)
        app.close()


@pytest.mark.parametrize(
    ("url", "cache", "broker"),
    [
        ("redis://:p%40@h:1/2", "redis://:p%40@h:1/2", "redis://:p%40@h:1/2"),
        ("valkey://h/", "redis://h/", "redis://h/"),
        ("valkeys://u:p@h", "rediss://u:p@h", "rediss://u:p@h?ssl_cert_reqs=required"),
        ("rediss://h?ssl_cert_reqs=none", "rediss://h?ssl_cert_reqs=none", "rediss://h?ssl_cert_reqs=none"),
        ("unix://:p@/v.sock?db=3", "unix://:p@/v.sock?db=3", "redis+socket://:p@/v.sock?virtual_host=3"),
        ("redis+socket:///v.sock", "unix:///v.sock?db=0", "redis+socket:///v.sock?virtual_host=0"),
    ],
)
def test_each_reader_gets_the_address_as_it_writes_it(url: str, cache: str, broker: str) -> None:
    assert (cache_url(url), broker_url(url)) == (cache, broker)


def _documented_rules(user: str) -> list[str]:
    """The rules of a user's line in docs/running.md."""
    found = re.search(rf"^user {user} (.+)$", (ROOT / "docs" / "running.md").read_text(), re.MULTILINE)
    assert found is not None
    return [">s3cret" if rule.startswith(">") else rule for rule in found[1].split()]


@contextmanager
def documented_user(valkey: Any, user: str) -> Iterator[str]:
    """The URL of a user who may do what docs/running.md lists, and nothing else; it must be enough."""
    valkey.execute_command("ACL", "SETUSER", user, "reset", *_documented_rules(user))
    valkey.execute_command("ACL", "LOG", "RESET")
    parts = urlsplit(os.environ["REDIS_URL"])
    yield parts._replace(netloc=f"{user}:s3cret@127.0.0.1:{parts.port}").geturl()
    valkey.execute_command("ACL", "DELUSER", user)


def test_acl_line_names_every_command_of_the_function() -> None:
    source = (ROOT / "keys" / "hotstore" / "functions.lua").read_text()
    used = {f"+{word.lower()}" for word in re.findall(r"redis\.call\('(\w+)'", source)}
    assert used - set(_documented_rules("kagiban-hot")) == set(), "add them to the line in docs/running.md"


def test_documented_user_may_do_all_that_is_needed(db: None, settings: Any, valkey: Any) -> None:
    valkey.function_flush()
    gateway = make_gateway()
    live = make_live_key(rpm=60, rph=100, burst=20, concurrency=20, monthly_budget_usd=10)
    now = timezone.now()
    with documented_user(valkey, "kagiban-hot") as url, store_at(settings, url):
        for question in ({}, {"cost_usd": "1", "lease_seconds": 5}):
            answer = verify(gateway, live.text, **question)
            assert answer.code == "VALID"
            assert "degraded" not in answer.json
        for family in (live.key.family, secret_format.new_family("WS-9999")):
            false = secret_format.generate("kb", "live", family).text
            assert verify(gateway, false, ip="203.0.113.9").code == "NOT_FOUND"
        assert use_now([live.key], now=now)[live.key.pk].in_minute == 2
        change(live.key, status="suspended", suspended_at=now)
        assert hotstore.publish_key(live.key.public_id)
        assert verify(gateway, live.text).code == "SUSPENDED"
        # Where a mistake of ours keeps the store from being told, the old record is taken out of it.
        zones = type(live.key.workspace).objects.filter(pk=live.key.workspace_id)
        zones.update(time_zone="Nowhere/At all")
        with pytest.raises(ZoneInfoNotFoundError):
            hotstore.publish_key(live.key.public_id)
        zones.update(time_zone="Asia/Tokyo")
        assert drain_use(now=now) >= 1
        assert _over_pipe()
        assert valkey.execute_command("ACL", "LOG") == []
        for words in (["FLUSHALL"], ["KEYS", "*"], ["CONFIG", "GET", "*"], ["GET", "portal:1:x"]):
            with pytest.raises(hotwire.StoreUnavailableError, match="NOPERM"):
                hotwire.ask(hotwire.encode(*words))


def test_documented_user_of_cache_and_queue_may_do_what_they_need(settings: Any, valkey: Any) -> None:
    with documented_user(valkey, "kagiban") as url:
        settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": cache_url(url)}}
        caches["default"].set("one", 1, 60)
        assert caches["default"].incr("one") == 2
        caches["default"].close()
        app = Celery(broker=broker_url(url))
        app.conf.broker_transport_options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
        with app.connection_for_write() as connection, connection.SimpleQueue("q") as queue:
            queue.put({"n": 1})
            message = queue.get(timeout=5)
            assert message.payload == {"n": 1}
            message.ack()
        assert app.control.ping(timeout=0.1) == []
        app.close()
        assert valkey.execute_command("ACL", "LOG") == []
        with pytest.raises(redis.exceptions.NoPermissionError):
            redis.Redis.from_url(url).hgetall("kb:{00}:u")
