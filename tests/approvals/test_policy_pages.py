"""Versions of the approval policy through their pages: draft, dry run, second person, what is kept (A2)."""

import time
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.utils import timezone
from django.utils.translation import override

from accounts.models import User
from accounts.services import deactivate_staff
from approvals.models import PolicyVersion, Request, Step
from approvals.path.services.watching import watch_steps
from approvals.policies.selectors.dry_run import Mark, dry_run
from approvals.policies.selectors.in_force import current_policy
from approvals.policies.services import propose_policy, put_in_force, save_policy_draft, start_policy_draft
from audit.models import Event
from core.actors import SYSTEM, staff_actor
from core.errors import Invalid
from notifications.models import Message
from notifications.registry import builder_of
from notifications.rendering import render_mail
from tests.approvals.test_services_database import refused as refused_by_database
from tests.approvals.test_services_database import write_decision
from tests.cast import Cast, decide, open_step, sign_in
from tests.changes import ask_change, live_key

pytestmark = pytest.mark.django_db
WHY = "The audit asked for it."


def draft_of(by: User, *steps: dict[str, Any]) -> PolicyVersion:
    """A draft by this person: the steps in force, or others."""
    now = timezone.now()
    policy = start_policy_draft(actor=staff_actor(by), by=by, source=current_policy(now), now=now)
    if not steps:
        return policy
    return save_policy_draft(
        actor=staff_actor(by),
        by=by,
        policy=policy,
        version=policy.version,
        rules={"steps": list(steps)},
        reason=WHY,
        now=now,
    )


def stricter(amount: int = 100_000) -> list[dict[str, Any]]:
    """The steps in force, with the COO above another amount."""
    changed = []
    for step in current_policy(timezone.now()).rules["steps"]:
        when = [c | {"value": amount} if c["fact"] == "monthly_amount_jpy" else c for c in step["when"]]
        changed.append(step | {"when": when, "why": "rule"})
    return changed


def proposal(by: User, *steps: dict[str, Any]) -> PolicyVersion:
    policy = draft_of(by, *(steps or stricter()))
    return propose_policy(
        actor=staff_actor(by),
        by=by,
        policy=policy,
        version=policy.version,
        reason=WHY,
        now=timezone.now(),
    )


def in_force(by: User, second: User, *steps: dict[str, Any]) -> PolicyVersion:
    policy = proposal(by, *steps)
    now = timezone.now()
    return put_in_force(
        actor=staff_actor(second),
        by=second,
        policy=policy,
        version=policy.version,
        instead_of=current_policy(now).number,
        has_read_warnings=True,
        second_factor_at=now,
        now=now,
    )


def url(policy: PolicyVersion, what: str = "") -> str:
    return f"/policies/{policy}/{what}"


def page(client: Client, address: str, status: int = 200) -> str:
    answer = client.get(address)
    assert answer.status_code == status
    return answer.content.decode()


def typed(policy: PolicyVersion, **changes: Any) -> dict[str, Any]:
    """What a browser sends for a draft of two steps: PM always, COO above an amount."""
    return {
        "version": policy.version,
        "reason": WHY,
        "steps-0-role": "pm",
        "steps-0-n": "1",
        "steps-1-role": "coo",
        "steps-1-n": "1",
        "steps-1-second_factor": "on",
        "steps-1-deadline_hours": "16",
        "steps-1-if-0-fact": "monthly_amount_jpy",
        "steps-1-if-0-op": "more_than",
        "steps-1-if-0-value": "300,000",
        "steps-1-if-1-fact": "environment",
        "steps-1-if-1-op": "any_of",
        "steps-1-if-1-value": ["live"],
        "steps-1-if-2-fact": "asks_write",
        "steps-1-if-2-value": "yes",
        "new-role": "legal",
        "new-fact-0": "plan",
    } | changes


def answer_to(policy: PolicyVersion, answer: str = "approve", **changes: Any) -> dict[str, Any]:
    now = timezone.now()
    return {
        "version": policy.version,
        "instead_of": current_policy(now).number,
        "answer": answer,
        "has_read_warnings": "on",
    } | changes


