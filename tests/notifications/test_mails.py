"""Each mail: who gets it, what it says in text and HTML, where its links lead, and when nobody needs it."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings as project
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.template.loader import get_template
from django.test import Client
from django.utils import timezone

from accounts.models import User
from approvals.decisions.services.consent import send_code
from approvals.models import Request, Step, StepLink
from approvals.path.services.path import PURPOSE
from approvals.requests.services.requests import expire_requests, withdraw_request
from core.actors import SYSTEM, staff_actor
from core.links import code_of, token_of
from keys.delivery.services.delivery import expire_deliveries, reveal_secret
from keys.models import Key
from keys.status.services import expire_keys, reactivate_key, revoke_key, suspend_key
from keys.terms.terms import end_of_day, office_day
from notifications.models import Message
from notifications.registry import builder_of, kinds, template_of
from notifications.rendering import render_mail
from notifications.services import enqueue
from notifications.services.delivery import Outcome, deliver_message
from notifications.wording import KINDS
from tests.cast import Cast, consent, decide, sign_in
from tests.smtp_sink import Sink


def messages(kind: str, ref: str = "") -> list[Message]:
    found = Message.objects.filter(kind=kind).order_by("id")
    return list(found.filter(recipient_ref=ref) if ref else found)


def render(message: Message) -> EmailMultiAlternatives:
    mail = builder_of(message.kind)(message)
    assert mail is not None, f"{message.kind} was not needed"
    return render_mail(message, mail)


def latest(kind: str, ref: str = "") -> EmailMultiAlternatives:
    return render(messages(kind, ref)[-1])


def html_of(mail: EmailMultiAlternatives) -> str:
    (part,) = mail.alternatives
    return str(part[0])


def links_in(mail: EmailMultiAlternatives) -> set[str]:
    return set(re.findall(r"https?://[^\s\"<>]+", str(mail.body)))


def put(kind: str, ref: str, **context: Any) -> EmailMultiAlternatives:
    with transaction.atomic():
        enqueue(kind, recipient_ref=ref, context=context, dedupe_key=f"test:{kind}:{ref}", now=timezone.now())
    return latest(kind, ref)


def link_of(request: Request, user: User | None = None) -> StepLink:
    links = StepLink.objects.filter(step__request=request, used_at=None, died_at=None)
    return links.get(staff=user) if user else links.get()


def collected(key: Key) -> Key:
    delivery = key.deliveries.get(state="waiting")
    token = token_of(bytes(delivery.nonce), purpose="delivery")
    reveal_secret(actor=SYSTEM("tests"), token=token, now=timezone.now())
    key.refresh_from_db()
    return key


# --- all of them ------------------------------------------------------------------------------------


def test_every_kind_has_its_template_and_its_name() -> None:
    assert set(KINDS) == set(kinds())
    folder = project.BASE_DIR / "templates" / "emails"
    templates = {path.relative_to(folder.parent).as_posix() for path in folder.rglob("*.html")}
    others = {"emails/mail.html", *(name for name in templates if "/partials/" in name)}
    assert templates - others == {template_of(kind) for kind in kinds()}
    for name in templates:
        get_template(name)


def journey(cast: Cast) -> None:
    """Enough of a life that nearly every kind of mail has been asked for."""
    now = timezone.now()
    by, actor = cast.security, staff_actor(cast.security)
    rejected = cast.request(name="<b>在庫</b> & 引当")
    decide(rejected, cast.pm, "reject", reason="目的が <不明> です。")
    star = cast.request(cast.star_contract, name="ライブ配信")
    decide(star, cast.pm)
    send_code(actor=SYSTEM("x"), token=token_of(bytes(link_of(star).nonce), purpose=PURPOSE), now=now)
    consent(star)
    approved = cast.request()
    decide(approved, cast.pm)
    decide(approved, cast.legal)
    decide(approved, cast.tech)
    approved.refresh_from_db()
    assert approved.key is not None
    collected(approved.key)
    suspend_key(actor=actor, by=by, key=approved.key, reason="=check", now=now)


@pytest.mark.django_db
@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_mail_of_a_journey_is_whole_in_both_languages(cast: Cast, language: str) -> None:
    journey(cast)
    User.objects.update(language=language)
    for contact in [*cast.company.contacts.all(), *cast.star.contacts.all()]:
        contact.language = language
        contact.save(update_fields=["language"])
    seen = set()
    for message in Message.objects.all():
        mail = builder_of(message.kind)(message)
        if mail is None:
            continue
        finished = render_mail(message, mail)
        seen.add(message.kind)
        html, text = html_of(finished), str(finished.body)
        assert f'<html lang="{language}"' in html
        assert finished.subject
        assert "\n" not in finished.subject
        for bad in ("{{", "{%", "None", "()", "\n\n\n", "&amp;", "&lt;"):
            assert bad not in text, (message.kind, bad, text)
        assert "<b>在庫</b>" not in html
        assert "style=" in html
        assert "<script" not in html
        assert len(html) < 60_000  # Gmail cuts a mail off at 102 KB
        assert links_in(finished) <= set(re.findall(r'href="([^"]+)"', html.replace("&amp;", "&")))
    assert seen >= {
        "request_rejected",
        "request_approved",
        "consent_receipt",
        "key_revealed",
        "key_suspended",
    }


@pytest.mark.django_db
def test_no_mail_and_no_row_holds_a_key(cast: Cast) -> None:
    key = cast.key()
    delivery = key.deliveries.get()
    token = token_of(bytes(delivery.nonce), purpose="delivery")
    text = reveal_secret(actor=SYSTEM("x"), token=token, now=timezone.now()).text
    for message in Message.objects.all():
        assert text not in str(vars(message))
        assert token not in str(vars(message))
        mail = builder_of(message.kind)(message)
        if mail is not None:
            assert text not in html_of(render_mail(message, mail))


# --- approvals ------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_an_approver_gets_the_facts_and_two_links_that_open_the_page(cast: Cast) -> None:
    request = cast.request(cast.big, name="Delivery & status")
    mail = latest("step_requested", cast.pm.public_id)
    assert mail.subject == f"Approval requested: Delivery & status ({request.public_id})"
    assert mail.to == [f"{cast.pm.name} <{cast.pm.email}>"]
    body = str(mail.body)
    for fact in (
        f"Request: {request.public_id}",
        "Partner: みなと物流株式会社",
        "API products: Catalog",
        "Environment: Production",
        "Scopes: catalog:read",
        "Monthly amount: ¥600,000",
        "Requested by: Rin Nakamura",
        "Purpose: System integration",
        "Please answer by: ",
        "Opening a link decides nothing",
    ):
        assert fact in body
    assert "Delivery &amp; status" in html_of(mail)
    links = sorted(link for link in links_in(mail) if "/decide/" in link)
    assert [urlsplit(link).query for link in links] == ["answer=approve", "answer=changes", "answer=reject"]
    for link in links:
        parts = urlsplit(link)
        assert sign_in(cast.pm).get(f"{parts.path}?{parts.query}").status_code == 200
    assert Step.objects.get(request=request, state="open").role == "pm"


@pytest.mark.django_db
def test_each_approver_has_links_of_their_own(cast: Cast) -> None:
    cast.request()
    first, second = (links_in(latest("step_requested", user.public_id)) for user in (cast.pm, cast.pm2))
    assert not {link for link in first & second if "/decide/" in link}


@pytest.mark.django_db
def test_nobody_is_asked_about_what_was_decided_meanwhile(cast: Cast) -> None:
    request = cast.request()
    (message,) = messages("step_requested", cast.pm2.public_id)
    decide(request, cast.pm)
    assert builder_of("step_requested")(message) is None


@pytest.mark.django_db
def test_a_rights_holder_is_asked_without_an_account(cast: Cast) -> None:
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    mail = latest("consent_requested")
    star = cast.star.contacts.get(purposes__contains=["consent"])
    assert mail.to == [f"{star.name} <{star.email}>"]
    assert "You need no account." in str(mail.body)
    links = [link for link in links_in(mail) if "/consent/" in link]
    assert len(links) == 3
    assert Client().get(urlsplit(links[0]).path).status_code == 200


@pytest.mark.django_db
def test_the_code_is_in_its_mail_and_nowhere_else(cast: Cast) -> None:
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    token = token_of(bytes(link_of(request).nonce), purpose=PURPOSE)
    code = send_code(actor=SYSTEM("x"), token=token, now=timezone.now())
    digits = code_of(bytes(code.nonce))
    mail = latest("consent_code")
    assert f"    {digits[:4]} {digits[4:]}\n" in str(mail.body)
    assert "Nobody will ever ask you for this code" in str(mail.body)
    assert digits not in mail.subject.replace(" ", "")
    (message,) = messages("consent_code")
    assert digits not in str(vars(message))
    code.expires_at = timezone.now()
    code.save(update_fields=["expires_at"])
    assert builder_of("consent_code")(message) is None


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("outcome", "words"), [("approve", "You consented."), ("reject", "You did not consent.")]
)
def test_a_receipt_says_what_was_answered_on_which_terms(cast: Cast, outcome: str, words: str) -> None:
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    decision = consent(request, outcome)
    mail = latest("consent_receipt")
    digest = bytes(decision.digest).hex()
    for fact in (words, decision.signed_name, "Capacity: Star", f"SHA-256 of the terms: {digest}"):
        assert fact in str(mail.body)
    assert ("Reason: Not in this season." in str(mail.body)) == (outcome == "reject")
    (link,) = (link for link in links_in(mail) if "/receipt/" in link)
    assert Client().get(urlsplit(link).path).status_code == 200


@pytest.mark.django_db
def test_the_requester_reads_how_it_ended(cast: Cast) -> None:
    rejected = cast.request(name="Rejected one")
    decide(rejected, cast.pm, "reject", reason="Too many scopes.")
    mail = latest("request_rejected", cast.requester.public_id)
    assert "at the approval step “PM”" in str(mail.body)
    assert "Reason: Too many scopes." in str(mail.body)
    (link,) = (link for link in links_in(mail) if "/requests/" in link)
    assert sign_in(cast.requester).get(urlsplit(link).path).status_code == 200

    old = cast.request(name="Forgotten one")
    Request.objects.filter(pk=old.pk).update(changed_at=timezone.now() - timedelta(days=40))
    assert expire_requests(now=timezone.now()) == 1
    assert "Nobody decided on your request in time" in str(
        latest("request_expired", cast.requester.public_id).body
    )


@pytest.mark.django_db
def test_those_who_were_asked_hear_of_a_withdrawal(cast: Cast) -> None:
    request = cast.request()
    withdraw_request(
        actor=staff_actor(cast.requester),
        by=cast.requester,
        request=request,
        version=request.version,
        now=timezone.now(),
    )
    assert {message.recipient_ref for message in messages("request_withdrawn")} == {
        cast.pm.public_id,
        cast.pm2.public_id,
    }
    assert "need not decide on it any more" in str(latest("request_withdrawn").body)


@pytest.mark.django_db
def test_a_step_that_nobody_may_decide_calls_security(cast: Cast) -> None:
    User.objects.filter(pk__in=[cast.pm.pk, cast.pm2.pk]).update(roles=["requester"])
    request = cast.request()
    mail = latest("step_stuck", cast.security.public_id)
    assert mail.subject == f"Nobody may decide: Delivery status ({request.public_id})"
    assert "nobody has this role" in str(mail.body)


@pytest.mark.django_db
def test_an_approvers_mail_that_comes_back_calls_security(cast: Cast, sink: Sink) -> None:
    request = cast.request()
    sink.refusals[cast.pm.email] = "550 no such user"
    (message,) = messages("step_requested", cast.pm.public_id)
    assert deliver_message(uid=message.uid, now=timezone.now()) == Outcome.FAILED
    assert Step.objects.get(request=request, state="open").undeliverable_at is not None
    mail = latest("step_stuck", cast.admin.public_id)
    assert mail.subject.startswith("Mail to the approver came back: ")
    assert "could not be delivered" in str(mail.body)


# --- keys ---------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_recipient_gets_a_link_and_never_the_key(cast: Cast) -> None:
    key = cast.key()
    mail = latest("delivery_link", key.recipient.public_id)
    assert mail.subject == f"Please collect your API key: Delivery status ({key.public_id})"
    for words in ("shown exactly once", "never in a URL", "Never put the key into source code"):
        assert words in str(mail.body)
    (link,) = (link for link in links_in(mail) if "/collect/" in link)
    assert Client().get(urlsplit(link).path).status_code == 200
    (message,) = messages("delivery_link")
    collected(key)
    assert builder_of("delivery_link")(message) is None
    assert "collected this key at" in str(latest("key_revealed", key.owner.public_id).body)


@pytest.mark.django_db
def test_an_unclaimed_key_is_told_to_its_owner(cast: Cast) -> None:
    key = cast.key()
    assert expire_deliveries(now=timezone.now() + project.DELIVERY_LIFETIME + timedelta(hours=1)) == 1
    mail = latest("delivery_expired", key.owner.public_id)
    assert "did not collect this key in time" in str(mail.body)
    assert "Status: Revoked" in str(mail.body)
    assert "Reason: Not collected in time" in str(latest("key_revoked", key.recipient.public_id).body)


@pytest.mark.django_db
def test_stops_and_starts_are_told_to_recipient_and_owner(cast: Cast) -> None:
    key, by, actor = collected(cast.key()), cast.security, staff_actor(cast.security)
    both = [key.recipient.public_id, key.owner.public_id]
    act: list[tuple[str, Callable[[], object], str]] = [
        (
            "key_suspended",
            lambda: suspend_key(actor=actor, by=by, key=key, reason="Secret words", now=timezone.now()),
            "was suspended at",
        ),
        (
            "key_reactivated",
            lambda: reactivate_key(actor=actor, by=by, key=key, reason="Secret words", now=timezone.now()),
            "was reactivated at",
        ),
        (
            "key_revoked",
            lambda: revoke_key(
                actor=actor,
                by=by,
                key=key,
                reason="leaked",
                note="Secret words",
                typed_number=key.public_id,
                now=timezone.now(),
            ),
            "was revoked at",
        ),
    ]
    for kind, do, words in act:
        do()
        for ref in both:
            mail = latest(kind, ref)
            assert words in str(mail.body)
            assert "Secret words" not in str(mail.body) + html_of(mail)
            shows_page = any("/keys/" in link for link in links_in(mail))
            assert shows_page == ref.startswith("ST-")
    assert "Reason: Leaked" in str(latest("key_revoked").body)
    assert [builder_of(kind)(messages(kind)[0]) for kind, _do, _words in act[:2]] == [None, None]


@pytest.mark.django_db
def test_the_end_of_a_key_is_announced_and_told(cast: Cast) -> None:
    key = collected(cast.key())
    ends = end_of_day(office_day(timezone.now()) + timedelta(days=7))
    Key.objects.filter(pk=key.pk).update(expires_at=ends)
    mail = put("key_expiring", key.owner.public_id, key=key.public_id, days=7)
    assert mail.subject == f"API key ends in 7 days: Delivery status ({key.public_id})"
    assert expire_keys(now=ends) == 1
    assert builder_of("key_expiring")(messages("key_expiring")[0]) is None
    assert "The last day of this API key was" in str(latest("key_expired", key.recipient.public_id).body)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("days", "subject"),
    [(7, "Rotation due in 7 days"), (1, "Rotation due in 1 day"), (0, "Rotation due today"),
     (-1, "Rotation 1 day late"), (-9, "Rotation 9 days late")],
)  # fmt: skip
def test_a_rotation_is_reminded_of_before_and_after_its_day(cast: Cast, days: int, subject: str) -> None:
    key = collected(cast.key())
    due = timezone.localdate() + timedelta(days=days)
    Key.objects.filter(pk=key.pk).update(rotation_due_on=due)
    mail = put("rotation_due", key.recipient.public_id, key=key.public_id, days=days)
    assert mail.subject == f"{subject}: Delivery status ({key.public_id})"
    assert ("The day has passed" in str(mail.body)) == (days < 0)


@pytest.mark.django_db
def test_a_mail_to_somebody_who_left_fails_and_says_so(cast: Cast, sink: Sink) -> None:
    cast.request()
    (message,) = messages("step_requested", cast.pm2.public_id)
    User.objects.filter(pk=cast.pm2.pk).update(is_active=False, roles=[])
    assert deliver_message(uid=message.uid, now=timezone.now()) == Outcome.FAILED
    message.refresh_from_db()
    assert message.last_error == "RecipientGoneError"
