"""Hooks of the `st` command (tests/verifier/test_openapi_live.py): real keys and their environment."""

import json
import os
from itertools import cycle
from typing import Any

import schemathesis
from schemathesis import Case, HookContext

KEYS = cycle([*json.loads(os.environ["KEYS"]), None])


@schemathesis.hook
def before_call(_context: HookContext, case: Case[Any], _kwargs: dict[str, Any]) -> None:
    """Ask about a real key, mostly, and where it belongs: what is made up ends the check before the rest."""
    if isinstance(case.body, dict) and isinstance(case.body.get("key"), str):
        case.body = {**case.body, "key": next(KEYS) or case.body["key"]}
    environment = (case.query or {}).get("environment")
    if isinstance(environment, str) and environment.split() == [environment]:
        case.query = {**case.query, "environment": "live"}
