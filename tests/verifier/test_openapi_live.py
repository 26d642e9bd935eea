"""The real server answers as its description says, whatever schemathesis makes up from it (V9)."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from tests.cast import make_partner, make_staff
from tests.dataplane import make_gateway, make_live_key
from tests.serving import serving

HOOKS = Path(__file__).with_name("schemathesis_hooks.py")
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_schema_conformance", "response_headers_conformance", "negative_data_rejection",
    "positive_data_acceptance", "missing_required_header", "unsupported_method",
    "allow_header_conformance", "ignored_auth",
)  # fmt: skip

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def port(django_db_setup: None) -> Iterator[int]:
    with serving() as (number, _):
        yield number


def _keys() -> list[str]:
    """Keys that get different answers."""
    partner, owner, now = make_partner("P"), make_staff("O", "requester"), timezone.now()
    several: list[dict[str, object]] = [
        {},
        {
            "rpm": 100_000,
            "rph": 1_000_000,
            "burst": 1_000,
            "concurrency": 500,
            "monthly_budget_usd": "1000000",
        },
        {"rpm": 1},
        {"concurrency": 1, "monthly_budget_usd": "1"},
        {"ip_ranges": ["203.0.113.0/24"], "model_names": ["*"], "feature_names": ["*"]},
        {
            "status": "retiring",
            "rph": 1_000_000,
            "retiring_from": now - timedelta(days=20),
            "retires_at": now + timedelta(days=10),
        },
        {"status": "suspended", "suspended_at": now},
        {"status": "revoked", "revoke_reason": "leaked", "ended_at": now},
    ]
    return [make_live_key(partner, owner, **fields).text for fields in several]


@pytest.mark.parametrize(
    ("mode", "chosen"),
    [
        # The other methods of /v1/authorize are described by the same words.
        ("standard", ["--exclude-operation-id-regex", "By(Head|Put|Patch|Delete|Options)"]),
        ("nginx", ["--include-operation-id-regex", "authorizeByGet"]),
    ],
)
def test_answers_as_described(port: int, tmp_path: Path, mode: str, chosen: list[str]) -> None:
    gateway, keys = make_gateway(mode=mode), _keys()
    config = tmp_path / "schemathesis.toml"
    config.write_text(f"""
[[operations]]
include-path = "/v1/keys/verify"
headers = {{ Authorization = "Bearer {gateway}" }}
# What has too many members may be too large, too.
checks.negative_data_rejection.expected-statuses = [400, 401, 413]

[[operations]]
include-path = "/v1/usage"
headers = {{ Authorization = "Bearer {gateway}" }}
# Each report is judged by itself: a wrong one is told so in an answer of 200.
checks.negative_data_rejection.expected-statuses = [200, 400, 401, 413]

[[operations]]
include-path = ["/v1/authorize", "/v1/authorize/{{path}}"]
headers = {{ X-Gateway-Credential = "{gateway}", X-API-Key = "{keys[1]}" }}
# Any method is answered, also one that OpenAPI has no name for.
phases.coverage.unexpected-methods = []
""")
    environment = {
        **os.environ,
        "KEYS": json.dumps(keys),
        "SCHEMATHESIS_HOOKS": HOOKS.stem,
        "PYTHONPATH": str(HOOKS.parent),
        "PYTHONWARNINGS": "ignore",
    }
    command = [
        str(Path(sys.executable).with_name("st")), "--config-file", str(config), "run",
        f"http://127.0.0.1:{port}/v1/openapi.json", "--checks", ",".join(CHECKS),
        "--phases", "examples,coverage,fuzzing", "--max-examples", "40", "--seed", "9", "--workers", "1",
        "--no-shrink", "--continue-on-failure", "--report-har-path", str(tmp_path / "calls.har"), *chosen,
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, timeout=400, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    codes = _codes(tmp_path / "calls.har")
    wanted = {"VALID", "MALFORMED", "REVOKED", "SUSPENDED", "RATE_LIMITED_MINUTE"}
    assert (wanted if mode == "standard" else set()) | {"BAD_REQUEST", "INSUFFICIENT_SCOPE"} <= set(codes)


def _codes(calls: Path) -> Counter[str]:
    """What was answered: so that a run which never got past the credential is none."""
    seen: Counter[str] = Counter()
    for entry in json.loads(calls.read_text())["log"]["entries"]:
        try:
            seen[json.loads(entry["response"]["content"]["text"])["code"]] += 1
        except (KeyError, TypeError, ValueError):
            continue
    return seen
