"""Every test of the verifier begins in a process that has seen no gateway and no outage yet."""

import pytest


@pytest.fixture(autouse=True)
def fresh_process() -> None:
    """Forget what a verifier process keeps to itself."""
    # pytest reads this file before the settings are there.
    from keys.hotstore import client as hotwire
    from verifier.callers import gateways
    from verifier.decide import degraded

    gateways.forget_all()
    degraded.forget_all()
    hotwire.resume()


@pytest.fixture
def gateway(db: None) -> str:
    """The credential of a gateway that may ask from everywhere."""
    from tests.dataplane import make_gateway

    return make_gateway()


@pytest.fixture
def reporting(db: None) -> str:
    """The same of a gateway that reports when calls end, so that they hold a place."""
    from tests.dataplane import make_gateway

    return make_gateway(reports_ends=True)
