"""Pages while the database hangs: they end, and say truthfully what became of what was asked for (V5, O2)."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from partners.models import Partner
from tests.cast import make_partner, make_staff, sign_in
from tests.relay import Relay

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]
# One answer is waited for, a second long; the rest is for a machine that stalls.
LONGEST_S = 20.0
UNDONE, OPEN = "操作は完了していません", "完了したかどうかは確認できていません"

handler500 = "core.views.server_error"


class Way:
    """To the database, for the views here, which decide when it hangs."""

    relay: Relay


def change(request: HttpRequest) -> HttpResponse:
    """A change in a transaction; the database hangs before it, in it or at its end."""
    request.user = AnonymousUser()
    hangs = request.POST["hangs"]
    if hangs == "before":
        Way.relay.hold()
    with transaction.atomic():
        make_partner("Kaze")
        if hangs == "within":
            Way.relay.hold()
        make_partner("Tsuki")
        if hangs == "at its end":
            Way.relay.hold()
    if hangs == "afterwards":
        Way.relay.hold()
    Partner.objects.count()
    return HttpResponse("Changed")


def much(_request: HttpRequest) -> HttpResponse:
    """A page that takes longer than any one answer may, because it asks much."""
    with connection.cursor() as cursor:
        for _ in range(6):
            cursor.execute("SELECT pg_sleep(0.4)")
    return HttpResponse("All of it")


urlpatterns = [path("change", change), path("much", much)]


@pytest.fixture(autouse=True)
def way(slow_database: tuple[Relay, str], tmp_path: Path, settings: Any) -> Iterator[None]:
    """This process's own connection leads through the proxy."""
    Way.relay, _ = slow_database
    settings.PORTAL_DATABASE_SECONDS = 1.0
    here = connection.settings_dict["HOST"]
    connection.close()
    connection.settings_dict["HOST"] = str(tmp_path)
    yield
    Way.relay.release()
    connection.close()
    connection.settings_dict["HOST"] = here


@pytest.mark.parametrize(
    ("hangs", "says", "is_done"),
    [
        ("before", UNDONE, False),
        ("within", UNDONE, False),
        # The request goes through, its answer is lost: it was done, and nobody here can know.
        ("at its end", OPEN, True),
        ("afterwards", OPEN, True),
    ],
)
def test_page_says_what_became_of_a_change(hangs: str, says: str, is_done: bool) -> None:
    client = Client(raise_request_exception=False)
    started = time.monotonic()
    answer = client.post("/change", {"hangs": hangs})
    assert time.monotonic() - started < LONGEST_S
    assert answer.status_code == 503
    assert answer["Retry-After"] == "10"
    text = answer.content.decode()
    assert [says in text, (UNDONE if says == OPEN else OPEN) in text] == [True, False]
    Way.relay.release()
    connection.close()
    assert Partner.objects.filter(name="Tsuki").exists() is is_done
    assert client.post("/change", {"hangs": "never"}).status_code == 200


def test_page_that_asks_much_is_not_cut() -> None:
    answer = Client().get("/much")
    assert answer.content == b"All of it"


@pytest.mark.urls("config.urls")
def test_page_ends_while_the_database_hangs_and_works_again() -> None:
    client = sign_in(make_staff("Rin", "requester"), raise_request_exception=False)
    assert client.get("/").status_code == 200
    Way.relay.hold()
    started = time.monotonic()
    answer = client.get("/")
    assert time.monotonic() - started < LONGEST_S
    assert (answer.status_code, UNDONE in answer.content.decode()) == (503, True)
    Way.relay.release()
    connection.close()  # as a server does before each request, and Django's test client does not
    assert client.get("/").status_code == 200
