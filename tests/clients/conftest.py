"""A real verifier for the client's tests, and a place where none is."""

import socket
import time
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def _url(django_db_setup: None) -> Iterator[str]:
    from tests.serving import serving

    with serving() as (port, _):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def url(_url: str) -> str:
    """The verifier's address; each test brings a gateway, and it looks for so many new ones in a second."""
    # pytest reads this file before the settings are there.
    from verifier.callers.gateways import NEWS_PER_SECOND

    time.sleep(1.5 / NEWS_PER_SECOND)
    return _url


@pytest.fixture
def nowhere() -> str:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"
