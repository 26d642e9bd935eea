"""Mail domains: IDNA 2008, so that no address silently becomes another owner's."""

import pytest
from django.core.exceptions import ValidationError

from core.fields import EmailField, LineField
from core.mail_addresses import readable_address


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("info@straße.example", "info@xn--strae-oqa.example"),
        ("info@STRASSE.example", "info@strasse.example"),
        ("info@例え.jp", "info@xn--r8jz45g.jp"),
        ("ｉｎｆｏ＠ｍｉｎａｔｏ。ｅｘａｍｐｌｅ．ｊｐ", "info@minato.example.jp"),
        ("info@XN--R8JZ45G.jp", "info@xn--r8jz45g.jp"),
        ("info@nаme.example", "info@xn--nme-6cd.example"),  # a Cyrillic letter: shown as what it is
    ],
)
def test_a_domain_is_kept_as_mail_servers_look_it_up(typed: str, kept: str) -> None:
    assert EmailField().clean(typed) == kept


@pytest.mark.parametrize("label", ["φως", "φωσ", "mınato", "ßß", "日本語"])
def test_letters_that_look_alike_are_not_each_other(label: str) -> None:
    """RFC 5891: the final sigma, the dotless i and the sharp s are letters of their own."""
    coded = label.encode("punycode").decode()
    assert EmailField().clean(f"info@{label}.example") == f"info@xn--{coded}.example"


@pytest.mark.parametrize(
    "typed",
    [
        "info@☃.example",
        "info@i❤.example",
        "info@xn--a.example",
        "info@xn--55555577.example",
        "info@a..example",
        "info@-a.example",
        "info@a_b.example",
        "info@minato.example.",
        "info@[192.0.2.1]",
        "info@[IPv6:2001:db8::1]",
        "info@a‍b.example",
        "info@" + "a" * 64 + ".example",
    ],
)
def test_what_idna_2008_refuses_is_refused(typed: str) -> None:
    with pytest.raises(ValidationError):
        EmailField().clean(typed)


def test_a_domain_that_is_not_plain_is_shown_both_ways() -> None:
    assert readable_address("info@xn--strae-oqa.example") == "info@straße.example (xn--strae-oqa.example)"
    assert readable_address("info@minato.example.jp") == "info@minato.example.jp"
    assert readable_address("info@xn--a.example") == "info@xn--a.example"


@pytest.mark.parametrize(
    "name",
    [
        "\u3164",
        "\u115f\u1160",
        "\u2800\u2800",
        "\u034f",
        "\uffa0",
        "\u200d",
        "\ufe0f",
        "\u0301",
        "\u17b5 \u180b",
    ],
)
def test_a_name_that_shows_nothing_is_none(name: str) -> None:
    with pytest.raises(ValidationError):
        LineField().clean(name)
    assert LineField().clean(f"Mina{name}to").replace("\u0301", "") != ""


@pytest.mark.parametrize("name", ["葛\U000e0100西", "👩\u200d💻 team", "é", "か\u3099", "1", "―", "株式会社"])
def test_a_name_that_shows_something_stays_whole(name: str) -> None:
    import unicodedata

    assert LineField().clean(name) == unicodedata.normalize("NFC", name)
