"""E-mail addresses: kept with their domain in the one ASCII form that mail servers look up (IDNA 2008).

Python's own codec is IDNA 2003: it keeps `straße.example` as `strasse.example`, which is another owner's.
"""

import idna


def ascii_domain(domain: str) -> str:
    """`例え.jp` → `xn--r8jz45g.jp` (IDNA 2008, UTS 46). Raises ValueError for what is no domain.

    An A-label that stands for nothing is refused, too.
    """
    return idna.encode(domain, uts46=True, std3_rules=True).decode()


def readable_address(address: str) -> str:
    """`mio@xn--r8jz45g.jp` → `mio@例え.jp (xn--r8jz45g.jp)`: letters that look alike differ there."""
    user, at, domain = address.rpartition("@")
    if "xn--" not in domain:
        return address
    try:
        return f"{user}{at}{idna.decode(domain)} ({domain})"
    except idna.IDNAError:
        return address
