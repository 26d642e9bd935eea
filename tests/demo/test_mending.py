"""A credentials file that belongs to another database is noticed, said and mended."""

from pathlib import Path

import pytest
from django.core.management import call_command

from demo import credentials
from demo.credentials import Credentials, KnownKey
from demo.management.commands.mend_demo import Command as MendDemo
from demo.mending import ISSUER
from keys.secrets import form
from tests.cast import make_staff
from tests.dataplane import make_gateway, make_live_key
from verifier.callers.gateways import caller_of, forget_all

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def kept_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_process: None) -> None:
    monkeypatch.setenv("DEMO_CREDENTIALS", str(tmp_path / "demo_credentials.json"))


def known(secret: str) -> KnownKey:
    return KnownKey(secret, "ws", "live", ["catalog:read"], [], 100)


def foreign(brand: str) -> str:
    return form.generate(brand, "live").text


def mend(capsys: pytest.CaptureFixture[str]) -> str:
    call_command(MendDemo())
    return capsys.readouterr().out


def test_a_file_that_fits_is_left_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    before = Credentials(make_gateway(), [known(make_live_key().text)])
    credentials.write(before)
    assert mend(capsys) == ""
    assert credentials.read() == before


def test_a_gateway_of_another_database_gets_a_credential_of_this_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_staff("Naoto", "tech", address=ISSUER)
    own, here = make_gateway(), make_live_key().text
    credentials.write(Credentials(foreign("kbg"), [known(here), known(foreign("kb"))]))
    assert "did not fit this database" in mend(capsys)
    kept = credentials.read()
    assert [key.secret for key in kept.keys] == [here]
    forget_all()
    assert caller_of(kept.gateway, "127.0.0.1").public_id == caller_of(own, "127.0.0.1").public_id
    assert mend(capsys) == "", "it fits now"


@pytest.mark.parametrize("text", ["", "no credential at all"])
def test_a_lost_file_is_made_again_and_says_what_it_lacks(
    capsys: pytest.CaptureFixture[str], text: str
) -> None:
    make_staff("Naoto", "tech", address=ISSUER)
    make_gateway()
    if text:
        credentials.write(Credentials(text, []))
    assert "there is no traffic; --fresh" in mend(capsys)
    forget_all()
    assert caller_of(credentials.read().gateway, "127.0.0.1").public_id


def test_where_nobody_can_mend_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    credentials.write(Credentials(foreign("kbg"), []))
    assert "--fresh loads the demo anew" in mend(capsys)
    assert credentials.read().gateway
