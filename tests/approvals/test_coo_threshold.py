"""The COO's threshold is the company's: lowered, it holds whatever a policy in force says (A1, A2)."""

from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.services import deactivate_staff
from approvals.models import Request, Step
from approvals.requests.services.requests import submit_request
from approvals.requests.services.revising import pull_back
from audit.models import Event
from core.actors import staff_actor
from core.errors import Conflict, NotAllowed
from keys.models import Key, Scope
from keys.terms.terms import KeyTerms
from tests.cast import Cast, decide, open_step, sign_in
from tests.changes import ask_change, live_key

pytestmark = pytest.mark.django_db


def roles_of(request: Request) -> list[str]:
    newest = request.revisions.order_by("-number")[0]
    return list(newest.steps.order_by("position").values_list("role", flat=True))


def page(cast: Cast, name: str, address: str) -> str:
    return sign_in(getattr(cast, name)).get(address).content.decode()


def test_a_request_under_the_old_policy_is_asked_of_the_coo(cast: Cast, settings: Any) -> None:
    settings.COO_THRESHOLD_JPY = 299_999
    request = cast.request()
    assert roles_of(request) == ["pm", "legal", "tech", "coo"]
    assert request.policy == cast.policy
    step = request.steps.get(role="coo")
    assert step.needs_second_factor
    text = page(cast, "coo", reverse("approvals:request-detail", args=[request.public_id]))
    assert "more than" in text
    assert "299,999" in text


def test_what_is_exactly_the_threshold_is_not(cast: Cast, settings: Any) -> None:
    settings.COO_THRESHOLD_JPY = 300_000
    assert roles_of(cast.request()) == ["pm", "legal", "tech"]


def test_a_policy_that_asks_for_the_coo_asks_once(cast: Cast, settings: Any) -> None:
    settings.COO_THRESHOLD_JPY = 300_000
    assert roles_of(cast.request(cast.big)) == ["pm", "legal", "tech", "coo"]


def test_the_last_approval_does_not_pass_over_a_threshold_lowered_meanwhile(
    cast: Cast, settings: Any
) -> None:
    request = cast.request(cast.edge)
    decide(request, cast.pm)
    decide(request, cast.legal)
    settings.COO_THRESHOLD_JPY = 400_000
    text = page(cast, "tech", reverse("approvals:step-decide", args=[request.public_id]))
    assert "After you this is asked, too: COO." in text
    decide(request, cast.tech)
    assert not Key.objects.exists()
    assert open_step(request).role == "coo"
    assert Event.objects.get(action="step.added").payload["step"] == "coo"
    # Nobody whom the other steps asked can do it in the COO's place.
    with pytest.raises(NotAllowed):
        decide(request, cast.pm2)
    decide(request, cast.coo)
    assert Key.objects.get().request_ref == request.public_id
    assert Request.objects.get(pk=request.pk).state == "approved"


def test_a_threshold_that_is_raised_again_leaves_the_step(cast: Cast, settings: Any) -> None:
    settings.COO_THRESHOLD_JPY = 200_000
    request = cast.request()
    settings.COO_THRESHOLD_JPY = 500_000
    for person in (cast.pm, cast.legal, cast.tech):
        decide(request, person)
    assert open_step(request).role == "coo"


def test_submitted_again_the_added_step_stays_as_long_as_it_is_needed(cast: Cast, settings: Any) -> None:
    request = cast.request()
    decide(request, cast.pm)
    decide(request, cast.legal)
    settings.COO_THRESHOLD_JPY = 200_000
    decide(request, cast.tech)
    request.refresh_from_db()
    now, actor = timezone.now(), staff_actor(cast.requester)
    request = pull_back(actor=actor, by=cast.requester, request=request, version=request.version, now=now)
    terms = KeyTerms.from_json(request.revisions.get().terms)
    submit_request(
        actor=actor, by=cast.requester, request=request, version=request.version, terms=terms, now=now
    )
    assert roles_of(request) == ["pm", "legal", "tech", "coo"]
    states = request.steps.filter(revision__number=2).values_list("role", "state")
    assert dict(states) == {"pm": "stands", "legal": "stands", "tech": "stands", "coo": "open"}


def test_a_change_that_gives_more_is_asked_of_the_coo_and_one_that_takes_away_is_not(
    cast: Cast, settings: Any
) -> None:
    key, _text = live_key(cast)
    settings.COO_THRESHOLD_JPY = 200_000
    less = ask_change(key, cast.requester, rpm=50)
    assert roles_of(less) == ["pm_or_security"]
    decide(less, cast.pm)
    key.refresh_from_db()
    more = ask_change(key, cast.requester, rpm=200)
    assert roles_of(more)[-1] == "coo"


def test_a_change_on_its_way_waits_for_the_coo(cast: Cast, settings: Any) -> None:
    key, _text = live_key(cast)
    more = ask_change(key, cast.requester, rpm=200)
    decide(more, cast.pm)
    decide(more, cast.legal)
    settings.COO_THRESHOLD_JPY = 200_000
    decide(more, cast.tech)
    key.refresh_from_db()
    assert (key.rpm, open_step(more).role) == (100, "coo")
    decide(more, cast.coo)
    key.refresh_from_db()
    assert key.rpm == 200


def test_what_a_scope_became_meanwhile_is_asked_about_too(cast: Cast) -> None:
    policy = cast.policy
    coo = {"role": "coo", "why": "rule", "when": [{"fact": "asks_admin", "op": "is", "value": True}]}
    policy.pk, policy.number = None, policy.number + 1
    policy.rules = {"steps": [s for s in policy.rules["steps"] if s["role"] != "coo"] + [coo]}
    policy.in_force_from = timezone.now()
    policy.save(force_insert=True)
    request = cast.request(cast.small, scopes=("catalog:write",), plan="premium")
    assert roles_of(request) == ["pm", "legal", "tech"]
    decide(request, cast.pm)
    decide(request, cast.legal)
    # An operator finds that the scope administers; the plan is allowed to hold it.
    Scope.objects.filter(code="catalog:write").update(is_admin=True)
    decide(request, cast.tech)
    assert Step.objects.get(request=request, state="open").role == "coo"


def test_the_policy_page_says_from_what_on_the_coo_is_asked_in_any_case(cast: Cast, settings: Any) -> None:
    settings.COO_THRESHOLD_JPY = 250_000
    text = page(cast, "legal", reverse("approvals:policy-detail", args=[cast.policy]))
    assert "Above" in text
    assert "250,000" in text


def test_a_key_is_not_issued_to_somebody_who_has_left(cast: Cast) -> None:
    request = cast.request()
    decide(request, cast.pm)
    decide(request, cast.legal)
    now = timezone.now()
    deactivate_staff(actor=staff_actor(cast.admin), user=cast.requester, reason="Left.", now=now)
    with pytest.raises(Conflict, match="退職"):
        decide(request, cast.tech)
    assert not Key.objects.exists()
    assert open_step(request).role == "tech"
    decide(request, cast.tech, "reject", reason="The requester has left.")
    assert Request.objects.get(pk=request.pk).state == "rejected"
