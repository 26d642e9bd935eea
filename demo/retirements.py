"""Two planned retirements: one whose limits have fallen already, one that is weeks away (K9)."""

from dataclasses import replace
from datetime import datetime, time, timedelta
from functools import partial

from approvals.changes.selectors.changes import present_terms
from approvals.changes.services.changing import Wish
from approvals.models import KeyChange
from approvals.requests.drafts import draft_of
from approvals.requests.services.change_drafts import start_change
from approvals.requests.services.requests import submit_request
from demo.calendar import TOKYO, in_office
from demo.changes import LASTS, approve_tightening
from demo.people import actor_for
from demo.story import Player
from keys.life.services.retiring import watch_retirements
from keys.models import Environment, Key
from keys.rights.retirement import schedule_of
from keys.terms.settings import digest_of_settings
from keys.terms.terms import office_minute

NEAR = "旧エンドポイントの提供終了に伴い、新しいキーへ移行します。"
FAR = "契約更新に合わせて新しいプランのキーへ切り替えます。"


def plan_retirements(player: Player, *, now: datetime) -> None:
    """Put both into the story, at times in the office; what their schedule brings, at its times."""
    for asked, left, why in ((timedelta(days=43), 5, NEAR), (timedelta(days=2), 48, FAR)):
        begin = in_office(now - asked)
        day = (now + timedelta(days=left)).astimezone(TOKYO).date()
        ends_at = datetime.combine(day, time(10), tzinfo=TOKYO)
        player.story.at(begin, partial(_ask, player, why, ends_at))
        player.story.at(begin + timedelta(hours=2), lambda moment: approve_tightening(player, moment))
        for point in schedule_of(begin + timedelta(hours=2), ends_at):
            player.story.at(point.at + timedelta(minutes=1), lambda moment: watch_retirements(now=moment))


def _ask(player: Player, why: str, ends_at: datetime, now: datetime) -> None:
    """Ken asks to retire a key that would live on; where its partner has another one, that replaces it."""
    by = player.person("ken.suzuki")
    running = Key.objects.filter(
        status=Key.Status.ACTIVE,
        environment=Environment.LIVE,
        contract__isnull=False,
        expires_at__gt=player.story.now + LASTS + timedelta(days=5),
    ).exclude(changes__in=KeyChange.objects.all())
    quiet = [number for number, wish in player.wishes.items() if wish.fate == "lives"]
    key = running.filter(public_id__in=quiet).order_by("id").first()
    if key is None:
        return
    others = Key.objects.filter(
        partner=key.partner, environment=key.environment, status=Key.Status.ACTIVE, expires_at__gt=ends_at
    )
    other = others.exclude(pk=key.pk).order_by("-id").first()
    request = start_change(actor=actor_for(by), by=by, key=key, now=now)
    present = present_terms(Key.objects.get(pk=key.pk))
    terms = replace(present, retires_at=office_minute(ends_at), replacement=other.public_id if other else "")
    submit_request(
        actor=actor_for(by),
        by=by,
        request=request,
        version=request.version,
        terms=terms,
        draft=draft_of(terms),
        wish=Wish(digest_of_settings(present), why),
        now=now,
    )
