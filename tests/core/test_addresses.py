"""Whose address counts: the caller's own word never does."""

import pytest
from pytest_django.fixtures import Settings

from core.actors import address_behind_proxies


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("198.51.100.9", "203.0.113.7", "198.51.100.9"),  # no proxy of ours: its header is its own word
        ("10.0.0.2", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.2", "1.1.1.1, 203.0.113.7", "203.0.113.7"),  # the left part was sent by the caller
        ("10.0.0.2", "203.0.113.7, 10.9.9.9", "203.0.113.7"),  # two proxies of ours
        ("10.0.0.2", "203.0.113.7, nonsense", "10.0.0.2"),
        ("10.0.0.2", "", "10.0.0.2"),
        ("2001:db8::1", "203.0.113.7", "203.0.113.7"),
        ("", "203.0.113.7", ""),
        ("not an address", "203.0.113.7", "not an address"),
    ],
)
def test_the_address_behind_proxies(settings: Settings, peer: str, forwarded: str, expected: str) -> None:
    settings.TRUSTED_PROXIES = ["10.0.0.0/8", "2001:db8::1"]
    assert address_behind_proxies(peer, forwarded) == expected


def test_without_proxies_the_peer_counts(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = []
    assert address_behind_proxies("10.0.0.2", "203.0.113.7") == "10.0.0.2"
