"""The names that a key's row repeats, so that the registry finds and sorts by them (K4).

`keys.registry.services.refresh_names` writes them anew where a partner, a person or a product is renamed.
"""

from collections.abc import Iterable

from keys.models import ApiProduct, Key

NAMES = ("search_text", "partner_name", "owner_name")


def set_names(key: Key, *, products: Iterable[ApiProduct]) -> bool:
    """Set NAMES, which the caller saves; whether any of them was another one."""
    before = [getattr(key, name) for name in NAMES]
    key.search_text = _search_text(key, products)
    key.partner_name, key.owner_name = key.partner.name, key.owner.name
    return before != [getattr(key, name) for name in NAMES]


def _search_text(key: Key, products: Iterable[ApiProduct]) -> str:
    """What a person may type to find the key, as one lower-case text."""
    parts = [
        key.public_id,
        key.name,
        key.partner.name,
        key.partner.name_kana,
        key.partner.public_id,
        key.owner.name,
        key.recipient.name,
        key.workspace.name,
        *(f"{product.code} {product.name} {product.name_en}" for product in products),
    ]
    return " ".join(filter(None, parts)).lower()
