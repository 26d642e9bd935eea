import pytest
from django.core.exceptions import ImproperlyConfigured

from config.secret_versions import parse_versions

ONE, TWO = "11" * 32, "22" * 32


def test_versions_are_read_in_order() -> None:
    assert list(parse_versions("X", f"2:{TWO}, 1:{ONE}")) == [1, 2]


@pytest.mark.parametrize(
    "text", ["", ",", ONE, f"a:{ONE}", "1:xyz", "1:" + "11" * 31, f"1:{ONE},1:{TWO}", f":{ONE}", "1:"]
)
def test_bad_versions_are_refused_without_quoting_the_secret(text: str) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        parse_versions("API_KEY_HASH_SECRET", text)
    assert "API_KEY_HASH_SECRET" in str(caught.value)
    assert ONE not in str(caught.value)
