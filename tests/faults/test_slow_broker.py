"""A broker that hangs: whoever changes something goes on, and the sweep sends what was not queued (N1)."""

import os
import subprocess
import sys

import pytest

from tests.relay import Relay
from tests.serving import ROOT

pytestmark = pytest.mark.django_db(transaction=True)
LONGEST_S = 60
CHANGES = """
from celery import current_app
from django.db import transaction
from core.background import send_on_commit

current_app.send_task("keys.end_grants")
print("connected", flush=True)
input()
for _ in range(30):
    with transaction.atomic():
        send_on_commit("keys.end_grants")
print("gone on", flush=True)
"""


def test_a_broker_that_hangs_holds_nobody_up(process_environment: dict[str, str]) -> None:
    port = int(os.environ["REDIS_URL"].rpartition(":")[2].partition("/")[0])
    with Relay(port) as way:
        environment = process_environment | {"REDIS_URL": way.instead_of(process_environment["REDIS_URL"])}
        command = [sys.executable, "manage.py", "shell", "-v", "0", "-c", CHANGES]
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "connected\n"
            way.hold()
            said, errors = process.communicate("\n", timeout=LONGEST_S)
        finally:
            process.kill()
            process.wait()
            way.release()
    assert said == "gone on\n"
    assert errors.count("left to the sweep") == 30
