"""The registry: API products, plans, keys, their secrets and deliveries, and daily use."""

from keys.models.catalogue import ApiProduct, Environment, Plan, PurposeCategory, Scope, default_rate_limit
from keys.models.grants import WorkspaceGrant
from keys.models.keys import LIVE, NEVER_USED, EndOfLife, Key, RotationClass
from keys.models.retirements import Retirement
from keys.models.secrets import Delivery, Secret
from keys.models.use import KeyOutcomeDay, KeyUseDay, SeenAddress, UseBatch

__all__ = [
    "LIVE",
    "NEVER_USED",
    "ApiProduct",
    "Delivery",
    "EndOfLife",
    "Environment",
    "Key",
    "KeyOutcomeDay",
    "KeyUseDay",
    "Plan",
    "PurposeCategory",
    "Retirement",
    "RotationClass",
    "Scope",
    "Secret",
    "SeenAddress",
    "UseBatch",
    "WorkspaceGrant",
    "default_rate_limit",
]
