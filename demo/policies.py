"""A change of the approval policy that waits for the second person: to be looked at and decided."""

from datetime import datetime, timedelta
from typing import Any

from approvals.policies.selectors.in_force import current_policy
from approvals.policies.services import propose_policy, save_policy_draft, start_policy_draft
from demo.people import actor_for
from demo.story import Player

WHY = (
    "四半期の監査指摘への対応です。月額30万円を超える契約でもCOOの確認を求め、"
    "技術の承認は2営業日以内とします。"
)
COO_FROM_JPY = 300_000
TWO_DAYS = 48  # 24 business hours are a business day


def propose_a_policy(player: Player, now: datetime) -> None:
    """Legal asks for the COO from a smaller amount on, and for tech's answer within two days."""
    author = player.person("sakura.ito")
    actor = actor_for(author)
    draft = start_policy_draft(actor=actor, by=author, source=current_policy(now), now=now)
    rules = {"steps": [_changed(step) for step in draft.rules["steps"]]}
    saved = save_policy_draft(
        actor=actor,
        by=author,
        policy=draft,
        version=draft.version,
        rules=rules,
        reason=WHY,
        now=now + timedelta(minutes=4),
    )
    propose_policy(
        actor=actor,
        by=author,
        policy=saved,
        version=saved.version,
        reason=WHY,
        now=now + timedelta(minutes=8),
    )


def _changed(step: dict[str, Any]) -> dict[str, Any]:
    if step["role"] == "coo":
        when = [
            condition | {"value": COO_FROM_JPY} if condition["fact"] == "monthly_amount_jpy" else condition
            for condition in step["when"]
        ]
        return step | {"when": when, "why": "rule"}
    return step | {"deadline_hours": TWO_DAYS} if step["role"] == "tech" else step
