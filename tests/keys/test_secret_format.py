"""K1: the form of a secret."""

import math
from string import ascii_letters, digits

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.secrets import form as secret_format

BASE62 = digits + ascii_letters


def test_checksum_matches_the_published_vector() -> None:
    """The vector that GitHub's and npm's token form is checked with (ANCHORS)."""
    assert secret_format.checksum("qkJaB6MffYVzZXWqmcoF49yrUxP3wf") == "0LsakP"


@pytest.mark.parametrize("environment", ["live", "test", "dev"])
def test_generated_secret_has_the_agreed_form(environment: str) -> None:
    new = secret_format.generate("kb", environment)
    brand, env, key_id, tail = new.text.split("_")
    assert (brand, env, key_id) == ("kb", environment, new.key_id)
    assert len(key_id) == 12
    assert key_id.startswith(new.family)
    assert len(new.family) == 8
    assert len(new.text) >= 64
    assert math.log2(62) * (len(tail) - 6) >= 256
    assert secret_format.parse(new.text) == secret_format.ParsedSecret("kb", environment, key_id)
    assert secret_format.key_id_of(new.text.encode()) == key_id.encode()


def test_secrets_never_repeat_and_use_the_whole_alphabet() -> None:
    made = [secret_format.generate("kb", "live") for _ in range(500)]
    assert len({new.text for new in made}) == len({new.key_id for new in made}) == 500
    assert set("".join(new.text.split("_")[3] for new in made)) == set(BASE62)


def test_successor_shares_the_family_but_not_the_key_id() -> None:
    first = secret_format.generate("kb", "live", secret_format.new_family("WS-0001"))
    second = secret_format.generate("kb", "live", first.family)
    assert second.family == first.family
    assert second.key_id != first.key_id


def test_families_of_one_workspace_share_their_bucket() -> None:
    families = {secret_format.new_family("WS-0001") for _ in range(20)}
    assert len(families) == 20
    assert {family[:2] for family in families} == {secret_format.bucket_of("WS-0001")}


@given(st.data())
def test_one_wrong_character_is_always_noticed(data: st.DataObject) -> None:
    text = secret_format.generate("kb", "live").text
    position = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from(sorted(set(BASE62) - {text[position]})))
    typo = text[:position] + other + text[position + 1 :]
    assert secret_format.parse(typo) is None
    assert secret_format.key_id_of(typo.encode()) is None


@given(st.text(max_size=200))
def test_no_text_breaks_the_parser(text: str) -> None:
    assert secret_format.parse(text) is None
    assert secret_format.key_id_of(text.encode(errors="surrogatepass")) is None
    assert secret_format.mask(text) == "…"


def test_odd_neighbours_of_a_secret_are_refused() -> None:
    text = secret_format.generate("kb", "live").text
    full_width = text.replace("kb_", "ｋb_", 1)
    for wrong in (
        "",
        text + "\n",
        " " + text,
        text + "0",
        text[:-1],
        text.upper(),
        full_width,
        text + "a" * 200,
    ):
        assert secret_format.parse(wrong) is None
        assert secret_format.key_id_of(wrong.encode()) is None


@pytest.mark.parametrize(
    ("brand", "environment", "family"),
    [
        ("", "live", None),
        ("KB", "live", None),
        ("kb_", "live", None),
        ("kb", "prod", None),
        ("kb", "live", "short"),
    ],
)
def test_impossible_parts_are_refused(brand: str, environment: str, family: str | None) -> None:
    with pytest.raises(ValueError, match=r"is 2 to 10|one of|is 8 base62"):
        secret_format.generate(brand, environment, family)


def test_mask_and_repr_never_show_the_random_part() -> None:
    new = secret_format.generate("kb", "live")
    hidden = new.text.split("_")[3][:-2]
    assert secret_format.mask(new.text).startswith(f"kb_live_{new.key_id}_…")
    assert hidden not in secret_format.mask(new.text)
    assert hidden not in repr(new)
    assert hidden not in repr(secret_format.parse(new.text))


def test_a_secret_is_found_inside_other_text() -> None:
    text = secret_format.generate("kb", "test").text
    assert secret_format.contains_secret(f"/v1/posts?api_key={text}&page=2")
    assert secret_format.contains_secret(text[:-1])
    assert not secret_format.contains_secret("/v1/posts?page=2&key=kb_live_")