# --- reading ----------------------------------------------------------------------------------------------


def test_the_list_shows_what_is_in_force_and_what_waits(cast: Cast) -> None:
    proposal(cast.legal)
    text = page(sign_in(cast.auditor), "/policies/")
    assert "came with the product" in text
    assert "Sakura Ito" in text
    assert WHY in text
    assert "Waits for a second person" in text


def test_a_requester_reads_what_was_in_force_and_no_drafts(cast: Cast) -> None:
    draft = draft_of(cast.legal)
    client = sign_in(cast.requester)
    assert f'href="{url(draft)}"' not in page(client, "/policies/")
    assert client.get(url(draft)).status_code == 404
    request = cast.request()
    text = page(client, f"/requests/{request.public_id}/")
    assert f'href="{url(request.policy)}"' in text  # type: ignore[arg-type]
    readable = page(client, url(request.policy))  # type: ignore[arg-type]
    assert "“Monthly amount of the contract” is more than ¥500,000" in readable
    assert "Sho Kato" in readable


def test_the_decision_page_leads_to_the_version_too(cast: Cast) -> None:
    request = cast.request()
    text = page(sign_in(cast.pm), f"/requests/{request.public_id}/decide/")
    assert f'href="{url(request.policy)}"' in text  # type: ignore[arg-type]


@pytest.mark.parametrize("number", ["v99", "2", "v", "v1x", "v99999999999"])
def test_a_version_that_does_not_exist_is_not_found(cast: Cast, number: str) -> None:
    assert sign_in(cast.legal).get(f"/policies/{number}/").status_code == 404


# --- writing ----------------------------------------------------------------------------------------------


def test_a_draft_is_begun_from_what_is_in_force(cast: Cast) -> None:
    client = sign_in(cast.legal)
    answer = client.post(url(cast.policy, "copy/"))
    draft = PolicyVersion.objects.get(author=cast.legal)
    assert answer["Location"] == url(draft, "edit/")
    assert draft.rules == cast.policy.rules
    text = page(client, url(draft, "edit/"))
    assert 'value="500,000"' in text
    assert "Asked when all of this holds:" in text


def test_saving_keeps_the_steps_as_they_are_written(cast: Cast) -> None:
    draft = draft_of(cast.legal)
    answer = sign_in(cast.legal).post(url(draft, "edit/"), typed(draft))
    assert answer["Location"] == url(draft)
    draft.refresh_from_db()
    assert draft.reason == WHY
    assert draft.rules["steps"] == [
        {"role": "pm", "why": "always", "when": []},
        {
            "role": "coo",
            "why": "rule",
            "when": [
                {"fact": "monthly_amount_jpy", "op": "more_than", "value": 300_000},
                {"fact": "environment", "op": "is", "value": "live"},
                {"fact": "asks_write", "op": "is", "value": True},
            ],
            "second_factor": True,
            "deadline_hours": 16,
        },
    ]
    event = Event.objects.get(action="policy.edited")
    assert event.payload["after"]["1"] == "pm: always"


def test_what_was_typed_stays_beside_what_is_wrong_with_it(cast: Cast) -> None:
    draft = draft_of(cast.legal)
    wrong = typed(draft, **{"steps-1-if-0-value": "a lot", "steps-1-if-1-value": [], "steps-0-n": "0"})
    answer = sign_in(cast.legal).post(url(draft, "edit/"), wrong)
    text = answer.content.decode()
    assert answer.status_code == 422
    assert 'value="a lot"' in text
    assert "Choose at least one." in text
    assert "from 1 to 9" in text
    assert WHY in text
    draft.refresh_from_db()
    assert len(draft.rules["steps"]) == 6


def test_a_rights_holder_can_not_be_asked_for_a_second_factor(cast: Cast) -> None:
    draft = draft_of(cast.legal)
    answer = sign_in(cast.legal).post(url(draft, "edit/"), typed(draft, **{"steps-1-role": "rights_holder"}))
    assert answer.status_code == 422
    assert "has no account" in answer.content.decode()


