"""Keys that are bound to countries (V2), with a real file of countries by address."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet
from pytest_django.fixtures import Settings

from core import countries
from keys.hotstore import record as hotrecord
from keys.models import Key
from tests.dataplane import make_gateway, make_live_key, verify
from verifier.contract import question

TOKYO, DALLAS, NOWHERE = "203.0.113.9", "198.51.100.9", "192.0.2.9"


@pytest.fixture
def geoip(tmp_path: Path, settings: Settings) -> Iterator[Path]:
    path = tmp_path / "countries.mmdb"
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="Test-Country")
    writer.insert_network(IPSet(["203.0.113.0/24"]), {"country": {"iso_code": "JP"}})
    writer.insert_network(IPSet(["198.51.100.0/24"]), {"registered_country": {"iso_code": "US"}})
    writer.insert_network(IPSet(["2001:db8:81::/48"]), {"country": {"iso_code": "JP"}})
    writer.to_db_file(str(path))
    settings.GEOIP_FILE = str(path)
    forget()
    yield path
    forget()


def forget() -> None:
    question._contexts.clear()
    question._asked.clear()


@pytest.mark.parametrize(
    ("address", "country"),
    [
        (TOKYO, b"JP"),
        (DALLAS, b"US"),
        (NOWHERE, b""),
        ("2001:db8:81::7", b"JP"),
        (f"::ffff:{TOKYO}", b"JP"),
        (f"::{TOKYO}", b""),
        (f"64:ff9b::{TOKYO}", b""),  # the file keeps IPv4 at ::/96
    ],
)
def test_the_country_of_an_address(geoip: Path, address: str, country: bytes) -> None:
    assert countries.country_of(hotrecord.address_hex(address)) == country


def test_a_file_that_is_none_tells_no_country(tmp_path: Path, settings: Settings) -> None:
    broken = tmp_path / "broken.mmdb"
    broken.write_bytes(b"not a database")
    for path in (broken, tmp_path / "nothing.mmdb"):
        settings.GEOIP_FILE = str(path)
        assert countries.country_of(hotrecord.address_hex(TOKYO)) == b""


@pytest.mark.django_db(transaction=True)
def test_a_key_works_only_in_its_countries(geoip: Path) -> None:
    gateway, live = make_gateway(), make_live_key(countries=["JP", "FR"], rpm=100)
    assert verify(gateway, live.text, ip=TOKYO).code == "VALID"
    for elsewhere in (DALLAS, NOWHERE):
        assert verify(gateway, live.text, ip=elsewhere).code == "COUNTRY_NOT_ALLOWED"
    assert verify(gateway, live.text).code == "COUNTRY_NOT_ALLOWED"
    # A refused check takes nothing from a limit.
    assert verify(gateway, live.text, ip=TOKYO).json["remaining"]["minute"] == 98


@pytest.mark.django_db(transaction=True)
def test_without_the_file_a_bound_key_is_refused_and_others_work(settings: Settings) -> None:
    settings.GEOIP_FILE = ""
    forget()
    gateway, live = make_gateway(), make_live_key(countries=["JP"])
    assert verify(gateway, live.text, ip=TOKYO).code == "COUNTRY_NOT_ALLOWED"
    Key.objects.filter(pk=live.key.pk).update(countries=[], revision=live.key.revision + 1)
    free = make_live_key(live.key.partner, live.key.owner)
    assert verify(gateway, free.text, ip=TOKYO).code == "VALID"
