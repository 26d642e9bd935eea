"""The pages of a change: the form, old and new, cancelling, rolling back, the look after it (R3)."""

import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.core.mail import EmailMultiAlternatives
from django.http.response import HttpResponseBase
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override

from approvals.changes.services.applying import apply_scheduled
from approvals.models import KeyChange, Request
from audit.models import Event
from core.wording import date_text
from keys.models import Key, KeyUseDay
from keys.terms.terms import OFFICE_ZONE, office_day
from notifications import registry
from notifications.models import Message
from notifications.rendering import render_mail
from tests.cast import Cast, decide, make_product, make_staff, sign_in
from tests.changes import ask_change, changed, live_key
from tests.key_stories import revoke, suspend

pytestmark = pytest.mark.django_db
S = KeyChange.State
PIECE = {"hx-request": "true"}


@pytest.fixture(autouse=True)
def _in_english() -> Iterator[None]:
    with override("en"):
        yield


def text_of(response: HttpResponseBase) -> str:
    content: bytes = getattr(response, "content", b"")
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", content.decode())))


def begin(browser: Client, key: Key) -> str:
    """Begin a change on the key's page; returns the form's address."""
    response = browser.post(reverse("approvals:change-new", args=[key.public_id]))
    assert response.status_code == 302
    return str(response["Location"])


def posted(browser: Client, url: str, **changes: Any) -> dict[str, Any]:
    """What a browser would post that changes only these fields of the form."""
    form = browser.get(url).context["form"]
    record = browser.get(url).context["record"]
    data: dict[str, Any] = {"version": record.version, "based_on": form.present.digest}
    for name in form.fields:
        value = form[name].value()
        if value not in (None, "", False):
            data[name] = value
    return data | changes


def render(message: Message) -> EmailMultiAlternatives:
    mail = registry.builder_of(message.kind)(message)
    assert mail is not None
    return render_mail(message, mail)


def last_request() -> Request:
    return Request.objects.latest("id")


# --- the form ---------------------------------------------------------------------------------------


def test_the_key_page_leads_to_a_form_with_what_the_key_has_and_uses(cast: Cast) -> None:
    key, _text = live_key(cast)
    today = office_day(timezone.now())
    KeyUseDay.objects.create(
        key=key, day=today, n_allowed=900, peak_minute=12, peak_hour=340, by_code={"RATE_LIMITED_MINUTE": 3}
    )
    browser = sign_in(cast.requester)
    page = browser.get(reverse("keys:key-detail", args=[key.public_id]))
    address = reverse("approvals:change-new", args=[key.public_id])
    assert f'action="{address}"' in page.content.decode()
    form = browser.get(begin(browser, key))
    content, words = form.content.decode(), text_of(form)
    assert 'value="203.0.113.0/24"' in content or "203.0.113.0/24" in content
    assert "Now 100. The busiest of the last 30 days needed 12." in words
    assert "Now 1,000. The busiest of the last 30 days needed 340." in words
    assert "3 calls refused because of a limit" in words
    assert "Nothing differs from the key yet." in words
    assert "Another partner, workspace or environment needs a new key." in words
    assert 'name="environment"' not in content
    assert 'name="workspace"' not in content


def test_beside_burst_and_concurrency_stands_the_most_used_at_once_and_what_they_refused(cast: Cast) -> None:
    key, _text = live_key(cast)
    Key.objects.filter(pk=key.pk).update(burst=20, concurrency=5)
    today = office_day(timezone.now())
    for back, burst, held in ((0, 2, 3), (3, 7, 3), (9, 7, 1), (40, 19, 4)):
        day = today - timedelta(days=back)
        KeyUseDay.objects.create(key=key, day=day, n_allowed=9, peak_burst=burst, peak_concurrency=held)
    KeyUseDay.objects.filter(day=today).update(by_code={"BURST_EXCEEDED": 3, "CONCURRENCY_EXCEEDED": 1})
    browser = sign_in(cast.requester)
    words = text_of(browser.get(begin(browser, key)))
    of_burst, of_places = date_text(today - timedelta(days=3)), date_text(today)
    assert f"Now 20. In the last 30 days at most 7 at once, on {of_burst}. It refused 3 calls." in words
    assert f"Now 5. In the last 30 days at most 3 at once, on {of_places}. It refused 1 call." in words


