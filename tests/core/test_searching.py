"""Every search takes numbers as people write them, and several words (24)."""

import pytest
from django.urls import reverse

from core.parsing import search_words
from tests.cast import Cast, sign_in


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("ＫＢ－０１１６", ["KB-0116"]),
        ("kb-0116", ["KB-0116"]),
        ("ＫＢー０１１６", ["KB-0116"]),
        ("KB−0116 KB‐0117", ["KB-0116", "KB-0117"]),
        ("みなと　物流", ["みなと", "物流"]),
        ("（株）みなと", ["（株）みなと"]),
        ("コーヒー", ["コーヒー"]),
        ("a b c d e f g h", ["a", "b", "c", "d", "e", "f"]),
        ("  ", []),
        ("\u3164", []),
    ],
)
def test_words_of_a_search(typed: str, words: list[str]) -> None:
    assert search_words(typed) == words


def wide(number: str) -> str:
    return "".join(chr(ord(character) + 0xFEE0) for character in number)


@pytest.mark.django_db
def test_every_list_finds_a_number_in_full_width_and_two_words(cast: Cast) -> None:
    key, request = cast.key(), cast.request(name="在庫 照会アプリ")
    client = sign_in(cast.admin)
    lists = {
        "keys:key-list": (key.public_id, f"{key.name} {key.partner.name[:3]}"),
        "approvals:request-list": (request.public_id, f"照会アプリ {request.partner.name[:3]}"),
        "approvals:queue": (request.public_id, f"照会アプリ {request.partner.name[:3]}"),
        "partners:partner-list": (cast.company.public_id, "物流 みなと"),
        "accounts:staff-list": (cast.pm.public_id, "Sato Misaki"),
    }
    for name, (number, words) in lists.items():
        for typed in (wide(number), number.lower(), words):
            found = client.get(reverse(name), {"q": typed, "view": "all"}, follow=True).content.decode()
            assert number in found, (name, typed)
    events = client.get(reverse("audit:event-list"), {"thing": wide(key.public_id)}).content.decode()
    assert key.public_id in events
