"""Loads the whole demo, in one transaction: it is there, or it is not."""

import random
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F

from accounts.models import User
from approvals.deputies.services.deputies import add_role_deputy, give_delegation, name_standing_deputy
from approvals.models import Request, StepLink
from approvals.path.services.watching import watch_steps
from core.errors import Conflict
from demo import credentials, letters
from demo.calendar import TOKYO, Story
from demo.catalogue import load_catalogue
from demo.changes import plan_changes
from demo.credentials import Credentials, KnownKey
from demo.people import actor_for, hire
from demo.places import PLACES, Deal, Place, register, sign
from demo.policies import propose_a_policy
from demo.purposes import USES
from demo.reports import write_reports
from demo.retirements import plan_retirements
from demo.story import Player, sweep
from demo.use import NORMAL_A_DAY, write_use
from demo.waiting import open_wishes
from demo.watch import plan_watch
from demo.wishes import Wish, plan_wishes
from intake.services.receiving import receive_mail
from keys.models import Delivery, Key
from notifications.models import Message
from verifier.portal.services import add_gateway

SEED = 20261121
HISTORY_DAYS = 186
N_TRAFFIC_KEYS = 24
OLD_TERMS = "2025-10"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was loaded, in numbers."""

    keys: dict[str, int]
    requests: dict[str, int]
    n_use_days: int
    n_mails_waiting: int


@transaction.atomic
def load_demo(*, now: datetime, every: int = 1) -> Loaded:
    """Play six months up to `now` into an empty database. Conflict where there are keys already.

    Always the same story for the same day; only secrets, tokens and numbers drawn from the system's random
    source differ. Writes the demo's credentials file. `every=3` loads a third of the keys.
    """
    if Key.objects.exists():
        raise Conflict("The demo is loaded into an empty database only.")
    rng = random.Random(SEED)
    began = _morning(now - timedelta(days=HISTORY_DAYS))
    load_catalogue(now=began)
    staff = hire(now=began)
    story = Story(now)
    player = Player(story=story, rng=rng, staff=staff, sites={})
    gateway = _found(player, began, now)
    story.at(began + timedelta(hours=5), partial(_name_deputies, player))
    _plan(player, now, every)
    _write_in(player, now)
    story.run()
    _leave(player, now)
    sweep(now)
    n_days = write_use(player.wishes, now=now, rng=rng)
    write_reports(now=now, rng=rng)
    _finish_mails()
    _remember(player, gateway)
    # Callbacks on commit would queue a task for each of a thousand old mails. The hot store fills by itself
    # as keys are used, and the outbox's sweep finds the mails of today.
    connection.run_on_commit.clear()
    return _count(n_days)


def _morning(moment: datetime) -> datetime:
    return moment.astimezone(TOKYO).replace(hour=9, minute=30, second=0, microsecond=0)


def _found(player: Player, began: datetime, now: datetime) -> str:
    """Gateways, partners, and contracts when they are signed; returns the first gateway's credential."""
    tech = player.person("naoto.takahashi")
    gateway = add_gateway(
        actor=actor_for(tech),
        by=tech,
        name="公開APIゲートウェイ",
        mode="standard",
        fail_policy="open",
        ip_ranges=[],
        reports_ends=False,
        now=began + timedelta(hours=1),
    )
    add_gateway(
        actor=actor_for(tech),
        by=tech,
        name="社内nginx",
        mode="nginx",
        fail_policy="closed",
        ip_ranges=["127.0.0.0/8", "10.0.0.0/8"],
        reports_ends=False,
        now=began + timedelta(hours=2),
    )
    checker = player.person("takeshi.watanabe")
    for number, place in enumerate(PLACES, start=1):
        by = player.person("emma.lindqvist" if place.language == "en" else "misaki.sato")
        first = min((deal.first for deal in place.deals), default=-HISTORY_DAYS)
        arrived = max(began, _morning(now - timedelta(days=9 - first))) + timedelta(hours=3, minutes=number)
        player.story.at(arrived, partial(_arrive, player, place, number, by, checker))
        for deal in place.deals:
            signed = max(arrived + timedelta(minutes=3), _morning(now - timedelta(days=3 - deal.first)))
            version = settings.TERMS_OF_USE_VERSION if deal.first > -170 else OLD_TERMS
            player.story.at(signed, partial(_sign, player, place, deal, by, version))
    return gateway.text


