"""Which pages are compressed, and which are not because of what stands in them (BREACH)."""

import gzip
from typing import Any

import pytest
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.test import Client
from django.urls import reverse

from tests.cast import Cast, sign_in
from tests.key_stories import link_of, reveal
from tests.verifier.test_gateway_pages import FIELDS

ASKED = {"accept-encoding": "gzip, deflate, br"}


def encoding_of(answer: Any) -> str:
    return str(answer.headers.get("Content-Encoding", ""))


@pytest.mark.parametrize("name", ["home", "keys:key-list", "partners:partner-list", "audit:event-list"])
def test_a_persons_pages_are_compressed_and_still_kept_by_no_cache(cast: Cast, name: str) -> None:
    client = sign_in(cast.security)
    plain, packed = client.get(reverse(name)), client.get(reverse(name), headers=ASKED)
    assert encoding_of(plain) == ""
    assert encoding_of(packed) == "gzip"
    assert "Accept-Encoding" in packed["Vary"]
    assert packed["Cache-Control"] == "private, no-store"
    assert len(packed.content) < len(plain.content) / 3
    assert b"</html>" in gzip.decompress(packed.content)


def test_the_length_of_a_page_differs_from_time_to_time(cast: Cast) -> None:
    """Whoever compares lengths to guess what stands in a page has to ask many times for each guess."""
    client = sign_in(cast.security)
    answers = [client.get(reverse("keys:product-list"), headers=ASKED) for _ in range(8)]
    paddings = {answer.content[10 : answer.content.index(0, 10)] for answer in answers}
    assert len({len(padding) for padding in paddings}) > 1


def test_pages_behind_a_mails_link_are_not_compressed(cast: Cast) -> None:
    address = reverse("keys:delivery-collect", args=[link_of(cast.key())])
    page = Client().get(address, headers=ASKED)
    shown = Client().post(address, headers=ASKED)
    assert b"kb_live_" in shown.content
    assert encoding_of(page) == encoding_of(shown) == ""


def test_pages_that_show_a_secret_are_not_compressed(cast: Cast) -> None:
    client = sign_in(cast.tech)
    credential = client.post(reverse("verifier:gateway-add"), FIELDS, headers=ASKED)
    assert b"kbg_live_" in credential.content
    RecoveryCodes.activate(cast.tech)
    app = client.get(reverse("mfa_activate_totp"), headers=ASKED)
    codes = client.get(reverse("mfa_view_recovery_codes"), headers=ASKED)
    assert credential.status_code == app.status_code == codes.status_code == 200
    assert encoding_of(credential) == encoding_of(app) == encoding_of(codes) == ""


def test_files_of_the_registry_are_not_compressed(cast: Cast) -> None:
    reveal(cast.key())
    answer = sign_in(cast.security).post(reverse("keys:key-export"), headers=ASKED)
    assert answer["Content-Type"].startswith("text/csv")
    assert encoding_of(answer) == ""
