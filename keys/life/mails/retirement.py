"""The mails about a planned retirement: notice, limits that fall, the end, use after it (K9)."""

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from keys.models import Key, Retirement
from keys.rights.limits import limits_of
from keys.rights.retirement import Event, Point, schedule_of
from keys.status.mails import find_key, key_mail
from keys.use.selectors.after_end import dead_use_of
from notifications.models import Message
from notifications.registry import Mail
from partners.mails import Fact, page_url, when_text


def key_retiring(message: Message) -> Mail | None:
    """To owner and recipient: the key will end, when its limits fall, and what replaces it.

    Why is told to staff only: it is written for approvers.
    """
    plan = _standing(message)
    if plan is None:
        return None
    key = find_key(message)
    facts = [*_facts(plan), *_why(message, plan)]
    return key_mail(
        message,
        key,
        *facts,
        **_said(plan),
        falls=[(when_text(point.at), point.share) for point in _falls(plan)],
        share=limits_of(key, timezone.now()).share,
        change_url=page_url("keys:key-detail", key.public_id) + "#retirement",
    )


def key_limits_fell(message: Message) -> Mail | None:
    """To owner and recipient: from now on the key is allowed so much less. Not sent once that is past."""
    plan = _standing(message)
    if plan is None:
        return None
    key = find_key(message)
    limits = limits_of(key, timezone.now())
    facts: list[Fact] = [
        *_facts(plan),
        (_("Requests a minute"), f"{limits.rpm:,}"),
        (_("Requests an hour"), f"{limits.rph:,}"),
    ]
    return key_mail(message, key, *facts, **_said(plan), share=limits.share)


def key_retired(message: Message) -> Mail | None:
    """To owner and recipient: the planned end has come."""
    key = find_key(message)
    if key.status != Key.Status.EXPIRED or key.retires_at is None:
        return None
    replacement = key.replacement.public_id if key.replacement else ""
    return key_mail(message, key, ends=when_text(key.retires_at), replacement=replacement)


def key_used_after_end(message: Message) -> Mail | None:
    """To the owner: somebody still calls with a key that has ended. Once a day, while it happens."""
    key = find_key(message)
    use = dead_use_of(key, now=timezone.now())
    if key.ended_at is None or not use.total:
        return None
    facts: list[Fact] = [
        (_("Ended"), when_text(key.ended_at)),
        (_("Refused calls since then"), f"{use.total:,}"),
    ]
    if key.replacement:
        facts.append((_("Replaced by"), str(key.replacement)))
    return key_mail(message, key, *facts, n_today=use.today)


def _standing(message: Message) -> Retirement | None:
    """The plan, while it is one: nobody is told of what was called off, or is over."""
    plans = Retirement.objects.select_related("replacement", "asked_by")
    return plans.filter(
        pk=message.context["retirement"], state=Retirement.State.NOTICED, ends_at__gt=timezone.now()
    ).first()


def _said(plan: Retirement) -> dict[str, Any]:
    return {
        "ends": when_text(plan.ends_at),
        "replacement": plan.replacement.public_id if plan.replacement else "",
        "is_short": plan.is_short,
    }


def _facts(plan: Retirement) -> list[Fact]:
    facts: list[Fact] = [(_("Ends"), when_text(plan.ends_at))]
    if plan.replacement:
        facts.append((_("Replaced by"), str(plan.replacement)))
    return facts


def _why(message: Message, plan: Retirement) -> list[Fact]:
    if not message.recipient_ref.startswith("ST-"):
        return []
    facts: list[Fact] = [(_("Reason"), plan.reason)] if plan.reason else []
    if plan.asked_by:
        facts.append((_("Requested by"), plan.asked_by.name))
    if plan.is_short and plan.short_notice:
        facts.append((_("Why at short notice"), plan.short_notice))
    return facts


def _falls(plan: Retirement) -> list[Point]:
    points = schedule_of(plan.notice_at, plan.ends_at)
    return [point for point in points if point.event is Event.FALL]


BUILDERS = (key_retiring, key_limits_fell, key_retired, key_used_after_end)
