"""Two people take one mail over in the same moment: one draft, and one honest refusal (R4)."""

import threading

import pytest
from django.db import connection
from django.utils import timezone

from approvals.models import Request
from core.actors import staff_actor
from core.errors import Conflict
from intake.models import ReceivedMail
from intake.services.inbox import set_mail_aside, take_mail
from intake.services.receiving import receive_mail
from tests.cast import Cast
from tests.intake.letters import mail

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("rivals", ["take and take", "take and set aside"])
def test_one_mail_is_dealt_with_once(cast: Cast, rivals: str) -> None:
    letter = receive_mail(raw=mail(), via="pipe", now=timezone.now()).mail
    start, outcomes = threading.Barrier(2), []

    def take() -> None:
        take_mail(
            actor=staff_actor(cast.pm), by=cast.pm, mail=letter, partner=cast.company, now=timezone.now()
        )

    def other() -> None:
        by = cast.pm2
        if rivals == "take and take":
            take_mail(actor=staff_actor(by), by=by, mail=letter, partner=cast.company, now=timezone.now())
        else:
            set_mail_aside(actor=staff_actor(by), by=by, mail=letter, reason="spam", now=timezone.now())

    def run(act: object) -> None:
        try:
            start.wait()
            assert callable(act)
            act()
            outcomes.append("done")
        except Conflict:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(act,)) for act in (take, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    letter = ReceivedMail.objects.get()
    assert Request.objects.count() == (letter.state == "taken")
    if rivals == "take and take":
        assert sorted(outcomes) == ["done", "refused"]
    else:
        # Who comes second may take what was set aside: then both were done, one after the other.
        assert "done" in outcomes
        assert letter.state in {"taken", "set_aside"}