def test_what_was_not_measured_says_so(cast: Cast) -> None:
    key, _text = live_key(cast)
    Key.objects.filter(pk=key.pk).update(burst=20, concurrency=0)
    browser = sign_in(cast.requester)
    form = begin(browser, key)
    assert text_of(browser.get(form)).count("Not used in the last 30 days.") == 2
    KeyUseDay.objects.create(key=key, day=office_day(timezone.now()), n_allowed=9)
    words = text_of(browser.get(form))
    assert "Now 20. How much is used at once was not measured in the last 30 days. 0 is no limit." in words
    assert "Now no limit. Without a limit, how much is used at once is not measured." in words


def test_approvers_see_the_use_beside_each_limit_until_the_change_is_in_force(cast: Cast) -> None:
    key, _text = live_key(cast)
    today = office_day(timezone.now())
    KeyUseDay.objects.create(
        key=key, day=today, n_allowed=900, peak_minute=12, peak_burst=6, peak_concurrency=2
    )
    request = ask_change(key, cast.requester, burst=key.burst + 10, rpm=key.rpm + 10)
    detail = reverse("approvals:request-detail", args=[request.public_id])
    decide_page = reverse("approvals:step-decide", args=[request.public_id])
    most = f"In the last 30 days at most 6 at once, on {date_text(today)}."
    for address in (detail, decide_page):
        words = text_of(sign_in(cast.pm).get(address))
        assert most in words
        assert "The busiest of the last 30 days needed 12." in words
        assert "at most 2 at once" not in words  # the limit of concurrent calls stays
    KeyChange.objects.update(state=S.APPLIED, applied_at=timezone.now())
    assert most not in text_of(sign_in(cast.pm).get(detail))


def test_who_may_not_make_requests_sees_no_button(cast: Cast) -> None:
    key, _text = live_key(cast)
    page = sign_in(cast.auditor).get(reverse("keys:key-detail", args=[key.public_id]))
    assert "Request a change" not in text_of(page)
    revoke(key, cast.security)
    page = sign_in(cast.requester).get(reverse("keys:key-detail", args=[key.public_id]))
    assert "Request a change" not in text_of(page)


def test_the_panel_says_which_way_the_change_goes(cast: Cast) -> None:
    key, _text = live_key(cast)
    browser = sign_in(cast.requester)
    url = begin(browser, key)
    panel = reverse("approvals:request-path-panel", args=[last_request().public_id])
    tighter = text_of(browser.post(panel, posted(browser, url, rpm="50"), headers=PIECE))
    assert "It only tightens: one approval by a PM or security is enough." in tighter
    assert "PM or security" in tighter
    wider = text_of(browser.post(panel, posted(browser, url, rpm="500", rph="2000"), headers=PIECE))
    assert "it goes the whole way" in wider
    assert "Requests a minute" in wider
    assert "500 is asked for, 100 is allowed, and the busiest of 30 days needed 0." in wider
    assert "Legal" in wider


def test_a_feature_that_two_products_offer_is_no_difference_and_can_be_let_go(cast: Cast) -> None:
    make_product("orders", feature_names=["search"])
    key, _text = live_key(cast, feature_names=("search",))
    browser = sign_in(cast.requester)
    url = begin(browser, key)
    content = browser.get(url).content.decode()
    ticked = re.findall(r'<input[^>]*name="feature_names"[^>]*checked', content)
    assert len(ticked) == 1
    panel = reverse("approvals:request-path-panel", args=[last_request().public_id])
    twice = posted(browser, url, feature_names=["search", "search"])
    assert "Nothing differs from the key yet." in text_of(browser.post(panel, twice, headers=PIECE))
    gone = posted(browser, url)
    del gone["feature_names"]
    assert "It only tightens" in text_of(browser.post(panel, gone, headers=PIECE))


