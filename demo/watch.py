"""What security has in hand today: a grant of another workspace, a key in quarantine, a blocked network."""

from datetime import datetime, timedelta
from functools import partial

from approvals.models import KeyChange
from demo.calendar import in_office
from demo.people import actor_for
from demo.story import Player
from keys.life.services.quarantine import quarantine_key
from keys.models import Environment, Key
from keys.terms.terms import office_day
from keys.workspaces.services.grants import grant_workspace
from verifier.callers.blocking import block_address

# Longer than a weekend, so that the pages still show them on Monday.
HOURS = 96


def plan_watch(player: Player, *, now: datetime) -> None:
    """Put the three into the story."""
    player.story.at(in_office(now - timedelta(days=4)), partial(_grant, player))
    player.story.at(now - timedelta(hours=3), partial(_quarantine, player))
    player.story.at(now - timedelta(hours=1), partial(_block, player))


def _quiet_keys(player: Player) -> list[Key]:
    """Keys that live on and that nothing else happens to."""
    quiet = [number for number, wish in player.wishes.items() if wish.fate == "lives"]
    running = Key.objects.filter(
        public_id__in=quiet,
        status=Key.Status.ACTIVE,
        environment=Environment.LIVE,
        retires_at=None,
        expires_at__gt=player.story.now + timedelta(days=30),
    )
    return list(running.exclude(changes__in=KeyChange.objects.all()).order_by("-id"))


def _grant(player: Player, now: datetime) -> None:
    by = player.person("takeshi.watanabe")
    for key in _quiet_keys(player):
        place = key.partner.workspaces.filter(is_active=True).exclude(pk=key.workspace_id).first()
        if place is not None:
            grant_workspace(
                actor=actor_for(by), by=by, key=key, workspace=place.public_id, now=now,
                ends_on=office_day(player.story.now) + timedelta(days=10),
                reason="データ移行の期間だけ、移行先のワークスペースでも利用します。",
            )  # fmt: skip
            return


def _quarantine(player: Player, now: datetime) -> None:
    by = player.person("takeshi.watanabe")
    for key in _quiet_keys(player):
        if not key.grants.exists():
            quarantine_key(
                actor=actor_for(by), by=by, key=key, hours=HOURS, now=now,
                reason="見慣れない国からの呼び出しが増えたため、契約先に確認しています。",
            )  # fmt: skip
            return


def _block(player: Player, now: datetime) -> None:
    by = player.person("takeshi.watanabe")
    block_address(
        actor=actor_for(by), by=by, network="198.51.100.192/26", hours=HOURS, now=now,
        reason="失効したキーでの呼び出しが続いているため。",
    )  # fmt: skip