@pytest.mark.parametrize(
    ("act", "roles", "conditions"),
    [
        ("add", ["pm", "coo", "legal"], [0, 3, 0]),
        ("up:1", ["coo", "pm"], [3, 0]),
        ("down:0", ["coo", "pm"], [3, 0]),
        ("up:0", ["pm", "coo"], [0, 3]),
        ("remove:0", ["coo"], [3]),
        ("if:0", ["pm", "coo"], [1, 3]),
        ("unless:1:0", ["pm", "coo"], [0, 2]),
        ("unless:1:9", ["pm", "coo"], [0, 3]),
        ("remove:9", ["pm", "coo"], [0, 3]),
        ("dance", ["pm", "coo"], [0, 3]),
    ],
)
def test_steps_and_conditions_are_moved_without_saving(
    cast: Cast, act: str, roles: list[str], conditions: list[int]
) -> None:
    draft = draft_of(cast.legal)
    answer = sign_in(cast.legal).post(url(draft, "edit/"), typed(draft, act=act))
    assert answer.status_code == 200
    boxes = answer.context["editor"].boxes
    assert [box.form["role"].value() for box in boxes] == roles
    assert [len(box.conditions) for box in boxes] == conditions
    assert "Not saved yet." in answer.content.decode()
    before = draft.rules
    draft.refresh_from_db()
    assert draft.rules == before


def test_two_windows_do_not_overwrite_each_other(cast: Cast) -> None:
    draft = draft_of(cast.legal)
    client = sign_in(cast.legal)
    first, second = typed(draft, reason="the first"), typed(draft, reason="the second")
    assert client.post(url(draft, "edit/"), first).status_code == 302
    answer = client.post(url(draft, "edit/"), second)
    assert answer.status_code == 409
    assert "the second" in answer.content.decode()
    draft.refresh_from_db()
    assert draft.reason == "the first"


def test_a_draft_is_its_authors_alone(cast: Cast) -> None:
    draft = draft_of(cast.legal)
    client = sign_in(cast.security)
    assert client.get(url(draft, "edit/")).status_code == 403
    assert client.post(url(draft, "propose/"), {"version": 1, "reason": WHY}).status_code == 403
    assert client.post(url(draft, "withdraw/"), {"version": 1}).status_code == 403


def test_an_unsafe_draft_says_what_is_wrong_and_can_not_be_proposed(cast: Cast) -> None:
    draft = draft_of(cast.legal, {"role": "pm", "why": "always", "when": []})
    client = sign_in(cast.legal)
    text = page(client, url(draft))
    assert "Some requests that give access would not be looked at by tech" in text
    assert "without the rights-holder" in text
    answer = client.post(url(draft, "propose/"), {"version": draft.version, "reason": WHY})
    assert answer.status_code == 422
    assert "This policy is not safe as it is" in answer.content.decode()
    draft.refresh_from_db()
    assert draft.state == "draft"


def test_a_proposal_needs_a_reason(cast: Cast) -> None:
    draft = draft_of(cast.legal)
    answer = sign_in(cast.legal).post(url(draft, "propose/"), {"version": draft.version, "reason": " "})
    assert answer.status_code == 422
    assert "Say why the path is to change" in answer.content.decode()


def test_a_proposal_is_mailed_to_those_who_may_decide_and_taken_back(cast: Cast) -> None:
    draft = draft_of(cast.security, *stricter())
    client = sign_in(cast.security)
    assert client.post(url(draft, "propose/"), {"version": draft.version, "reason": WHY}).status_code == 302
    asked = Message.objects.filter(kind="policy_proposed").values_list("recipient_ref", flat=True)
    assert set(asked) == {cast.coo.public_id, cast.admin.public_id}
    draft.refresh_from_db()
    assert client.post(url(draft, "take-back/"), {"version": draft.version}).status_code == 302
    draft.refresh_from_db()
    assert (draft.state, draft.proposed_at) == ("draft", None)