def test_a_draft_is_kept_submitted_and_approved(cast: Cast) -> None:
    key, _text = live_key(cast)
    browser = sign_in(cast.requester)
    url = begin(browser, key)
    kept = posted(browser, url, rpm="50", why="Half is enough.")
    assert browser.post(url, kept | {"action": "save"}).status_code == 302
    assert "Half is enough." in browser.get(url).content.decode()
    response = browser.post(url, posted(browser, url) | {"action": "submit"})
    assert response.status_code == 302
    request = last_request()
    assert request.state == Request.State.IN_REVIEW
    page = text_of(browser.get(reverse("approvals:request-detail", args=[request.public_id])))
    assert "Half is enough." in page
    assert "Only tightens" in page
    decide_page = sign_in(cast.security).get(reverse("approvals:step-decide", args=[request.public_id]))
    words = text_of(decide_page)
    assert "Can the partner work with less?" in words
    assert re.search(r"Requests a minute .* tightens .*100.*50", words)
    decision = decide(request, cast.security)
    done = text_of(sign_in(cast.security).get(reverse("approvals:step-decided", args=[decision.uid])))
    assert "That was the last approval: the change is in force." in done
    page = text_of(browser.get(reverse("approvals:request-detail", args=[request.public_id])))
    assert "In force since" in page


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"rpm": "50", "why": ""}, "This field is required."),
        ({"why": "For fun."}, "Nothing differs from the key"),
        ({"rpm": "50", "why": "Less.", "not_before": "2020-01-01T02:00"}, "This time has passed."),
        ({"rpm": "50", "why": "Less.", "not_before": "tomorrow"}, "Enter a valid date/time."),
    ],
)
def test_what_is_wrong_is_said_and_what_was_typed_is_kept(
    cast: Cast, data: dict[str, str], words: str
) -> None:
    key, _text = live_key(cast)
    browser = sign_in(cast.requester)
    url = begin(browser, key)
    response = browser.post(url, posted(browser, url, **data) | {"action": "submit"})
    assert response.status_code == 422
    assert words in text_of(response)
    assert Request.objects.get(pk=last_request().pk).draft["why"] == data["why"]


def test_the_panel_is_not_ready_while_nothing_differs_or_the_time_has_passed(cast: Cast) -> None:
    key, _text = live_key(cast)
    browser = sign_in(cast.requester)
    url = begin(browser, key)
    panel_url = reverse("approvals:request-path-panel", args=[last_request().public_id])
    said = text_of(browser.post(panel_url, posted(browser, url, why="A reason.")))
    assert "Ready to submit" not in said
    assert "Nothing differs from the key's present terms." in said
    past = (timezone.now() - timedelta(hours=2)).astimezone(OFFICE_ZONE).strftime("%Y-%m-%dT%H:%M")
    said = text_of(browser.post(panel_url, posted(browser, url, why="A reason.", rpm="50", not_before=past)))
    assert "Ready to submit" not in said
    assert "1 field to look at before you submit Not before" in said
    said = text_of(browser.post(panel_url, posted(browser, url, why="A reason.", rpm="50")))
    assert "Ready to submit" in said
    # Without JavaScript the same stands on the page after a save.
    browser.post(url, posted(browser, url, why="A reason.", rpm="50", not_before=past, action="save"))
    assert "Ready to submit" not in text_of(browser.get(url))


def test_a_form_that_shows_an_older_key_is_stale(cast: Cast) -> None:
    key, _text = live_key(cast)
    browser = sign_in(cast.requester)
    url = begin(browser, key)
    data = posted(browser, url, rpm="50", why="Less.")
    Key.objects.filter(pk=key.pk).update(burst=3)
    response = browser.post(url, data | {"action": "submit"})
    assert response.status_code == 409
    assert "was changed after this change was begun" in text_of(response)
    assert last_request().state == Request.State.DRAFT


