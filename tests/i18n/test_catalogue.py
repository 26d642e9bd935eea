from tests.catalogue import find_defects


def test_every_string_of_the_portal_has_its_japanese() -> None:
    assert find_defects() == []
