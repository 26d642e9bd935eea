"""Limits and budgets hold exactly, from however many processes they are asked for (V3)."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.dataplane import make_gateway, make_live_key

ROOT = Path(__file__).resolve().parents[2]
N_PROCESSES = 3
N_EACH = 200

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("fields", "question", "admitted", "code"),
    [
        ({"monthly_budget_usd": "3.21"}, {"cost_usd": "0.01"}, 321, "BUDGET_EXCEEDED"),
        ({"concurrency": 123}, {"lease_seconds": 3600}, 123, "CONCURRENCY_EXCEEDED"),
    ],
)
def test_never_one_too_many_and_never_one_too_few(
    process_environment: dict[str, str],
    fields: dict[str, Any],
    question: dict[str, object],
    admitted: int,
    code: str,
) -> None:
    gateway, live = make_gateway(), make_live_key(**fields)
    command = [
        sys.executable,
        "-m",
        "tests.races.checker",
        gateway,
        live.text,
        str(N_EACH),
        json.dumps(question),
    ]
    processes = [
        subprocess.Popen(command, cwd=ROOT, env=process_environment, stdout=subprocess.PIPE)
        for _ in range(N_PROCESSES)
    ]
    codes: Counter[str] = Counter()
    for process in processes:
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        codes.update(json.loads(out))
    assert codes == {"VALID": admitted, code: N_PROCESSES * N_EACH - admitted}
