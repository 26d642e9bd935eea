"""An origin is read as a browser sends it, and what is none is refused."""

import pytest

from core.origins import parse_origin


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://app.example.jp", "https://app.example.jp"),
        (" HTTPS://App.Example.JP/ ", "https://app.example.jp"),
        ("https://app.example.jp:443", "https://app.example.jp"),
        ("http://localhost:80", "http://localhost"),
        ("https://app.example.jp:8443", "https://app.example.jp:8443"),
        ("http://app.example.jp:443", "http://app.example.jp:443"),
        ("https://xn--r8jz45g.jp", "https://xn--r8jz45g.jp"),
        ("https://[2001:DB8:0:0::1]:8443", "https://[2001:db8::1]:8443"),
    ],
)
def test_is_what_the_browser_sends(text: str, origin: str) -> None:
    assert parse_origin(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        "", "*", "null", "app.example.jp", "//app.example.jp", "https://", "https://*.example.jp",
        "ftp://app.example.jp", "https://app.example.jp/path", "https://app.example.jp//",
        "https://user@app.example.jp", "https://user:word@app.example.jp", "https://app.example.jp?a=b",
        "https://app.example.jp?", "https://app.example.jp#", "https://app.example.jp:", "https://:443",
        "https://app.example.jp:0", "https://app.example.jp:65536", "https://app.example.jp:x",
        "https://app.example.jp:٤٤٣", "https://例え.jp", "https://app..jp", "https://a b.jp",
        "https://app.example.jp\r\nX: y", "https://app.example.jp\n/", "https://[::g]", "https://[1:2]",
    ],
)  # fmt: skip
def test_is_nothing_else(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_origin(text)
