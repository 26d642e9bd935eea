"""The public collect page: one reveal, honest words for every other link, nothing of the key kept."""

import base64
import json
import struct
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import Event
from keys.delivery.services.delivery import expire_deliveries
from keys.hotstore.record import record_key
from keys.models import Delivery, Key, Secret
from keys.secrets.form import parse
from notifications.models import Message
from tests.cast import Cast
from tests.key_stories import link_of, revoke, suspend

ENGLISH = {"accept-language": "en"}


def url(token: str, act: str = "collect") -> str:
    return reverse(f"keys:delivery-{act}", args=[token])


@pytest.fixture
def key(cast: Cast) -> Key:
    return cast.key()


@pytest.fixture
def token(key: Key) -> str:
    return link_of(key)


def revealed_text(answer: Any) -> str:
    text = str(answer.context["text"])
    assert parse(text)
    return text


# --- the link that is open ---------------------------------------------------------------------------------


def test_opening_the_link_shows_what_it_is_for_and_changes_nothing(
    key: Key, token: str, client: Client
) -> None:
    n_events = Event.objects.count()
    for _ in range(3):
        answer = client.get(url(token))
        assert answer.status_code == 200
    html = answer.content.decode()
    for words in ("みなと物流株式会社", "Delivery status", "Catalog", "Reveal the key", "shown exactly once"):
        assert words in html
    assert "kb_live_" not in html
    assert Event.objects.count() == n_events
    assert Delivery.objects.get().state == "waiting"
    assert Delivery.objects.get().opened_at is None
    assert not Secret.objects.exists()


def test_the_button_reveals_the_key_once(key: Key, token: str, client: Client) -> None:
    answer = client.post(url(token))
    assert answer.status_code == 200
    text = revealed_text(answer)
    html = answer.content.decode()
    assert html.count(text) == 1
    assert f"{len(text)} characters" in html
    key.refresh_from_db()
    assert key.status == "active"
    assert key.rotation_due_on is not None
    names = [
        event.action for event in Event.objects.filter(objects_touched__contains=[f"key:{key.public_id}"])
    ]
    assert sorted(names) == ["delivery.sent", "key.activated", "key.issued", "secret.revealed"]
    event = Event.objects.get(action="secret.revealed")
    assert event.actor_kind == "contact"
    assert event.actor_ref == key.recipient.public_id
    mail = Message.objects.get(kind="key_revealed")
    assert mail.recipient_ref == key.owner.public_id


def test_no_answer_may_be_kept_or_listed(token: str, client: Client) -> None:
    answers = [
        client.get(url(token)),
        client.post(url(token)),
        client.get(url(token)),
        client.post(url(token)),
    ]
    for answer in answers:
        assert answer["Cache-Control"] == "no-store"
        assert answer["Referrer-Policy"] == "same-origin"
        assert "noindex" in answer["X-Robots-Tag"]


def test_a_second_press_says_what_happened_and_shows_nothing(token: str, client: Client) -> None:
    text = revealed_text(client.post(url(token)))
    answer = client.post(url(token))
    html = answer.content.decode()
    assert answer.status_code == 409
    assert "used already" in html
    assert "I did not see the key" in html
    assert text not in html
    assert text[-4:] not in html
    assert Secret.objects.count() == 1
    assert Event.objects.filter(action="secret.revealed").count() == 1


def test_the_page_with_the_key_gives_a_curl_that_does_not_hold_it(token: str, client: Client) -> None:
    html = client.post(url(token)).content.decode()
    curl = html[html.index('id="curl"') :].split("</pre>")[0]
    assert "read -rs KAGIBAN_KEY &amp;&amp;" in curl
    assert "kb_live_" not in curl
    assert url(token, "test") in curl


def test_the_recipient_confirms_that_the_key_is_stored(key: Key, token: str, client: Client) -> None:
    client.post(url(token))
    assert client.post(url(token, "confirm"), {}).status_code == 302
    assert Delivery.objects.get().state == "revealed"
    for _ in range(2):
        assert client.post(url(token, "confirm"), {"stored": "1"}).status_code == 302
    assert Delivery.objects.get().state == "confirmed"
    assert Event.objects.filter(action="delivery.confirmed").count() == 1
    html = client.get(url(token)).content.decode()
    assert "Thank you" in html
    assert key.name not in html


def test_nothing_can_be_confirmed_before_it_was_seen(token: str, client: Client) -> None:
    answer = client.post(url(token, "confirm"), {"stored": "1"})
    assert answer.status_code == 409
    assert Delivery.objects.get().state == "waiting"


@pytest.mark.parametrize("act", ["confirm", "renew", "test"])
def test_what_changes_something_is_a_post(token: str, client: Client, act: str) -> None:
    assert client.get(url(token, act)).status_code == 405


def test_the_forms_are_safe_from_other_sites(token: str) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(url(token)).status_code == 403
    assert strict.post(url(token, "renew")).status_code == 403
    assert not Secret.objects.exists()


