"""The demo: loaded through the real services, honest about its past, and quiet about its secrets."""

import json
import random
import stat
from collections import Counter
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from itertools import pairwise
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db.models import Max, Min

from accounts.models import User
from accounts.roles import Role
from approvals.models import Decision, Delegation, Request, Step, StepLink
from audit.models import Event
from core.errors import Conflict
from demo import credentials
from demo.calendar import Story, in_office
from demo.catalogue import PRODUCTS, load_catalogue
from demo.credentials import Credentials, KnownKey
from demo.loading import load_demo
from demo.management.commands.demo_signins import Command as SignIns
from demo.people import PASSWORD
from demo.traffic import FASTEST, SLOWEST, question_for, report_for, usual_rate
from intake.models import ReceivedMail
from keys.models import ApiProduct, Key, KeyUseDay, Plan, Scope, Secret, WorkspaceGrant
from keys.secrets.form import contains_secret, parse
from notifications.models import Message
from partners.models import Contract, Partner
from verifier.models import BlockedAddress

NOW = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)  # a Wednesday noon in Tokyo


@pytest.fixture
def secrets_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "demo_credentials.json"
    monkeypatch.setenv("DEMO_CREDENTIALS", str(path))
    return path


@pytest.mark.long
@pytest.mark.django_db
def test_the_whole_demo(secrets_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = load_demo(now=NOW, every=2)

    # People: every role, MFA where it is demanded.
    assert User.objects.count() == 12
    assert {role for user in User.objects.all() for role in user.roles} == set(Role.values)
    assert any(len(user.roles) > 1 for user in User.objects.all())

    # Partners of all kinds, contracts at the threshold and beside it.
    assert Counter(Partner.objects.values_list("kind", flat=True)).keys() == set(Partner.Kind.values)
    assert Partner.objects.count() == 15
    amounts = set(Contract.objects.values_list("monthly_amount_jpy", flat=True))
    assert {300_000, 500_000, 500_001, 600_000, 1_200_000} <= amounts

    # Keys and requests in every state; a request waits at each step.
    assert loaded.keys.keys() == set(Key.Status.values)
    assert loaded.requests.keys() == set(Request.State.values)
    assert set(Step.objects.filter(state="open").values_list("role", flat=True)) == {
        "pm", "rights_holder", "legal", "tech", "coo",
    }  # fmt: skip
    assert Decision.objects.filter(contact__isnull=False).exists()
    overdue = Step.objects.get(state="open", due_at__lt=NOW, request__emergency_at=None)
    assert overdue.role == "legal"

    # Two mails wait: one can be read, one can't.
    kinds = ReceivedMail.objects.order_by("id").values_list("kind", "state", "matched_by")
    assert list(kinds) == [("request", "waiting", "contact"), ("unreadable", "waiting", "")]

    # Its events are in the order of its days, and none is from tomorrow.
    times = list(Event.objects.order_by("id").values_list("occurred_at", flat=True))
    assert times[-1] <= NOW
    assert times[0] < NOW - timedelta(days=180)
    rows = list(Event.objects.order_by("id").values_list("occurred_at", "action"))
    late = [(a, b) for a, b in pairwise(rows) if b[0] < a[0] - timedelta(minutes=10)]
    assert late == []
    assert Event.objects.filter(action="key.issued").count() == Key.objects.count()

    # Use goes back half a year and never beyond a key's life.
    days = KeyUseDay.objects.aggregate(first=Min("day"), last=Max("day"))
    assert (days["last"] - days["first"]).days > 150
    assert not Key.objects.filter(last_used_at__gt=NOW).exists()

    # Only what can still be clicked is to be sent.
    waiting = Message.objects.filter(state="pending")
    assert 0 < waiting.count() <= 30
    assert set(waiting.values_list("kind", flat=True)) == {
        "step_requested", "consent_requested", "delivery_link",
    }  # fmt: skip
    assert waiting.aggregate(oldest=Min("created_at"))["oldest"] > NOW - timedelta(hours=72)

    # Somebody is away, and the deputy was asked.
    delegation = Delegation.objects.get()
    assert delegation.state == "in_force"
    assert StepLink.objects.filter(staff=delegation.deputy, step__role="legal", died_at=None).exists()

    # Security has something in hand.
    assert WorkspaceGrant.objects.get().is_in_force(NOW)
    assert Key.objects.get(quarantined_until__gt=NOW).status == Key.Status.ACTIVE
    blocked = BlockedAddress.objects.get()
    assert blocked.until > NOW
    ranges = [ip_network(text) for key in Key.objects.all() for text in key.ip_ranges]
    assert ranges
    assert not any(network.overlaps(ip_network(blocked.network)) for network in ranges)

    # Secrets stand in the owner's file alone.
    assert stat.S_IMODE(secrets_file.stat().st_mode) == 0o600
    known = credentials.read()
    assert all(parse(key.secret) for key in known.keys)
    assert not any(contains_secret(bytes(event.canonical).decode()) for event in Event.objects.all())
    assert not any(
        key.secret in str(secret.__dict__) for key in known.keys for secret in Secret.objects.all()
    )

    call_command(SignIns(), recovery_codes=True)
    printed = capsys.readouterr().out
    assert PASSWORD in printed
    assert all(user.email in printed for user in User.objects.all())
    assert known.gateway in printed
    assert not any(key.secret in printed for key in known.keys)

    with pytest.raises(Conflict):
        load_demo(now=NOW)


@pytest.mark.django_db
def test_the_catalogue_alone_and_twice() -> None:
    assert load_catalogue(now=NOW) == len(PRODUCTS)
    ApiProduct.objects.filter(code="tickets").update(name="変えた名前")
    assert load_catalogue(now=NOW) == 0
    assert ApiProduct.objects.get(code="tickets").name == "変えた名前"
    assert Plan.objects.count() == 3
    assert all(
        scope.code.startswith(f"{scope.product.code}:") for scope in Scope.objects.select_related("product")
    )
    assert not Key.objects.exists()


@pytest.mark.django_db
def test_sign_ins_before_there_is_a_demo(capsys: pytest.CaptureFixture[str]) -> None:
    call_command(SignIns())
    assert "not loaded" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("moment", "office"),
    [
        ("2026-11-20T02:00:00+00:00", "2026-11-20T11:00:00+09:00"),
        ("2026-11-20T10:00:00+00:00", "2026-11-23T09:00:00+09:00"),
        ("2026-11-21T02:00:00+00:00", "2026-11-23T09:00:00+09:00"),
        ("2026-11-18T20:30:00+00:00", "2026-11-19T09:30:00+09:00"),
    ],
)
def test_office_hours(moment: str, office: str) -> None:
    assert in_office(datetime.fromisoformat(moment)) == datetime.fromisoformat(office)


