"""Origins of web pages (RFC 6454), as settings name them and as browsers send them."""

import re
from ipaddress import IPv6Address
from typing import Final

_NAME: Final = r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*"
_ORIGIN: Final = re.compile(
    rf"(https?)://(?:({_NAME})|\[([0-9a-f:.]+)\])(?::([1-9][0-9]{{0,4}}))?/?", re.ASCII
).fullmatch
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def parse_origin(text: str) -> str:
    """An origin as a browser sends it in `Origin`: lower case, without the scheme's own port.

    A slash at its end is dropped: that is how people copy it. Raises ValueError, with a sentence, for what
    names more or less than one origin (`*`, `null`, a path, a user, a query), and for a name that is not in
    ASCII, which no browser sends.
    """
    found = _ORIGIN(text.strip().lower())
    if found is None:
        raise ValueError("An origin is scheme, host and maybe port, in ASCII: https://app.example.jp")
    scheme, name, ipv6, digits = found.groups()
    port = int(digits or _DEFAULT_PORTS[scheme])
    if port > 65_535:
        raise ValueError("There is no such port.")
    origin = f"{scheme}://{name or f'[{IPv6Address(ipv6)}]'}"
    return origin if port == _DEFAULT_PORTS[scheme] else f"{origin}:{port}"
