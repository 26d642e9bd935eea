"""The inbox of mails: who sees what, and how a mail becomes somebody's draft (R4)."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from approvals.models import Request
from audit.models import Event
from config.checks import check_mailbox
from core.errors import Conflict
from intake.mailbox import parse_place
from intake.models import ReceivedMail
from intake.services.inbox import take_mail
from intake.services.receiving import receive_mail
from tests.cast import Cast, make_contact, make_partner, sign_in
from tests.intake.letters import BODY, PURPOSE, mail, multipart

pytestmark = pytest.mark.django_db


@pytest.fixture
def letter(cast: Cast) -> ReceivedMail:
    """A mail of the company's contact."""
    make_contact(cast.company, "青木 澪", "technical", address="mio@minato.example.jp")
    return receive()


def receive(**options: Any) -> ReceivedMail:
    return receive_mail(raw=mail(**options), via="imap", now=timezone.now()).mail


def page(client: Client, name: str, number: str = "", status: int = 200, **query: str) -> str:
    url = reverse(f"intake:mail-{name}", args=[number] if number else [])
    response = client.get(url, query)
    assert response.status_code == status
    return str(response.content.decode())


def act(client: Client, name: str, number: str, **fields: str) -> Any:
    return client.post(reverse(f"intake:mail-{name}", args=[number]), fields)


def test_inbox_shows_what_waits_and_who_seems_to_ask(cast: Cast, letter: ReceivedMail) -> None:
    unknown = receive(body="こんにちは", sender="x@stranger.example", subject="質問", message_id="<2@x>")
    receive(message_id="<3@x>", extra="Auto-Submitted: auto-replied", subject="不在")
    client = sign_in(cast.pm)
    text = page(client, "list")
    assert letter.subject in text
    assert cast.company.name in text
    assert "Unknown sender" in text
    assert "Could not be read" in text
    assert "不在" not in text
    assert "不在" in page(client, "list", view="filed")
    found = page(client, "list", q="stranger 質問")
    assert unknown.public_id in found
    assert letter.public_id not in found
    assert "No mail matches" in page(client, "list", q="nothing like it")
    home = client.get("/").content.decode()
    assert "Mail requests" in home
    assert "Mail requests" not in sign_in(cast.legal).get("/").content.decode()


def test_one_mail_shows_its_facts_its_text_and_how_little_a_sender_proves(
    cast: Cast, letter: ReceivedMail
) -> None:
    text = page(sign_in(cast.pm), "detail", letter.public_id)
    assert PURPOSE in text
    assert "Catalog (catalog), Orders (orders)" in text
    assert "¥300,000" in text or "300,000" in text
    assert "Anybody can write any sender" in text
    assert f"Begin a draft for {cast.company.name}" in text
    assert (
        sign_in(cast.auditor).get(reverse("intake:mail-detail", args=[letter.public_id])).status_code == 200
    )
    assert "Begin a draft" not in page(sign_in(cast.auditor), "detail", letter.public_id)
    assert page(sign_in(cast.pm), "detail", "MR-9999", status=404)


def test_taking_a_mail_begins_a_draft_with_what_was_read(cast: Cast, letter: ReceivedMail) -> None:
    client = sign_in(cast.pm)
    response = act(client, "take", letter.public_id, partner=cast.company.public_id)
    request = Request.objects.get()
    assert response["Location"] == reverse("approvals:request-edit", args=[request.public_id])
    assert (request.requester, request.partner, request.state) == (cast.pm, cast.company, "draft")
    contact = cast.company.contacts.get(email="mio@minato.example.jp")
    assert request.draft == {
        "purpose": PURPOSE,
        "products": ["catalog", "orders"],
        "environment": "live",
        "expires_on": "2027-06-30",
        "ip_ranges": "203.0.113.0/24",
        "contract": cast.small.public_id,
        "recipient": contact.public_id,
    }
    # A subject is no name for a key: the draft is known by it until somebody names the key.
    assert request.title == "APIキー発行依頼（配送状況照会）"
    drawn = client.get(response["Location"])
    assert drawn.context["form"]["name"].value() is None
    assert "Name of the key" in [str(label) for _target, label in drawn.context["panel"].missing]
    form = drawn.content.decode()
    assert "APIキー発行依頼（配送状況照会）”. Give the key a name of its own." in form
    assert PURPOSE in form
    assert reverse("intake:mail-detail", args=[letter.public_id]) in form
    assert Event.objects.filter(action="mail.taken").count() == 1
    letter.refresh_from_db()
    assert (letter.state, letter.settled_by) == ("taken", cast.pm)
    # A second person comes too late, and sees by whom it was taken.
    late = act(sign_in(cast.pm2), "take", letter.public_id, partner=cast.company.public_id)
    assert late.status_code == 409
    assert request.public_id in late.content.decode()
    assert cast.pm.name in late.content.decode()
    assert Request.objects.count() == 1
    with pytest.raises(Conflict):
        take_mail(actor=_actor(cast), by=cast.pm2, mail=letter, partner=cast.company, now=timezone.now())


def _actor(cast: Cast) -> Any:
    from core.actors import staff_actor

    return staff_actor(cast.pm2)


def test_mail_of_a_stranger_is_given_a_partner_first(cast: Cast) -> None:
    letter = receive(sender="x@stranger.example", body="用途：照会")
    client = sign_in(cast.requester)
    text = page(client, "detail", letter.public_id)
    assert "Unknown sender" in text
    assert "Whom is the key for?" in text
    assert cast.star.public_id in page(client, "detail", letter.public_id, partner="Hoshino")
    assert "No partner matches" in page(client, "detail", letter.public_id, partner="nobody")
    assert act(client, "take", letter.public_id, partner="").status_code == 422
    assert act(client, "take", letter.public_id, partner="PT-9999").status_code == 404
    assert act(client, "take", letter.public_id, partner=cast.star.public_id).status_code == 302
    assert Request.objects.get().partner == cast.star