def test_a_story_plays_in_order_and_ends_now() -> None:
    played: list[int] = []
    story = Story(NOW)
    story.at(NOW - timedelta(days=1), lambda _moment: played.append(2))
    story.at(NOW + timedelta(days=1), lambda _moment: played.append(4))

    def first(moment: datetime) -> None:
        played.append(1)
        story.at(moment + timedelta(days=8), lambda _moment: played.append(3))

    story.at(NOW - timedelta(days=9), first)
    story.run()
    assert played in ([1, 2, 3], [1, 3, 2])


def test_traffic_asks_mostly_rightly_and_at_a_gentle_pace(secrets_file: Path) -> None:
    key = KnownKey("kb_live_x", "ws", "live", ["tickets:read"], ["203.0.113.0/27"], 500)
    credentials.write(Credentials("gateway", [key]))
    assert credentials.read().keys == [key]
    assert json.loads(secrets_file.read_text())["gateway"] == "gateway"
    assert usual_rate(credentials.read()) == SLOWEST
    assert usual_rate(Credentials("", [KnownKey("", "", "", [], [], 10**9)])) == FASTEST
    rng = random.Random(1)
    questions = [question_for(key, rng) for _ in range(2_000)]
    wrong = [q for q in questions if q["scope"] != "tickets:read" or q["key"] != key.secret]
    assert 0 < len(wrong) < 60
    assert len({q["ip"] for q in questions}) <= 7
    assert report_for({"valid": False, "code": "EXPIRED"}, rng) is None
    told = [report_for({"valid": True, "key": "KB-0001"}, rng) for _ in range(100)]
    assert len({row["id"] for row in told if row}) == 100
    held = report_for({"valid": True, "key": "KB-0001", "check": "x"}, rng)
    assert held is not None
    assert (held["check"], "id" in held) == ("x", False)
