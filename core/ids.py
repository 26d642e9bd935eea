"""Public numbers (`KB-0412`), drawn from PostgreSQL sequences: never reused, never a database id."""

from typing import Protocol

from django.db import connection

# What a number's prefix stands for; the sequence that numbers are drawn from is `public_<kind>`.
KINDS = {
    "ST": "staff",
    "PT": "partner",
    "CO": "contact",
    "CT": "contract",
    "WS": "workspace",
    "KB": "key",
    "KR": "request",
    "GW": "gateway",
    "DG": "delegation",
    "MR": "mail",
}


class Numbered(Protocol):
    """What has a public number."""

    @property
    def public_id(self) -> str:
        """Its number, `KB-0412`."""


def ref(thing: Numbered | str) -> str:
    """What an event or a mail is about, by kind and number: the key `KB-0412` → `"key:KB-0412"`."""
    number = thing if isinstance(thing, str) else thing.public_id
    return f"{KINDS[number.partition('-')[0]]}:{number}"


def refs(*things: Numbered | str | None) -> list[str]:
    """`ref` of each, the main one first; what is not there (None, an empty number) is left out."""
    return [ref(thing) for thing in things if thing]


def next_public_id(prefix: str) -> str:
    """The next number of its kind, padded to four digits: `next_public_id("KB")` → `"KB-0412"`.

    A transaction that rolls back leaves a gap: numbers are unique, not gapless.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(%s)", [f"public_{KINDS[prefix]}"])
        (number,) = cursor.fetchone()
    return f"{prefix}-{number:04d}"
