"""Three changes of running keys: one to look at, one that waits for its window, one in approval (R3)."""

from dataclasses import replace
from datetime import datetime, time, timedelta
from functools import partial

from approvals.changes.selectors.changes import present_terms
from approvals.changes.services.changing import Wish
from approvals.decisions.services.answers import Answer
from approvals.decisions.services.deciding import decide_as_staff
from approvals.models import KeyChange, Request, Step
from approvals.requests.drafts import draft_of
from approvals.requests.services.change_drafts import start_change
from approvals.requests.services.requests import submit_request
from demo.calendar import TOKYO, in_office
from demo.people import actor_for
from demo.story import Player
from keys.models import Environment, Key
from keys.terms.settings import digest_of_settings

LASTS = timedelta(days=40)


def plan_changes(player: Player, *, now: datetime) -> None:
    """Put the changes into the story, at times in the office."""
    at = player.story.at
    first = in_office(now - timedelta(days=9))
    half = partial(_ask, player, "直近の利用は上限の半分以下のため、上限を下げます。", (0.5, 0.5, 1))
    at(first, lambda moment: half(moment, None))
    at(first + timedelta(hours=3), lambda moment: approve_tightening(player, moment))
    second = in_office(now - timedelta(days=1, hours=2))
    night = datetime.combine(now.astimezone(TOKYO).date() + timedelta(days=3), time(2), tzinfo=TOKYO)
    less = partial(_ask, player, "夜間のメンテナンス時間帯に合わせ、上限を見直します。", (0.8, 0.6, 1))
    at(second, lambda moment: less(moment, night))
    at(second + timedelta(hours=1), lambda moment: approve_tightening(player, moment))
    more = partial(
        _ask, player, "年末の販売に向け、1分あたりの上限と同時に使える数を引き上げたい。", (1.5, 1.2, 2)
    )
    at(now - timedelta(hours=5), lambda moment: more(moment, None))


def _ask(
    player: Player, why: str, factors: tuple[float, float, int], now: datetime, not_before: datetime | None
) -> None:
    """Ken asks for other limits of a key that runs for some time yet, each time of another one."""
    by = player.person("ken.suzuki")
    running = Key.objects.filter(
        status=Key.Status.ACTIVE,
        environment=Environment.LIVE,
        contract__isnull=False,
        expires_at__gt=player.story.now + LASTS,
    )
    key = running.exclude(changes__in=KeyChange.objects.all()).order_by("id").last()
    if key is None:
        return
    request = start_change(actor=actor_for(by), by=by, key=key, now=now)
    present = present_terms(Key.objects.get(pk=key.pk))
    minute, hour, at_once = factors
    terms = replace(
        present,
        rpm=round(present.rpm * minute),
        rph=round(present.rph * hour),
        burst=present.burst * at_once,
        concurrency=present.concurrency * at_once,
    )
    submit_request(
        actor=actor_for(by),
        by=by,
        request=request,
        version=request.version,
        terms=terms,
        draft=draft_of(terms),
        wish=Wish(digest_of_settings(present), why, not_before),
        now=now,
    )


def approve_tightening(player: Player, now: datetime) -> None:
    """Security's look at the tightening that waits."""
    by = player.person("takeshi.watanabe")
    step = (
        Step.objects.select_related("request__partner", "request__requester", "revision", "contact")
        .filter(state=Step.State.OPEN, role="pm_or_security", request__state=Request.State.IN_REVIEW)
        .first()
    )
    if step is not None:
        answer = Answer(outcome="approve", digest=bytes(step.revision.digest))
        decide_as_staff(
            actor=actor_for(by), by=by, step=step, answer=answer, second_factor_at=now, link=None, now=now
        )