def test_the_time_is_japanese_wherever_the_person_reads(cast: Cast) -> None:
    cast.requester.time_zone = "Europe/Stockholm"
    cast.requester.save(update_fields=["time_zone"])
    key, _text = live_key(cast)
    browser = sign_in(cast.requester)
    url = begin(browser, key)
    day = office_day(timezone.now()) + timedelta(days=3)
    data = posted(browser, url, rpm="50", why="Less.", not_before=f"{day}T02:00")
    assert browser.post(url, data | {"action": "submit"}).status_code == 302
    at = KeyChange.objects.get().not_before
    assert at is not None
    assert f"{at.astimezone(OFFICE_ZONE):%Y-%m-%d %H:%M}" == f"{day} 02:00"


def test_a_second_change_is_refused_with_the_first_named(cast: Cast) -> None:
    key, _text = live_key(cast)
    first = ask_change(key, cast.requester, rpm=50)
    response = sign_in(cast.pm).post(reverse("approvals:change-new", args=[key.public_id]))
    assert response.status_code == 409
    assert reverse("approvals:request-detail", args=[first.public_id]) in response.content.decode()


def test_a_suspended_key_can_be_asked_to_start_again(cast: Cast) -> None:
    key, _text = live_key(cast)
    suspend(key, cast.security)
    browser = sign_in(cast.requester)
    url = begin(browser, key)
    data = posted(browser, url, why="The leak was closed.", reactivates="on")
    assert browser.post(url, data | {"action": "submit"}).status_code == 302
    assert KeyChange.objects.get().reactivates
    page = text_of(sign_in(cast.pm).get(reverse("approvals:step-decide", args=[last_request().public_id])))
    assert "Starts the suspended key again" in page


def test_the_decision_page_warns_when_the_key_went_on(cast: Cast) -> None:
    key, _text = live_key(cast)
    request = ask_change(key, cast.requester, rpm=50)
    revoke(key, cast.security)
    page = text_of(sign_in(cast.pm).get(reverse("approvals:step-decide", args=[request.public_id])))
    assert "can't be changed any more" in page


# --- afterwards -------------------------------------------------------------------------------------------


def test_a_change_that_waits_is_shown_and_cancelled(cast: Cast) -> None:
    key, _text = live_key(cast)
    change = changed(cast, key, rpm=50, not_before=timezone.now() + timedelta(hours=3))
    number = change.request.public_id
    browser = sign_in(cast.requester)
    assert "It waits for its time" in text_of(browser.get(f"/requests/{number}/"))
    url = reverse("approvals:change-cancel", args=[number])
    assert url in browser.get(f"/requests/{number}/").content.decode()
    assert "What would be changed" in text_of(browser.get(url))
    assert browser.post(url, {"reason": ""}).status_code == 422
    assert browser.post(url, {"reason": "Not tonight."}).status_code == 302
    assert "cancelled it before its time" in text_of(browser.get(f"/requests/{number}/"))
    assert browser.post(url, {"reason": "Again."}).status_code == 409
    assert sign_in(cast.tech).get(url).status_code == 403


def test_a_change_that_failed_says_why(cast: Cast) -> None:
    key, _text = live_key(cast)
    at = timezone.now() + timedelta(hours=3)
    change = changed(cast, key, rpm=50, not_before=at)
    revoke(key, cast.security)
    apply_scheduled(now=at)
    page = text_of(sign_in(cast.requester).get(f"/requests/{change.request.public_id}/"))
    assert "could not be applied" in page
    assert key.public_id in page


def test_rolling_back_asks_for_the_second_factor_and_a_reason(cast: Cast) -> None:
    key, _text = live_key(cast)
    change = changed(cast, key, rpm=50)
    url = reverse("approvals:change-roll-back", args=[change.request.public_id])
    again = sign_in(cast.pm, second_factor=False).get(url)
    assert again.status_code == 302
    assert "next=" in again["Location"]
    browser = sign_in(cast.security)
    assert "That loosens the key" in text_of(browser.get(url))
    assert browser.post(url, {"reason": ""}).status_code == 422
    assert browser.post(url, {"reason": "It broke."}).status_code == 302
    key.refresh_from_db()
    assert key.rpm == 100
    assert browser.post(url, {"reason": "Again."}).status_code == 409
    assert "rolled it back" in text_of(browser.get(f"/requests/{change.request.public_id}/"))
    pm = sign_in(cast.pm).get(url)
    assert "nothing to roll back" in text_of(pm)


