"""A worker killed in the middle of sending loses no mail and doubles none but what was in flight (N1)."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from celery import current_app
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from approvals.models import Request
from notifications.models import Message
from notifications.services import enqueue
from notifications.services.delivery import sweep_outbox
from partners.models import Partner
from tests import smtp_sink

N_MESSAGES = 60
N_PROCESSES = 2


def say_it_to_everyone() -> None:
    """60 people learn that a request was withdrawn: the plainest mail there is."""
    now = timezone.now()
    requester = User.objects.create_user("requester@example.jp", public_id="ST-9000", name="田中 美咲")
    partner = Partner.objects.create(public_id="PT-9000", kind="company", name="みなと物流", created_at=now)
    request = Request.objects.create(
        public_id="KR-9000",
        requester=requester,
        partner=partner,
        title="配送状況照会",
        state="withdrawn",
        created_at=now,
        changed_at=now,
        ended_at=now,
    )
    with transaction.atomic():
        for number in range(N_MESSAGES):
            person = User.objects.create_user(
                f"p{number}@example.jp", public_id=f"ST-91{number:02d}", name=f"人 {number}"
            )
            enqueue(
                "request_withdrawn",
                recipient_ref=person.public_id,
                context={"request": request.public_id},
                dedupe_key=f"kill:{number}",
                now=now,
            )


@contextmanager
def worker(environment: dict[str, str], log: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """A real Celery worker with child processes, killed with all of them at the end if it still runs."""
    command = [sys.executable, "-m", "celery", "-A", "config.celery", "worker", "-l", "INFO"]
    process = subprocess.Popen(
        [*command, "-c", str(N_PROCESSES), "--without-gossip", "--without-mingle"],
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        kill(process)


def kill(process: "subprocess.Popen[bytes]") -> None:
    """`kill -9` for the worker and its children at once."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until(
    done: Callable[[], bool], *, seconds: float, each: Callable[[], object] = lambda: None
) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        each()
        time.sleep(0.05)


def test_a_killed_worker_loses_nothing_and_doubles_nothing_but_what_was_in_flight(
    process_environment: dict[str, str], tmp_path: Any
) -> None:
    with smtp_sink.running() as sink, (tmp_path / "worker.log").open("wb") as log:
        sink.seconds = 0.1
        environment = {**process_environment, "EMAIL_URL": sink.url}
        say_it_to_everyone()
        with worker(environment, log) as first:
            wait_until(lambda: len(sink.mails) >= 15, seconds=120)
            kill(first)
        # What the mail server has in hand, it still takes.
        wait_until(lambda: sink.n_sessions == 0, seconds=60)
        arrived = set(sink.ids)
        written = {str(uid) for uid in Message.objects.filter(state="sent").values_list("uid", flat=True)}
        in_flight = arrived - written
        assert written <= arrived
        assert len(arrived) < N_MESSAGES
        assert len(in_flight) <= N_PROCESSES

        with worker(environment, log):
            # As beat does, only oftener; the tasks that died with the worker come back much later.
            wait_until(
                lambda: not Message.objects.filter(state="pending").exists(),
                seconds=180,
                each=lambda: current_app.send_task("notifications.sweep_outbox"),
            )

    everyone = {str(uid) for uid in Message.objects.values_list("uid", flat=True)}
    assert len(everyone) == N_MESSAGES
    assert set(sink.ids) == everyone
    twice = {uid for uid, n in Counter(sink.ids).items() if n > 1}
    assert twice <= in_flight
    assert Message.objects.filter(state="sent").count() == N_MESSAGES
    assert b"p0@example.jp" not in (tmp_path / "worker.log").read_bytes()


def test_without_a_broker_the_change_commits_and_the_sweep_sends(
    process_environment: dict[str, str], settings: Any, tmp_path: Any
) -> None:
    script = tmp_path / "say.py"
    script.write_text(
        "import django; django.setup()\n"
        "from tests.faults.test_outbox_kill import say_it_to_everyone\n"
        "say_it_to_everyone()\n"
    )
    environment = {
        **process_environment,
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PYTHONPATH": os.getcwd(),  # noqa: PTH109  # a string for the environment
    }
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    assert b"broker unavailable, left to the sweep" in done.stderr

    with smtp_sink.running() as sink:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", sink.port
        assert sweep_outbox(now=timezone.now()) == N_MESSAGES
    assert len(set(sink.ids)) == len(sink.ids) == N_MESSAGES
