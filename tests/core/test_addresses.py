"""Whose address counts: the caller's own word never does."""

from ipaddress import IPv6Network, ip_address, ip_network

import pytest
from django.core.exceptions import ValidationError
from hypothesis import example, given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from core.actors import address_behind_proxies
from core.addresses import MAPPED, holds, parse_address, parse_network
from core.parsing import read_network
from keys.hotstore.record import address_hex, ranges


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
        # As a dual-stack socket shows a peer of IPv4.
        ("::ffff:10.0.0.2", "203.0.113.7", "203.0.113.7"),
        ("::ffff:10.0.0.2", "203.0.113.7, ::ffff:10.9.9.9", "203.0.113.7"),
        ("::ffff:198.51.100.9", "203.0.113.7", "198.51.100.9"),
        # Azure's application gateway sends the caller's port.
        ("10.0.0.2", "203.0.113.7:443", "203.0.113.7"),
        ("10.0.0.2", "[2001:db8::9]:443", "2001:db8::9"),
        ("10.0.0.2", "[2001:db8::9]", "2001:db8::9"),
        ("10.0.0.2", "203.0.113.7:51234, 10.9.9.9:80", "203.0.113.7"),
        ("10.0.0.2", "203.0.113.7:", "10.0.0.2"),
        ("10.0.0.2", "203.0.113.7:99999", "10.0.0.2"),
        ("10.0.0.2", "203.0.113.7:٤٤٣", "10.0.0.2"),
        ("10.0.0.2", "[203.0.113.7]:443", "10.0.0.2"),
        ("10.0.0.2", "010.0.0.9", "10.0.0.2"),
        ("10.0.0.2", "fe80::9%eth0", "fe80::9"),
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


# --- a range and an address meet in their own family only ---------------------------------------------------

AROUND_IPV4 = ["::/0", "::/16", "::/64", "::/80", "::fffe:0:0/95"]


def packed_ranges_hold(network: str, address: str) -> bool:
    """What functions.lua and verifier.decide.checks find: `within` on packed ranges."""
    packed, place = ranges([network]).decode(), address_hex(address).decode()
    return any(packed[i : i + 32] <= place <= packed[i + 32 : i + 64] for i in range(0, len(packed), 64))


def truly_holds(network: str, address: str) -> bool:
    """By the standard library, with what is mapped taken for what it stands for."""
    block, place = ip_network(network, strict=False), ip_address(address)
    if place.version == 6 and place.ipv4_mapped:
        place = place.ipv4_mapped
    if isinstance(block, IPv6Network) and block.subnet_of(MAPPED):
        first = block[0].ipv4_mapped
        block = ip_network(f"{first}/{block.prefixlen - 96}")
    return place in block


ADDRESSES = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.ip_addresses(v=4).map(lambda address: f"::ffff:{address}"),
    st.integers(0, 2**50).map(lambda number: str(ip_address("::") + number)),
)


@st.composite
def networks(draw: st.DrawFn) -> str:
    """Any block, those near and around the mapped ones often."""
    address = ip_address(draw(ADDRESSES))
    prefix = draw(st.integers(0, address.max_prefixlen))
    return str(ip_network(f"{address}/{prefix}", strict=False))


@given(network=networks(), address=ADDRESSES)
@example(network="::/64", address="203.0.113.7")
@example(network="::/64", address="::ffff:203.0.113.7")
@example(network="::/64", address="::1")
@example(network="::/0", address="::1:0:0:0")
@example(network="::ffff:0:0/96", address="203.0.113.7")
@example(network="::ffff:10.0.0.0/104", address="10.1.2.3")
@example(network="64:ff9b::/96", address="203.0.113.7")
def test_everybody_agrees_whether_an_address_lies_in_a_range(network: str, address: str) -> None:
    expected = truly_holds(network, address)
    assert packed_ranges_hold(network, address) == expected
    assert holds([parse_network(network)], parse_address(address)) == expected


@pytest.mark.parametrize("network", AROUND_IPV4)
def test_a_range_of_ipv6_holds_no_address_of_ipv4(network: str) -> None:
    assert not packed_ranges_hold(network, "203.0.113.7")
    assert packed_ranges_hold(network, str(ip_network(network)[0]))
    with pytest.raises(ValidationError) as refused:
        read_network(network)
    assert refused.value.code == "too_wide"