def test_the_look_waits_at_home_until_it_is_done(cast: Cast) -> None:
    key, _text = live_key(cast)
    change = changed(cast, key, rpm=50)
    browser = sign_in(cast.requester)
    assert "Look at what the change did" not in text_of(browser.get("/"))
    past = timezone.now() - timedelta(days=8)
    KeyChange.objects.update(applied_at=past, look_due_at=past + timedelta(days=7))
    for back, n in ((10, 100), (5, 80)):
        day = office_day(timezone.now()) - timedelta(days=back)
        KeyUseDay.objects.create(key=key, day=day, n_allowed=n * 8, n_refused=n)
    assert "Look at what the change did" in text_of(browser.get("/"))
    url = reverse("approvals:change-look", args=[change.request.public_id])
    page = text_of(browser.get(url))
    assert "Allowed calls a day" in page
    assert browser.post(url, {"note": ""}).status_code == 422
    assert browser.post(url, {"note": "All as before."}).status_code == 302
    assert "Look at what the change did" not in text_of(browser.get("/"))
    assert "All as before." in text_of(browser.get(f"/requests/{change.request.public_id}/"))
    assert sign_in(cast.security).get(url).status_code == 403


def test_the_key_page_tells_its_changes(cast: Cast) -> None:
    key, _text = live_key(cast)
    change = changed(cast, key, rpm=50, why="Half is enough.")
    url = reverse("approvals:key-changes-panel", args=[key.public_id])
    piece = sign_in(cast.pm).get(url, headers=PIECE)
    assert "Half is enough." in text_of(piece)
    assert change.request.public_id in text_of(piece)
    assert "Issued" in text_of(piece)
    # Who may not see the request reads that there was a change, not why.
    foreign = sign_in(make_staff("Another", "requester")).get(url)
    assert change.request.public_id in text_of(foreign)
    assert "Half is enough." not in text_of(foreign)
    assert f"/requests/{change.request.public_id}/" not in foreign.content.decode()
    other = sign_in(cast.requester).get(url)
    assert f"/requests/{change.request.public_id}/" in other.content.decode()


def test_a_change_is_not_copied(cast: Cast) -> None:
    key, _text = live_key(cast)
    request = ask_change(key, cast.requester, rpm=50)
    decide(request, cast.pm, "reject")
    browser = sign_in(cast.requester)
    assert "Copy as a new draft" not in text_of(browser.get(f"/requests/{request.public_id}/"))
    assert browser.post(f"/requests/{request.public_id}/copy/").status_code == 409


# --- mails ------------------------------------------------------------------------------------------------


def test_mails_show_old_and_new(cast: Cast) -> None:
    key, _text = live_key(cast)
    changed(cast, key, rpm=50, burst=5)
    told = render(Message.objects.get(kind="change_news", recipient_ref=key.recipient.public_id))
    assert f"({key.public_id})" in told.subject
    assert "20 → 5" in told.body
    assert "there is nothing to exchange" in told.body
    assert "/requests/" not in told.body


def test_the_question_is_asked_with_old_and_new(cast: Cast) -> None:
    key, _text = live_key(cast)
    ask_change(key, cast.requester, rpm=50)
    asked = render(Message.objects.filter(kind="step_requested").latest("id"))
    html = str(asked.alternatives[0][0])
    for part in (str(asked.body), html):
        assert "has requested the following change of an API key" in part
        assert "100 → 50" in part


def test_no_get_changes_anything(cast: Cast) -> None:
    key, _text = live_key(cast)
    change = changed(cast, key, rpm=50)
    before = Event.objects.count()
    for name in ("change-cancel", "change-roll-back", "change-look"):
        sign_in(cast.security).get(reverse(f"approvals:{name}", args=[change.request.public_id]))
    sign_in(cast.requester).get(reverse("approvals:change-new", args=[key.public_id]))
    assert Event.objects.count() == before