def test_partner_that_ended_takes_nothing(cast: Cast, letter: ReceivedMail) -> None:
    gone = make_partner("Gone")
    gone.is_active = False
    gone.save(update_fields=["is_active"])
    response = act(sign_in(cast.pm), "take", letter.public_id, partner=gone.public_id)
    assert response.status_code == 409
    letter.refresh_from_db()
    assert letter.state == "waiting"


def test_setting_aside_needs_a_reason_and_can_be_undone(cast: Cast, letter: ReceivedMail) -> None:
    client = sign_in(cast.pm)
    response = act(client, "set-aside", letter.public_id, reason="  \u200b ")
    assert response.status_code == 422
    assert "Say in a few words" in response.content.decode()
    assert act(client, "set-aside", letter.public_id, reason="迷惑メール").status_code == 302
    assert act(client, "set-aside", letter.public_id, reason="again").status_code == 409
    assert "迷惑メール" in page(client, "list", view="set_aside")
    assert "迷惑メール" in page(client, "detail", letter.public_id)
    assert act(client, "bring-back", letter.public_id).status_code == 302
    assert act(client, "bring-back", letter.public_id).status_code == 409
    letter.refresh_from_db()
    assert (letter.state, letter.reason, letter.settled_at) == ("waiting", "", None)
    actions = Event.objects.filter(action__startswith="mail.").order_by("id").values_list("action", flat=True)
    assert list(actions) == ["mail.received", "mail.set_aside", "mail.brought_back"]


def test_original_is_text_and_nothing_else(cast: Cast) -> None:
    body = "用途：照会\n<script>alert(1)</script><img src=x onerror=alert(1)>"
    letter = receive(body=body, encoding="8bit")
    for name in ("original", "detail"):
        text = page(sign_in(cast.pm), name, letter.public_id)
        assert "&lt;script&gt;alert(1)" in text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
    response = sign_in(cast.pm).get(reverse("intake:mail-original", args=[letter.public_id]))
    assert response["Cache-Control"] == "no-store"
    big = receive(body=BODY * 500, encoding="8bit", message_id="<big@x>")
    assert "no more than this is shown" in page(sign_in(cast.pm), "original", big.public_id)


def test_attachments_are_named_and_no_page_hands_them_out(cast: Cast) -> None:
    part = ("Content-Type: text/html; name=evil.html\nContent-Disposition: attachment", b"<script>1</script>")
    raw = multipart(("Content-Type: text/plain; charset=utf-8", BODY.encode()), part)
    letter = receive_mail(raw=raw, via="pipe", now=timezone.now()).mail
    text = page(sign_in(cast.pm), "detail", letter.public_id)
    assert "evil.html" in text
    assert "18 bytes" in text.replace("\xa0", " ")


def test_list_costs_the_same_for_one_mail_and_for_twenty(
    cast: Cast, letter: ReceivedMail, django_assert_num_queries: Any
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client = sign_in(cast.pm)
    client.get(reverse("intake:mail-list"))
    with CaptureQueriesContext(connection) as one:
        page(client, "list")
    for number in range(20):
        receive(message_id=f"<{number}@many>")
    with django_assert_num_queries(len(one)):
        page(client, "list")


def test_bounced_and_forgotten_mails_say_so(cast: Cast, letter: ReceivedMail) -> None:
    ReceivedMail.objects.filter(pk=letter.pk).update(
        state="set_aside", settled_by=cast.pm, settled_at=timezone.now(), forgotten_at=timezone.now(),
        subject="", text="", raw="", found={},
    )  # fmt: skip
    client = sign_in(cast.pm)
    assert "deleted after its time" in page(client, "detail", letter.public_id)
    assert "The original is not kept" in page(client, "original", letter.public_id)
    assert act(client, "bring-back", letter.public_id).status_code == 409
    assert act(client, "take", letter.public_id, partner=cast.company.public_id).status_code == 409


def test_mailbox_trouble_is_shown(cast: Cast, settings: Any) -> None:
    from intake.mailbox import read_mailbox

    settings.IMAP_URL = "imap://mio@imap.example.jp/INBOX"
    assert read_mailbox(now=timezone.now()) == 0
    assert "IMAP_URL asks for no encryption" in page(sign_in(cast.ops), "list")


@pytest.mark.parametrize(
    ("url", "ids"),
    [
        ("", []),
        ("imaps://api%40x.jp:a%2Fb@imap.example.jp/INBOX", []),
        ("imap://x:y@127.0.0.1:1143", []),
        ("imap://x:y@imap.example.jp", ["kagiban.E022"]),
        ("pop3://x:y@imap.example.jp", ["kagiban.E021"]),
        ("imaps://imap.example.jp", ["kagiban.E021"]),
        ("imaps://x:y@imap.example.jp:99999", ["kagiban.E021"]),
    ],
)
def test_release_checklist_looks_at_the_mailbox(settings: Any, url: str, ids: list[str]) -> None:
    settings.IMAP_URL = url
    assert [error.id for error in check_mailbox()] == ids
    assert "a%2Fb" not in str(check_mailbox())
    if "INBOX" in url:
        place, password = parse_place(url)
        assert (place.user, password, place.port, place.folder) == ("api@x.jp", "a/b", 993, "INBOX")
        assert "a/b" not in repr(place)
