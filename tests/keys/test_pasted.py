"""A key as people paste it: what is told about what is no key, and which header field holds one."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.secrets import pasted
from keys.secrets.form import checksum

# The same in every process that collects these tests.
_BODY = "kb_live_7Gh2kLm9QwXz_aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1eF3hJ5kL7nP9r"
_BODY_OF_ANOTHER = "kb_live_4Tr8sVn2MpLk_Z9yX7wV5uT3sR1qP9oN7mL5kJ3iH1gF9eD7cB5aZ3yX"
KEY = _BODY + checksum(_BODY)
OTHER = _BODY_OF_ANOTHER + checksum(_BODY_OF_ANOTHER)
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
CHECKSUM = "Its checksum is wrong: characters are missing or were changed."


def wide(text: str) -> str:
    """The same in full-width letters."""
    return "".join(chr(ord(letter) + 0xFEE0) for letter in text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f'"{KEY}"', "Found in it: quotation marks. Send the key alone."),
        (f"「{KEY}」", "Found in it: quotation marks. Send the key alone."),
        (f"Bearer {KEY}", "Found in it: the word Bearer. Send the key alone."),
        (f"bearer:{KEY}",
         "Found in it: the word bearer, a character that no key has (U+003A). Send the key alone."),
        (f"X-API-Key {KEY}", "Found in it: the word X-API-Key. Send the key alone."),
        (f"\u200b{KEY}", "Found in it: an invisible character (U+200B). Send the key alone."),
        (f"\ufeff{KEY}", "Found in it: an invisible character (U+FEFF). Send the key alone."),
        (f"{KEY[:9]}\u00ad{KEY[9:]}", "Found in it: an invisible character (U+00AD). Send the key alone."),
        (wide(KEY), "Found in it: full-width letters. Send the key alone."),
        (f"{KEY[:40]} {KEY[40:]}", "Found in it: white space. Send the key alone."),
        (f"{KEY[:40]}\n{KEY[40:]}", "Found in it: white space. Send the key alone."),
        (f"{KEY},{KEY}", "Found in it: a character that no key has (U+002C). Send the key alone."),
        (KEY.replace("_", "%5F"), "Found in it: percent-encoding. Send the key alone."),
        (f"{KEY}.", "Found in it: a character that no key has (U+002E). Send the key alone."),
        (f"{KEY[:24]}…{KEY[-2:]}", "It is a shortened form of a key."),
        (f"{KEY[:24]}***", "It is a shortened form of a key."),
        (KEY[:-1], CHECKSUM),
        (KEY[:30], CHECKSUM),
        (KEY.swapcase()[:4] + KEY[4:], ""),
        (KEY * 20, "It is far longer than a key."),
        (JWT, ""), ("kb_live", ""), ("x", ""),
        ("", "It is empty."), (" \u3000", "It is empty."),
    ],
)  # fmt: skip
def test_what_was_found_in_a_text_that_is_no_key(text: str, told: str) -> None:
    assert pasted.flaw_of(text) == told


@given(st.text(max_size=200), st.integers(0, len(KEY)), st.sampled_from(["", KEY, KEY[:50], wide(KEY)]))
def test_what_is_told_is_plain_and_never_a_piece_of_the_key(added: str, place: int, key: str) -> None:
    told = pasted.flaw_of(key[:place] + added + key[place:])
    assert told.isascii()
    assert told.isprintable()
    assert not set('"\\') & set(told)  # as RFC 6750 wants it of an error_description
    assert not any(KEY[start : start + 8] in told for start in range(len("kb_live_"), len(KEY) - 8))


@pytest.mark.parametrize(
    ("authorization", "api_key", "found"),
    [
        ("", "", ""),
        (f"Bearer {KEY}", "", KEY),
        (f"bearer   {KEY} \t", "", KEY),
        ("", KEY, KEY),
        ("", f"\t {KEY} ", KEY),
        ("", f"\u00a0{KEY}".encode().decode("latin-1"), KEY),
        ("", f"{KEY}\u3000".encode().decode("latin-1"), KEY),
        ("", f"{KEY}\u00a0", KEY),  # a byte that is no UTF-8
        (f"Bearer {KEY}", KEY, KEY),
        (f"Bearer {JWT}", KEY, KEY),
        ("Basic dXNlcjpwYXNz", KEY, KEY),
        (f"Bearer {KEY}", "of another service", KEY),
        (f"Bearer {JWT}", "", JWT),
        (f"Bearer {JWT}", "no key", "no key"),
        ("Bearer", "", ""), ("Basic dXNlcjpwYXNz", "", ""), ("Basic ä", "", ""), ("Digest x", "", ""),
    ],
)  # fmt: skip
def test_the_key_among_a_calls_fields(authorization: str, api_key: str, found: str) -> None:
    assert pasted.secret_of_fields(authorization, api_key) == found


def basic(user: str, password: str = "") -> str:
    """As curl's `-u` writes it."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


@pytest.mark.parametrize(
    ("authorization", "api_key", "told"),
    [
        (f"Bearer {KEY}", OTHER, pasted.TWO_KEYS),
        (basic(KEY), "", pasted.IN_BASIC),
        (basic("api", KEY), "", pasted.IN_BASIC),
        (KEY, "", pasted.NO_BEARER),
        (f"ApiKey {KEY}", "", pasted.NO_BEARER),
        (f"Token token={KEY}", "", pasted.NO_BEARER),
    ],
)
def test_a_key_in_a_way_that_is_not_taken(authorization: str, api_key: str, told: str) -> None:
    with pytest.raises(pasted.KeyFieldError, match=f"^{told}$"):
        pasted.secret_of_fields(authorization, api_key)


@pytest.mark.parametrize(
    "text",
    [KEY, f' "{KEY}"', f"Bearer {KEY}", wide(KEY), f"{KEY[:10]}\u200b{KEY[10:]}",
     KEY.replace("_", "%5F"), f"my_old_key: {KEY}"],
)  # fmt: skip
def test_the_public_part_of_a_key_in_a_text(text: str) -> None:
    assert pasted.key_id_in(text) == KEY.split("_")[2]
    assert pasted.key_id_in(text[: len(text) // 2]) == ""