def test_what_is_withdrawn_is_kept(cast: Cast) -> None:
    policy = proposal(cast.legal)
    client = sign_in(cast.legal)
    assert client.post(url(policy, "withdraw/"), {"version": policy.version}).status_code == 302
    assert "Withdrawn" in page(client, url(policy))
    assert client.post(url(policy, "propose/"), {"version": policy.version, "reason": "x"}).status_code == 409


# --- the dry run ------------------------------------------------------------------------------------------


def test_a_draft_shows_what_it_would_have_done(cast: Cast) -> None:
    small = cast.request()
    big = cast.request(cast.big)
    policy = proposal(cast.legal)
    client = sign_in(cast.legal)
    text = page(client, url(policy))
    assert "1 of the last 2 requests would have gone another way." in text
    assert "1 would also be asked of COO." in text
    text = page(client, url(policy, "dry-run/"))
    assert "<ins>COO</ins>" in text
    assert small.public_id in text
    assert text.index(small.public_id) < text.index(big.public_id)


def test_a_draft_that_skips_somebody_says_so(cast: Cast) -> None:
    cast.request()
    steps = [step for step in current_policy(timezone.now()).rules["steps"] if step["role"] != "legal"]
    policy = draft_of(cast.security, *steps)
    text = page(sign_in(cast.security), url(policy))
    assert "1 would no longer be asked of Legal." in text
    assert "would not be looked at by legal" in text


def test_changes_of_keys_are_judged_by_which_way_they_go(cast: Cast) -> None:
    key, _text = live_key(cast, contract=cast.big)
    other, _text = live_key(cast, contract=cast.big)
    tightens = ask_change(key, cast.requester, rpm=50)
    loosens = ask_change(other, cast.requester, rpm=200)
    # No short path any more; and of what loosens, legal is not asked.
    steps = []
    for step in current_policy(timezone.now()).rules["steps"]:
        when = [one for one in step["when"] if one["fact"] != "change"]
        if step["role"] == "legal":
            when.append({"fact": "change", "op": "is_not", "value": "loosens"})
        if step["role"] != "pm_or_security":
            steps.append(step | {"when": when, "why": "rule"})
    policy = draft_of(cast.security, *steps)
    with override("en"):
        rows = {row.request: row for row in dry_run(policy).rows}

    def path(marks: list[Mark]) -> list[tuple[str, str]]:
        return [(mark.label, mark.kind) for mark in marks]

    with override("en"):
        assert path(rows[tightens].then) == [("PM or security", "removed")]
        added = [("PM", "added"), ("Legal", "added"), ("Tech", "added"), ("COO", "added")]
        assert path(rows[tightens].now) == added
        whole = [("PM", "same"), ("Legal", "removed"), ("Tech", "same"), ("COO", "same")]
        assert path(rows[loosens].then) == whole
        assert path(rows[loosens].now) == [one for one in whole if one[0] != "Legal"]
    text = page(sign_in(cast.security), url(policy, "dry-run/"))
    assert "Only tightens" in text
    assert "Loosens or changes something" in text


def test_a_change_that_is_sent_back_and_turned_round_is_judged_as_it_is_now(cast: Cast) -> None:
    key, _text = live_key(cast)
    request = ask_change(key, cast.requester, rpm=200)
    decide(request, cast.pm, "changes")
    ask_change(key, cast.requester, rpm=50)
    (row,) = dry_run(draft_of(cast.security)).rows
    assert len(row.then) == len(row.now) == 1
    assert not row.differs


# --- the second person ------------------------------------------------------------------------------------


