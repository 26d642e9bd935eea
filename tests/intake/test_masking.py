"""Tokens of our links that come back in mails are masked, however their links were rewritten (A3, S4)."""

import base64
import quopri
from collections.abc import Callable
from urllib.parse import quote

import pytest
from django.conf import settings
from django.utils import timezone

from intake.masking import candidates
from intake.models import ReceivedMail
from intake.services.receiving import receive_mail
from tests.cast import Cast, sign_in
from tests.intake.letters import mail
from tests.key_stories import link_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def token(cast: Cast) -> str:
    return link_of(cast.key())


def page(token: str) -> str:
    return f"{settings.PORTAL_URL}/collect/{token}/"


def as_proofpoint_v2(url: str) -> str:
    coded = quote(url, safe="").replace("_", "%5F").replace("-", "%2D").replace("%2F", "_").replace("%", "-")
    return f"https://urldefense.proofpoint.com/v2/url?u={coded}&d=DwMFaQ&c=x"


REWRITTEN: dict[str, Callable[[str], str]] = {
    "as it was": lambda url: url,
    "Safe Links": lambda url: (
        f"https://jpn01.safelinks.protection.outlook.com/?url={quote(url, safe='')}&data=05"
    ),
    "coded twice": lambda url: f"https://a.example/r?u={quote(quote(url, safe=''), safe='')}",
    "small letters": lambda url: f"https://l.example/url?a={quote(url, safe='').replace('%2F', '%2f')}&c=E",
    "Google": lambda url: f"https://www.google.com/url?q={url}&sa=D",
    "Proofpoint v2": as_proofpoint_v2,
    "Proofpoint v3": lambda url: f"https://urldefense.com/v3/__{url}__;!!AbC$",
    "Base64 in the query": lambda url: (
        "https://t.example/?u=" + base64.urlsafe_b64encode(url.encode()).decode()
    ),
    "broken over lines": lambda url: f"{url[:-20]}\n{url[-20:]}",
    "quoted and broken": lambda url: f"> see {url[:-30]}\n> {url[-30:]}\n> thanks",
    "quoted twice and broken": lambda url: f">> {url[:-12]}\n>> {url[-12:]}Thanks",
    "HTML entities": lambda url: url.replace("/", "&#47;").replace(":", "&#58;"),
    "no page before it": lambda url: "the code in the link was " + url.rstrip("/").rpartition("/")[2],
    "every letter coded": lambda url: (
        "https://a.example/?" + "".join(f"%{ord(letter):02X}" for letter in url)
    ),
}


@pytest.mark.parametrize("how", REWRITTEN)
@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable", "base64"])
def test_no_token_can_be_read_from_what_is_kept(cast: Cast, token: str, how: str, encoding: str) -> None:
    body = f"用途：鍵が受け取れません\n対象API：catalog\n\n> 次のリンク\n{REWRITTEN[how](page(token))}\n"
    kept = receive_mail(raw=mail(body, encoding=encoding), via="pipe", now=timezone.now()).mail
    original = kept.original(10**6).decode("latin-1")
    assert token not in candidates(kept.text) | candidates(original)
    decoded = quopri.decodestring(original.encode("latin-1")).decode("latin-1")
    assert token not in candidates(decoded)
    assert "held_secret" in kept.notes
    assert "鍵が受け取れません" in kept.text
    if encoding == "8bit":
        assert original, "only what can't be masked is not kept"
    client = sign_in(cast.pm)
    for path in (f"/mail/{kept.public_id}/", f"/mail/{kept.public_id}/original/"):
        assert token not in candidates(client.get(path).content.decode())


@pytest.mark.parametrize("where", ["subject", "html", "attachment"])
def test_a_token_is_masked_in_every_part(cast: Cast, token: str, where: str) -> None:
    link = quote(page(token), safe="")
    if where == "subject":
        raw = mail(subject=f"Fw: {link}")
    elif where == "html":
        raw = mail(f'<p>用途：配信</p><a href="https://s.example/?url={link}">link</a>', kind="text/html")
    else:
        raw = mail(f"用途：配信\n{link}", kind="text/csv")
    kept = receive_mail(raw=raw, via="pipe", now=timezone.now()).mail
    shown = " ".join([kept.subject, kept.text, kept.original(10**6).decode("latin-1")])
    assert token not in candidates(shown)


def test_letters_that_are_no_token_stay(cast: Cast) -> None:
    harmless = "A" * 43
    kept = receive_mail(
        raw=mail(f"用途：配信\n対象API：catalog\n参照番号：{harmless}\n", encoding="8bit"),
        via="pipe",
        now=timezone.now(),
    ).mail
    assert harmless in kept.text
    assert ReceivedMail.objects.get().notes == []
