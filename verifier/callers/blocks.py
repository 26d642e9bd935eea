"""Blocked addresses: those in force, and those that are over (V3)."""

from datetime import datetime

from django.db.models import QuerySet

from verifier.models import BlockedAddress


def blocks(now: datetime) -> "QuerySet[BlockedAddress]":
    """The blocks that are in force: those that people made, then the newest that came by themselves.

    So nobody can push out what people blocked by sending false keys from many addresses.
    """
    return standing_blocks(now).order_by("is_automatic", "-id")[: BlockedAddress.MOST]


def n_idle_blocks(now: datetime) -> int:
    """How many older blocks stand that are not looked at, because there are too many."""
    return max(0, standing_blocks(now).count() - BlockedAddress.MOST)


def standing_blocks(now: datetime) -> "QuerySet[BlockedAddress]":
    """All blocks that nobody has lifted and that are not over, the newest first."""
    return BlockedAddress.objects.filter(lifted_at=None, until__gt=now)


def past_blocks(now: datetime, *, limit: int = 50) -> "QuerySet[BlockedAddress]":
    """The newest blocks that are over."""
    return BlockedAddress.objects.exclude(lifted_at=None, until__gt=now)[:limit]