def test_the_page_speaks_the_language_of_the_mail(key: Key, token: str, client: Client) -> None:
    key.recipient.language = "ja"
    key.recipient.save(update_fields=["language"])
    assert 'lang="ja"' in client.get(url(token), headers={"accept-language": "en"}).content.decode()
    client.cookies["django_language"] = "en"
    assert 'lang="en"' in client.get(url(token)).content.decode()


# --- links that are not open -------------------------------------------------------------------------------


def dead_links(cast: Cast) -> dict[str, str]:
    """A token for each way in which a link can be dead."""
    now = timezone.now()
    late = cast.key(name="Secret project")
    late.deliveries.update(expires_at=now - timedelta(seconds=1))
    stopped = cast.key(name="Secret project")
    suspend(stopped, cast.ops)
    ended = cast.key(name="Secret project")
    revoke(ended, cast.ops)
    gone = cast.key(cast.star_contract, name="Secret project")
    gone.recipient.is_active = False
    gone.recipient.save(update_fields=["is_active"])
    over = cast.key(name="Secret project")
    Key.objects.filter(pk=over.pk).update(issued_at=now - timedelta(days=2), expires_at=now)
    return {
        "over": link_of(over),
        "unknown": "x" * 43,
        "late": link_of(late),
        "stopped": link_of(stopped),
        "ended": link_of(ended),
        "gone": link_of(gone),
        "short": "x",
    }


@pytest.mark.parametrize("kind", ["unknown", "late", "over", "stopped", "ended", "gone", "short"])
def test_a_dead_link_says_so_and_nothing_about_the_key(cast: Cast, client: Client, kind: str) -> None:
    token = dead_links(cast)[kind]
    for answer in (client.get(url(token), headers=ENGLISH), client.post(url(token), headers=ENGLISH)):
        html = answer.content.decode()
        assert answer.status_code in {200, 404, 409}
        assert "Reveal the key" not in html
        for words in ("Secret project", "みなと物流", "KB-", "Catalog"):
            assert words not in html
    assert not Secret.objects.exists()
    assert not Event.objects.filter(action="secret.revealed").exists()


def test_asking_for_a_new_link_sends_it_to_the_registered_address(
    key: Key, token: str, client: Client
) -> None:
    key.deliveries.update(expires_at=timezone.now() - timedelta(seconds=1))
    answer = client.post(url(token, "renew"), follow=True, headers=ENGLISH)
    assert "a new link is on its way to the registered address" in answer.content.decode()
    assert Delivery.objects.filter(key=key, state="waiting").count() == 1
    mail = Message.objects.filter(kind="delivery_link").latest("id")
    assert mail.recipient_ref == key.recipient.public_id
    assert link_of(key) != token
    assert client.post(url(token)).status_code == 409
    revealed_text(client.post(url(link_of(key))))


def test_the_answer_is_the_same_whether_or_not_a_link_was_sent(cast: Cast, client: Client) -> None:
    sentences = set()
    for token in dead_links(cast).values():
        answer = client.post(url(token, "renew"), follow=True, headers=ENGLISH)
        sentences.add(tuple(str(message) for message in answer.context["messages"]))
    assert len(sentences) == 1


def test_who_did_not_see_the_key_gets_another_and_the_first_is_dead(
    key: Key, token: str, client: Client
) -> None:
    text = revealed_text(client.post(url(token)))
    client.post(url(token, "renew"))
    first = Secret.objects.get()
    assert first.status == "revoked"
    key.refresh_from_db()
    assert key.status == "pending"
    again = revealed_text(client.post(url(link_of(key))))
    assert again != text
    assert Event.objects.filter(action="secret.revoked").count() == 1


@pytest.mark.parametrize("reason", ["used", "counted", "confirmed", "older"])
def test_what_the_recipient_has_is_not_withdrawn_by_a_link(
    key: Key, token: str, client: Client, valkey: Any, reason: str
) -> None:
    if reason == "older":
        client.post(url(token, "renew"))
    client.post(url(link_of(key)))
    if reason == "used":
        Secret.objects.update(first_used_at=timezone.now())
    if reason == "counted":
        minute, hour = int(time.time()) // 60, int(time.time()) // 3600
        counters = struct.pack("<IIIIdId", minute, 1, hour, 1, 0, 0, 0)
        valkey.hset(record_key(key.family).decode(), "c", counters)
    if reason == "confirmed":
        client.post(url(token, "confirm"), {"stored": "1"})
    client.post(url(token, "renew"))
    assert Secret.objects.get().status == "live"
    key.refresh_from_db()
    assert key.status == "active"


def test_at_most_five_links_are_sent_for_one_key(key: Key, client: Client) -> None:
    for _ in range(10):
        client.post(url(link_of(key), "renew"))
    assert Delivery.objects.filter(key=key).count() == 5


