"""Somebody who is signed in opens another person's mail link: nothing happens, and it is on record (A3)."""

import pytest
from django.test import Client
from django.urls import reverse

from approvals.models import Request
from approvals.path.services.path import PURPOSE
from audit.models import Event
from core.links import token_of
from tests.cast import Cast, decide, open_step, sign_in

pytestmark = pytest.mark.django_db


def link_of(cast: Cast, request: Request) -> str:
    link = open_step(request).links.get(staff=cast.pm)
    return reverse("approvals:link-decide", args=[token_of(bytes(link.nonce), purpose=PURPOSE)])


def tried() -> list[str]:
    return list(
        Event.objects.filter(action="link.foreign").order_by("id").values_list("actor_ref", flat=True)
    )


def test_each_person_is_on_record_once_for_each_link(cast: Cast) -> None:
    request = cast.request()
    url = link_of(cast, request)
    client = sign_in(cast.legal)
    for _time in range(3):
        assert client.get(url).status_code == 403
    assert client.post(url, {"answer": "approve"}).status_code == 403
    assert sign_in(cast.ops).get(url).status_code == 403
    assert tried() == [cast.legal.public_id, cast.ops.public_id]
    sign_in(cast.legal).get(link_of(cast, cast.request()))
    assert tried() == [cast.legal.public_id, cast.ops.public_id, cast.legal.public_id]


def test_the_event_names_the_request_and_whose_link_it_was_but_not_the_link(cast: Cast) -> None:
    request = cast.request()
    url = link_of(cast, request)
    sign_in(cast.legal).get(url)
    event = Event.objects.get(action="link.foreign")
    assert event.objects_touched == [f"request:{request.public_id}"]
    assert event.payload["recipient"] == cast.pm.public_id
    assert url.rstrip("/").rsplit("/", 1)[-1] not in bytes(event.canonical).decode()
    page = sign_in(cast.auditor).get(reverse("audit:event-detail", args=[event.uid])).content.decode()
    assert cast.legal.name in page
    assert cast.pm.name in page


def test_neither_its_holder_nor_somebody_unknown_is_on_record(cast: Cast) -> None:
    request = cast.request()
    url = link_of(cast, request)
    Client().get(url)
    sign_in(cast.pm).get(url)
    assert tried() == []


def test_a_link_that_is_over_is_still_somebody_elses(cast: Cast) -> None:
    request = cast.request()
    url = link_of(cast, request)
    decide(request, cast.pm)
    assert sign_in(cast.legal).get(url).status_code == 410
    assert tried() == [cast.legal.public_id]
