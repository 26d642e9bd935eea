"""IP addresses and ranges: read in one way, and compared only within their own family (V2).

An IPv4 address that a dual-stack socket shows as IPv6 (`::ffff:203.0.113.7`, RFC 4291) is that IPv4 address.
A range of IPv6 never holds one of IPv4, however wide it is.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAPPED: Final = IPv6Network("::ffff:0:0/96")
# Addresses come with every call, and the same ones again and again.
_MOST_KEPT: Final = 50_000
_PORT: Final = re.compile(r":[0-9]{1,5}", re.ASCII).fullmatch


@lru_cache(maxsize=_MOST_KEPT)
def parse_address(text: str) -> Address:
    """An address as proxies write it: alone, with a port (`203.0.113.7:443`, `[2001:db8::1]:443`), mapped.

    Azure's application gateway sends the port. A zone (`fe80::1%eth0`) means something on one machine only
    and is dropped. Raises ValueError for anything else.
    """
    text = text.strip()
    if text.startswith("["):
        host, closing, port = text[1:].partition("]")
        if not closing or (port and not _is_port(port)):
            raise ValueError(text)
        return _unmapped(IPv6Address(host.partition("%")[0]))
    host, colon, port = text.partition(":")
    if colon and ":" not in port:
        if not _is_port(colon + port):
            raise ValueError(text)
        return IPv4Address(host)
    return _unmapped(ip_address(text.partition("%")[0]))


@lru_cache(maxsize=_MOST_KEPT)
def canonical_address(text: str) -> str:
    """`parse_address` as text. Raises ValueError."""
    return str(parse_address(text))


def parse_network(text: str, *, strict: bool = False) -> Network:
    """A network, or an address as the network of one; a mapped one is the network of IPv4 that it stands for.

    `strict`: host bits that are set are an error. Raises ValueError.
    """
    network = ip_network(text, strict=strict)
    if isinstance(network, IPv6Network) and network.subnet_of(MAPPED):
        mapped = network.network_address.ipv4_mapped
        assert mapped is not None
        return IPv4Network((mapped, network.prefixlen - MAPPED.prefixlen))
    return network


def holds(networks: Iterable[Network], address: Address) -> bool:
    """Whether the address lies in one of these networks of its own family."""
    return any(network.version == address.version and address in network for network in networks)


def _unmapped(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_port(text: str) -> bool:
    return _PORT(text) is not None and int(text[1:]) < 2**16
