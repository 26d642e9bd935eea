"""What every test stands on: real servers, one database and one Valkey number per worker, and no network."""

import gc
import ipaddress
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import hypothesis
import pytest
import redis

from tests import guard, servers
from tests.environment import ENVIRONMENT

if TYPE_CHECKING:
    from tests.cast import Cast

TESTS = Path(__file__).parent
MARKED_FOLDERS = {"browser": "browser", "faults": "fault", "races": "race"}
# Pages that are walked case by case, or role by role: five to thirty-five seconds each of two quiet cores.
LONG = {
    "accounts/test_invite_admin.py",
    "approvals/test_break_glass.py",
    "approvals/test_change_pages.py",
    "approvals/test_changes_in_doubt.py",
    "approvals/test_changing.py",
    "approvals/test_consent_pages.py",
    "approvals/test_decide_pages.py",
    "approvals/test_deputies.py",
    "approvals/test_links_scanner.py",
    "approvals/test_not_me.py",
    "approvals/test_outlook.py",
    "approvals/test_policy_pages.py",
    "approvals/test_queue.py",
    "approvals/test_request_form.py",
    "approvals/test_request_pages.py",
    "approvals/test_retirement_pages.py",
    "approvals/test_revision_pages.py",
    "approvals/test_story.py",
    "approvals/test_withdrawing_consent.py",
    "clients/test_client.py",
    "clients/test_middleware.py",
    "clients/test_reporting.py",
    "keys/test_collecting.py",
    "keys/test_key_page.py",
    "keys/test_registry.py",
    "partners/test_belongings.py",
    "permissions/test_every_url.py",
    "verifier/test_model.py",
    "verifier/test_openapi_live.py",
    "verifier/test_server.py",
}

# What takes longest of each suite: begun last, it would leave the other cores idle.
FIRST = (
    "approvals/test_workflow_machine.py",
    "approvals/test_a_quarter.py",
    "browser/test_every_page.py",
    "demo/test_demo.py",
    "faults/test_server_command.py",
    "verifier/test_openapi_live.py",
)

FOLDER = pytest.StashKey[Path]()

# The same examples every time: what turns red is what was changed; `--hypothesis-profile=explore` looks for
# others. How long an example takes says nothing, the machine may be busy. Our fixtures last for all of them.
hypothesis.settings.register_profile(
    "explore",
    deadline=None,
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.function_scoped_fixture,
    ],
)
hypothesis.settings.register_profile(
    "repeatable", hypothesis.settings.get_profile("explore"), derandomize=True, database=None
)
hypothesis.settings.load_profile("repeatable")


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers once per run, before Django reads its settings."""
    worker = getattr(config, "workerinput", None)
    os.environ.update(ENVIRONMENT)
    os.environ.pop("HOT_STORE_URL", None)
    if worker is None:
        config.stash[FOLDER] = servers.start()
    else:
        assert "config.settings" not in sys.modules, "the settings came before their environment"
        os.environ["REDIS_URL"] = servers.valkey_of(worker["workerid"])
    sys.addaudithook(_refuse_network)
    sys.addaudithook(guard.refuse_writing)

    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    import django
    from django.conf import settings

    settings.PASSWORD_HASHERS = ["tests.hashers.CheapArgon2PasswordHasher"]
    django.setup()
    # pytest-django would load the settings in the workers before `pytest_configure` names their own Valkey.
    if worker is None and config.getoption("dist", "no") != "no":
        del os.environ["DJANGO_SETTINGS_MODULE"]


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is loaded by now stays: the collector need not walk all of it again after every page."""
    del session
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers, in the process that started them."""
    if FOLDER in config.stash:
        servers.stop(config.stash[FOLDER])
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        servers.stop_valkey_of(worker["workerid"])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by its folder, so that `script/test` can run each kind by itself."""
    for item in items:
        path = item.path.relative_to(TESTS) if item.path.is_relative_to(TESTS) else item.path
        if path.parts[0] in MARKED_FOLDERS:
            item.add_marker(MARKED_FOLDERS[path.parts[0]])
        if path.as_posix() in LONG:
            item.add_marker("long")
    first = {TESTS / path for path in FIRST}
    # What the product's processes serve stands together: they start once.
    items.sort(key=lambda item: (item.path not in first, "product" in getattr(item, "fixturenames", ())))


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
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Copy the database that `script/test` migrated for all workers, where there is one."""
    from django.db import connection

    if servers.TEMPLATE in os.environ:
        connection.settings_dict["TEST"]["TEMPLATE"] = os.environ[servers.TEMPLATE]


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: object) -> None:
    """The worker's database, made by the real migrations; remembers what they put in, for `flush`."""
    from tests import flush

    with django_db_blocker.unblock():  # type: ignore[attr-defined]  # pytest-django's blocker has no public type
        flush.install()


@pytest.fixture(scope="session")
def valkey_sweeper() -> Iterator["redis.Redis"]:
    """Empties this worker's Valkey: to connect anew costs more than many a test."""
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        yield client


@pytest.fixture(autouse=True)
def valkey(valkey_sweeper: "redis.Redis") -> Iterator["redis.Redis"]:
    """A client of this worker's Valkey database, which is empty when a test begins."""
    from core import background

    valkey_sweeper.flushdb()
    background.resume()
    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    yield client
    client.close()


@pytest.fixture(autouse=True)
def speaks_japanese() -> None:
    """No test speaks the language of the last page that another one asked for."""
    from django.utils import translation

    translation.deactivate()


@pytest.fixture
def fresh_process() -> Iterator[None]:
    """Nothing of another test's hot store is left in this process, and nothing of ours afterwards."""
    from keys.hotstore import client as hotwire
    from verifier.callers import gateways
    from verifier.decide import degraded

    gateways.forget_all()
    degraded.forget_all()
    hotwire.resume()
    yield
    degraded.forget_all()
    hotwire.drop()
    hotwire.resume()


@pytest.fixture
def process_environment(transactional_db: None) -> dict[str, str]:
    """The environment for a process that a test starts: this worker's own database and Valkey."""
    from tests.serving import environment_here

    return environment_here()


@pytest.fixture
def cast(db: None) -> "Cast":
    """The fixed cast: people over all roles, partners, contracts and the catalogue (tests/cast.py)."""
    from tests import kept_cast

    return kept_cast.enter()
