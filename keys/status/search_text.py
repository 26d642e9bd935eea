"""The text that the registry searches of a key (K4)."""

from collections.abc import Iterable

from keys.models import ApiProduct, Key


def search_text_of(key: Key, *, products: Iterable[ApiProduct]) -> str:
    """What a person may type to find the key, as one lower-case text (K4)."""
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