def test_the_second_person_puts_it_in_force_and_only_new_requests_follow(cast: Cast) -> None:
    older = cast.request()
    policy = proposal(cast.legal)
    client = sign_in(cast.coo)
    assert "You are the second person" in page(client, url(policy))
    answer = client.post(url(policy, "decide/"), answer_to(policy))
    assert answer["Location"] == url(policy)
    newer = cast.request()
    assert newer.policy == policy
    assert [step.role for step in newer.steps.all()] == ["pm", "legal", "tech", "coo"]
    for person in (cast.pm, cast.legal, cast.tech):
        decide(older, person)
    older.refresh_from_db()
    assert (older.policy, older.state) == (cast.policy, Request.State.APPROVED)
    step = Step.objects.get(request=newer, role="coo")
    assert step.conditions[0]["value"] == 100_000
    event = Event.objects.get(action="policy.put_in_force")
    assert "500000" in event.payload["before"]["6"]
    assert "100000" in event.payload["after"]["6"]
    assert Message.objects.get(kind="policy_decided").recipient_ref == cast.legal.public_id


def test_the_author_is_no_second_person(cast: Cast) -> None:
    policy = proposal(cast.security)
    client = sign_in(cast.security)
    assert "You are the second person" not in page(client, url(policy))
    assert client.post(url(policy, "decide/"), answer_to(policy)).status_code == 403
    policy.refresh_from_db()
    assert policy.state == "proposed"


def test_without_a_recent_second_factor_the_answer_waits(cast: Cast) -> None:
    policy = proposal(cast.legal)
    client = sign_in(cast.coo)
    session = client.session
    session["account_authentication_methods"] = [{"method": "mfa", "type": "totp", "at": time.time() - 7200}]
    session.save()
    answer = client.post(url(policy, "decide/"), answer_to(policy, reason="Agreed in the meeting."))
    assert answer.status_code == 302
    assert "next=" in answer["Location"]
    policy.refresh_from_db()
    assert policy.state == "proposed"
    assert "Agreed in the meeting." in page(client, url(policy))


def test_warnings_have_to_be_read(cast: Cast) -> None:
    steps = [step for step in current_policy(timezone.now()).rules["steps"] if step["role"] != "legal"]
    policy = proposal(cast.legal, *steps)
    client = sign_in(cast.coo)
    data = answer_to(policy)
    del data["has_read_warnings"]
    answer = client.post(url(policy, "decide/"), data)
    assert answer.status_code == 422
    assert "Confirm that you have read the warnings." in answer.content.decode()
    assert client.post(url(policy, "decide/"), answer_to(policy)).status_code == 302


def test_nobody_can_raise_the_amount_from_which_the_coo_is_asked(cast: Cast) -> None:
    steps = [
        step
        | {"when": [c | {"value": 600_000} if c["fact"] == "monthly_amount_jpy" else c for c in step["when"]]}
        for step in current_policy(timezone.now()).rules["steps"]
    ]
    with pytest.raises(Invalid):
        proposal(cast.legal, *steps)
    policy = PolicyVersion.objects.get(state="draft")
    text = page(sign_in(cast.legal), url(policy))
    assert "COO_THRESHOLD_JPY" in text
    assert "As it is it can" in text


def test_a_version_in_force_that_a_lower_threshold_outdates_says_so(cast: Cast, settings: Any) -> None:
    address = url(current_policy(timezone.now()))
    assert "would be refused today" not in page(sign_in(cast.legal), address)
    settings.COO_THRESHOLD_JPY = 300_000
    text = page(sign_in(cast.legal), address)
    assert "would be refused today" in text
    assert "COO_THRESHOLD_JPY" in text


def test_a_rejection_has_a_reason_and_is_kept(cast: Cast) -> None:
    policy = proposal(cast.legal)
    client = sign_in(cast.admin)
    assert client.post(url(policy, "decide/"), answer_to(policy, "reject")).status_code == 422
    answer = client.post(url(policy, "decide/"), answer_to(policy, "reject", reason="Not before the audit."))
    assert answer.status_code == 302
    assert "Not before the audit." in page(sign_in(cast.legal), url(policy))
    assert current_policy(timezone.now()) == cast.policy


def test_of_two_proposals_the_second_is_looked_at_again(cast: Cast) -> None:
    one, other = proposal(cast.legal), proposal(cast.security)
    stale = answer_to(other)
    client = sign_in(cast.coo)
    assert client.post(url(one, "decide/"), answer_to(one)).status_code == 302
    answer = client.post(url(other, "decide/"), stale)
    assert answer.status_code == 409
    assert "Another version came in force meanwhile" in answer.content.decode()
    assert client.post(url(other, "decide/"), answer_to(other)).status_code == 302
    assert current_policy(timezone.now()) == other


