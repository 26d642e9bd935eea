"""What several tests of faults stand on."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.stack import Stack


@pytest.fixture(params=["own", "wsgi"])
def stack(request: pytest.FixtureRequest) -> "Iterator[Stack]":
    """Servers of its own, asked through the verifier's own server and through a WSGI server."""
    # pytest reads this file before the settings are there.
    from tests.stack import running_stack

    with running_stack(request.param) as running:
        yield running