def _analyze(_now: datetime) -> None:
    """Tell PostgreSQL how its tables grew: in one long transaction it would go on planning for empty ones."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _plan(player: Player, now: datetime, every: int) -> None:
    for number in range(0, HISTORY_DAYS, 12):
        player.story.at(now - timedelta(days=number), _analyze)
    for number in range(0, HISTORY_DAYS, 7):
        player.story.at((now - timedelta(days=number)).astimezone(TOKYO).replace(hour=3), sweep)
    wishes = plan_wishes(PLACES, now=now, rng=player.rng, every=every) + open_wishes(now=now)
    wishes += _drafts(now)
    player.story.at(now - timedelta(hours=5), partial(propose_a_policy, player))
    for wish in wishes:
        player.story.at(wish.asked_at, partial(player.ask, wish))
    plan_changes(player, now=now)
    plan_retirements(player, now=now)
    plan_watch(player, now=now)


def _write_in(player: Player, now: datetime) -> None:
    """Two mails reach the request address today."""
    for hours, raw in ((5, letters.readable(now)), (2, letters.unreadable())):
        then = now - timedelta(hours=hours)
        player.story.at(then, partial(_receive, raw))


def _receive(raw: bytes, now: datetime) -> None:
    receive_mail(raw=raw, via="imap", now=now)


def _drafts(now: datetime) -> list[Wish]:
    hours = ((PLACES[1], 60), (PLACES[5], 31), (PLACES[9], 22), (PLACES[7], 4))
    return [
        Wish(place, USES[index], "live", now - timedelta(hours=age), 120, fate="draft")
        for index, (place, age) in enumerate(hours)
    ]


def _arrive(player: Player, place: Place, number: int, by: User, checker: User, now: datetime) -> None:
    player.sites[place.name] = register(place, number, by=by, checker=checker, now=now)


def _sign(player: Player, place: Place, deal: Deal, by: User, terms_version: str, now: datetime) -> None:
    site = player.sites[place.name]
    sign(site, deal, by=by, terms_version=terms_version, today=player.story.now, now=now)


def _name_deputies(player: Player, now: datetime) -> None:
    """Who may decide once nobody has answered in time: for Misaki first of all Ken, then the role's."""
    misaki = player.person("misaki.sato")
    name_standing_deputy(actor=actor_for(misaki), giver=misaki, deputy=player.person("ken.suzuki"), now=now)
    admin = actor_for(player.person("taro.yamamoto"))
    for role, mailbox in (("pm", "takeshi.watanabe"), ("legal", "misaki.sato"), ("coo", "takeshi.watanabe")):
        add_role_deputy(actor=admin, role=role, staff=player.person(mailbox), now=now)


def _leave(player: Player, now: datetime) -> None:
    """Legal is away this week: what waits for her is before her deputy."""
    giver = player.person("sakura.ito")
    give_delegation(
        actor=actor_for(giver),
        giver=giver,
        deputy=player.person("takeshi.watanabe"),
        role="legal",
        starts_at=now,
        ends_at=_morning(now + timedelta(days=6)),
        note="出張",
        now=now,
    )
    watch_steps(now=now)


def _finish_mails() -> None:
    """The mails of the past were sent when they were due. What still can be clicked today is sent today."""
    links = StepLink.objects.filter(used_at=None, died_at=None).values_list("uid", flat=True)
    deliveries = Delivery.objects.filter(state=Delivery.State.WAITING).values_list("uid", flat=True)
    alive = [f"step_link:{uid}" for uid in links] + [f"delivery_link:{uid}" for uid in deliveries]
    Message.objects.filter(state=Message.State.PENDING).exclude(dedupe_key__in=alive).update(
        state=Message.State.SENT, sent_at=F("created_at"), n_attempts=1
    )


def _remember(player: Player, gateway: str) -> None:
    keys = Key.objects.filter(public_id__in=player.secrets).select_related("workspace").order_by("id")
    running = [key for key in keys if key.status == Key.Status.ACTIVE]
    busiest = sorted(running, key=lambda key: -player.wishes[key.public_id].busy)[:N_TRAFFIC_KEYS]
    stopped = [key for key in keys if key.status in {Key.Status.REVOKED, Key.Status.SUSPENDED}][:2]
    known = [
        KnownKey(
            secret=player.secrets[key.public_id],
            workspace=key.workspace.code,
            environment=key.environment,
            scopes=key.scopes,
            ip_ranges=key.ip_ranges,
            a_day=int(NORMAL_A_DAY[key.environment] * player.wishes[key.public_id].busy)
            if key.status == Key.Status.ACTIVE
            else 20,
        )
        for key in [*busiest, *stopped]
    ]
    credentials.write(Credentials(gateway=gateway, keys=known))


def _count(n_days: int) -> Loaded:
    return Loaded(
        keys=dict(Counter(Key.objects.values_list("status", flat=True))),
        requests=dict(Counter(Request.objects.values_list("state", flat=True))),
        n_use_days=n_days,
        n_mails_waiting=Message.objects.filter(state=Message.State.PENDING).count(),
    )
