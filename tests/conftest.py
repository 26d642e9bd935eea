"""What every test stands on: real servers, one database and one Valkey number per worker, and no network."""

import ipaddress
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from tests import servers

TESTS = Path(__file__).parent
MARKED_FOLDERS = {"browser": "browser", "faults": "fault", "races": "race"}

# The settings come from the environment as in production; these are the values of a test run.
ENVIRONMENT = {
    "SECRET_KEY": "a key of the tests only, long enough that `check --deploy` does not mind it",
    "API_KEY_HASH_SECRET": f"1:{'a1' * 32},2:{'a2' * 32}",
    "LINK_SECRET": f"1:{'b1' * 32}",
    "FIELD_SECRET": f"1:{'c1' * 32}",
    "DEBUG": "0",
    "DEMO": "0",
    "STATIC_FROM_SOURCE": "1",
    # The cheapest Argon2 there is; what the real parameters cost is measured elsewhere.
    "ARGON2_MEMORY_KIB": "64",
    "ARGON2_TIME_COST": "1",
}

_folder: Path | None = None


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers once per run, before Django reads its settings."""
    global _folder
    worker = getattr(config, "workerinput", None)
    os.environ.update(ENVIRONMENT)
    if worker is None:
        _folder = servers.start()
    else:
        number = int(worker["workerid"].removeprefix("gw")) + 1
        os.environ["REDIS_URL"] = urlsplit(os.environ["REDIS_URL"])._replace(path=f"/{number}").geturl()
    sys.addaudithook(_refuse_network)

    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    import django
    from django.conf import settings

    settings.PASSWORD_HASHERS = ["tests.hashers.CheapArgon2PasswordHasher"]
    django.setup()


def pytest_unconfigure() -> None:
    """Stop the servers, in the process that started them."""
    if _folder is not None:
        servers.stop(_folder)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by its folder: `-m "not browser and not fault"` is the fast suite."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0] if item.path.is_relative_to(TESTS) else ""
        if folder in MARKED_FOLDERS:
            item.add_marker(MARKED_FOLDERS[folder])


def _refuse_network(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: Python code under test reaches this machine only."""
    if event == "socket.connect":
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else "localhost"
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if isinstance(host, bytes):
        host = host.decode()
    if not _is_near(host):
        raise RuntimeError(f"A test tried to reach {host} over the network.")


def _is_near(host: object) -> bool:
    if not isinstance(host, str) or host in {"", "localhost"}:
        return True
    if host in {urlsplit(os.environ[name]).hostname for name in ("DATABASE_URL", "REDIS_URL")}:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: object) -> None:
    """The worker's database, made by the real migrations; remembers what they put in, for `flush`."""
    from tests import flush

    with django_db_blocker.unblock():  # type: ignore[attr-defined]  # pytest-django's blocker has no public type
        flush.install()


@pytest.fixture(autouse=True)
def valkey() -> Iterator["redis.Redis"]:
    """A client of this worker's Valkey database, which is empty when a test begins."""
    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    client.flushdb()
    yield client
    client.close()


@pytest.fixture
def process_environment(transactional_db: None) -> dict[str, str]:
    """The environment for a process that a test starts: this worker's own database and Valkey."""
    from django.db import connection

    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
    return {**os.environ, "DATABASE_URL": database.geturl()}
