"""What several tests of faults stand on."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlsplit

import pytest

if TYPE_CHECKING:
    from tests.dataplane import LiveKey
    from tests.proxies import Api
    from tests.relay import Relay
    from tests.stack import Seed, Stack

# pytest reads this file before the settings are there: each fixture imports what it needs.


@pytest.fixture(scope="package")
def seed() -> "Iterator[Seed]":
    """What each stack begins with."""
    from tests.stack import make_seed

    # Not below pytest's own folder, which PostgreSQL's user may not enter.
    with tempfile.TemporaryDirectory(prefix="kagiban-seed-") as name:
        yield make_seed(Path(name))


@pytest.fixture(params=["own", "wsgi"])
def stack(request: pytest.FixtureRequest, seed: "Seed") -> "Iterator[Stack]":
    """Servers of its own, asked through the verifier's own server and through a WSGI server."""
    from tests.stack import running_stack

    with running_stack(request.param, seed) as running:
        yield running


@pytest.fixture(scope="module")
def verifier_port(django_db_setup: None) -> Iterator[int]:
    """A verifier for the proxies of one file."""
    from tests.serving import verifier

    with verifier() as port:
        yield port


@pytest.fixture
def api() -> "Iterator[Api]":
    """The API behind a proxy."""
    from tests.proxies import api_behind

    with api_behind() as server:
        yield server


@pytest.fixture
def live() -> "LiveKey":
    """A key for who calls from here."""
    from tests.dataplane import make_live_key

    return make_live_key(ip_ranges=["127.0.0.1/32"], rpm=50)


@pytest.fixture
def slow_database(tmp_path: Path) -> "Iterator[tuple[Relay, str]]":
    """The way to this worker's database, by a socket of its own, and the URL that leads there."""
    from tests.relay import Relay
    from tests.serving import environment_here

    parts = urlsplit(environment_here()["DATABASE_URL"])
    folder = Path(parse_qs(parts.query)["host"][0])
    with Relay(folder / ".s.PGSQL.5432", path=tmp_path / ".s.PGSQL.5432") as way:
        yield way, parts._replace(query=f"host={quote(str(tmp_path))}").geturl()