def test_a_key_that_nobody_collects_is_revoked_in_time(key: Key, token: str, client: Client) -> None:
    now = timezone.now() + timedelta(hours=73)
    assert expire_deliveries(now=now) == 1
    assert expire_deliveries(now=now) == 0
    key.refresh_from_db()
    assert (key.status, key.revoke_reason) == ("revoked", "unclaimed")
    assert Event.objects.filter(action="delivery.expired").count() == 1
    assert Event.objects.filter(action="key.revoked").count() == 1
    assert Message.objects.filter(kind="delivery_expired", recipient_ref=key.owner.public_id).count() == 1
    assert "has expired" in client.get(url(token), headers=ENGLISH).content.decode()


# --- the self-test -----------------------------------------------------------------------------------------


def ask(token: str, text: str, address: str = "203.0.113.9") -> Any:
    return Client().post(url(token, "test"), headers={"Authorization": f"Bearer {text}"}, REMOTE_ADDR=address)


def test_the_self_test_says_what_each_check_would_answer_and_is_recorded_once(
    key: Key, token: str, client: Client
) -> None:
    text = revealed_text(client.post(url(token)))
    for _ in range(2):
        answer = ask(token, text)
        body = answer.json()
        assert answer.status_code == 200, body
        assert body["ok"] is True
        assert set(body["checks"]) == {
            "form", "known", "status", "dates", "environment", "workspace", "address", "scopes", "limits",
            "verifier",
        }  # fmt: skip
        assert text not in json.dumps(body)
    assert Event.objects.filter(action="delivery.tested").count() == 1


def test_the_self_test_names_the_check_that_fails(key: Key, token: str, client: Client, cast: Cast) -> None:
    text = revealed_text(client.post(url(token)))
    assert failing(ask(token, text, "192.0.2.1")) == ["address"]
    assert failing(ask(token, text[:-1])) == ["form"]
    assert failing(ask(token, text.replace("_", "-"))) == ["form"]
    assert failing(ask(token, "")) == ["form"]
    quoted = ask(token, f'"{text}"')
    assert failing(quoted) == ["form"]
    assert "Found in it: quotation marks." in quoted.json()["checks"]["form"]["detail"]
    other = cast.key()
    other_text = revealed_text(client.post(url(link_of(other))))
    assert failing(ask(token, other_text)) == ["known"]
    suspend(key, cast.ops)
    assert failing(ask(token, text)) == ["status"]
    assert not Event.objects.filter(action="delivery.tested").exists()


def test_the_self_test_reads_a_key_as_the_verifier_does(token: str, client: Client) -> None:
    text = revealed_text(client.post(url(token)))
    for headers in ({"X-API-Key": f" {text}"}, {"X-API-Key": text, "Authorization": "Bearer of.the.api"}):
        assert (
            Client().post(url(token, "test"), headers=headers, REMOTE_ADDR="203.0.113.9").json()["ok"] is True
        )
    basic = base64.b64encode(f"{text}:".encode()).decode()
    told = Client().post(url(token, "test"), headers={"Authorization": f"Basic {basic}"})
    assert (told.status_code, failing(told)) == (422, ["form"])
    assert text not in told.content.decode()


def test_the_self_test_is_no_oracle(token: str, client: Client, key: Key) -> None:
    text = revealed_text(client.post(url(token)))
    assert ask("x" * 43, text).status_code == 404
    answers = [ask(token, text).status_code for _ in range(12)]
    assert answers == [200] * 10 + [422] * 2


def test_the_self_test_answers_curl_in_json_while_the_store_is_away(
    token: str, client: Client, settings: Any
) -> None:
    text = revealed_text(client.post(url(token)))
    settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/0"}}
    answer = ask(token, text)
    assert answer.status_code == 503
    assert answer["Retry-After"] == "10"
    assert answer["Cache-Control"] == "no-store"
    body = answer.json()
    assert (body["ok"], body["error"]) == (False, "unavailable")
    assert text not in answer.text


def failing(answer: Any) -> list[str]:
    return [name for name, check in answer.json()["checks"].items() if not check["ok"]]


# --- nothing is kept ----------------------------------------------------------------------------------------


def test_the_text_of_the_key_stands_nowhere(
    key: Key, token: str, client: Client, valkey: Any, caplog: Any, capfd: Any
) -> None:
    """Every column of every table, all of Valkey and all logs, after reveal, test and confirmation."""
    text = revealed_text(client.post(url(token)))
    ask(token, text)
    client.post(url(token, "confirm"), {"stored": "1"})
    client.post(url(token))
    parts = text.split("_")[3][:24], text.split("_")[3][-24:]
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT "{table}"::text FROM "{table}"')
            rows = "\n".join(row[0] for row in cursor.fetchall())
            for part in (*parts, parts[0].encode().hex(), token):
                assert part not in rows, table
    for name in valkey.scan_iter():
        kind = valkey.type(name)
        value = {b"hash": valkey.hgetall, b"string": valkey.get, b"list": lambda n: valkey.lrange(n, 0, -1)}
        stored = repr(value[kind](name)) + repr(name) if kind in value else repr(name)
        for part in (*parts, token):
            assert part not in stored
    out, err = capfd.readouterr()
    for part in (*parts, token):
        assert part not in caplog.text + out + err