def test_a_proposal_that_became_unsafe_is_refused(cast: Cast) -> None:
    policy = proposal(cast.legal)
    cast.tech.roles = ["ops"]
    cast.tech.save(update_fields=["roles"])
    answer = sign_in(cast.coo).post(url(policy, "decide/"), answer_to(policy))
    assert answer.status_code == 422
    assert "This policy is not safe as it is" in answer.content.decode()


# --- named people -----------------------------------------------------------------------------------------


def test_only_named_people_are_asked_and_one_who_leaves_alarms(cast: Cast) -> None:
    steps = [
        step | {"people": [cast.pm2.public_id], "why": "rule"} if step["role"] == "pm" else step
        for step in current_policy(timezone.now()).rules["steps"]
    ]
    in_force(cast.legal, cast.coo, *steps)
    request = cast.request()
    step = open_step(request)
    assert [link.staff for link in step.links.all()] == [cast.pm2]
    refused = sign_in(cast.pm).get(f"/requests/{request.public_id}/decide/")
    assert refused.status_code == 403
    written = refused_by_database(lambda: write_decision(request, step, staff_id=cast.pm.pk))
    assert "names who decides" in written
    now = timezone.now()
    deactivate_staff(actor=SYSTEM("tests"), user=cast.pm2, reason="Left.", now=now)
    watch_steps(now=now)
    step.refresh_from_db()
    assert step.stuck_at is not None
    assert Message.objects.filter(kind="step_stuck").exists()
    assert "None of the named people" in page(sign_in(cast.legal), url(draft_of(cast.legal)))


# --- mails ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["policy_proposed", "policy_decided"])
def test_the_mails_say_who_and_why(cast: Cast, kind: str) -> None:
    in_force(cast.legal, cast.coo) if kind == "policy_decided" else proposal(cast.legal)
    message = Message.objects.filter(kind=kind)[0]
    built = builder_of(kind)(message)
    assert built is not None
    mail = render_mail(message, built)
    assert WHY in str(mail.body)
    assert WHY in str(mail.alternatives[0][0])
    assert "/policies/v" in str(mail.body)


# --- the database -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "statement", "words"),
    [
        ("in_force", "UPDATE approvals_policyversion SET rules = '{}' WHERE number = %s", "never changed"),
        ("in_force", "DELETE FROM approvals_policyversion WHERE number = %s", "are kept"),
        ("draft", "DELETE FROM approvals_policyversion WHERE number = %s", "are kept"),
        (
            "proposed",
            "UPDATE approvals_policyversion SET rules = '{}' WHERE number = %s",
            "not what was proposed",
        ),
        (
            "proposed",
            (
                "UPDATE approvals_policyversion SET state = 'in_force', in_force_from = now(), "
                "decided_at = now(), decider_id = author_id WHERE number = %s"
            ),
            "two_people",
        ),
        (
            "proposed",
            "UPDATE approvals_policyversion SET state = 'in_force', in_force_from = now() WHERE number = %s",
            "was_decided",
        ),
        (
            "proposed",
            "UPDATE approvals_policyversion SET author_id = NULL WHERE number = %s",
            "keeps its number and its author",
        ),
        (
            "draft",
            "UPDATE approvals_policyversion SET state = 'in_force', in_force_from = now() WHERE number = %s",
            "nobody proposed",
        ),
    ],
)
def test_the_database_refuses_what_the_screen_forbids(
    cast: Cast, state: str, statement: str, words: str
) -> None:
    policy = {
        "draft": lambda: draft_of(cast.legal),
        "proposed": lambda: proposal(cast.legal),
        "in_force": lambda: in_force(cast.legal, cast.coo),
    }[state]()
    with pytest.raises(DatabaseError, match=words), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, [policy.number])
