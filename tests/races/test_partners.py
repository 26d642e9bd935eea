"""Two people at once on one partner: one stale form, one address, one corporate number."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connections
from django.urls import reverse

from audit.models import Event
from partners.models import Contact, Partner, Workspace
from tests.cast import Cast, sign_in

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Run the acts in threads that start together, each with a connection of its own."""
    barrier = Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        try:
            barrier.wait(timeout=10)
            return act()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(acts)) as pool:
        return [future.result() for future in [pool.submit(run, act) for act in acts]]


def test_two_changes_from_the_same_form_keep_exactly_one(cast: Cast) -> None:
    url = reverse("partners:partner-change", args=[cast.company.public_id])
    first, second = sign_in(cast.pm), sign_in(cast.pm2)
    form = first.get(url).context["form"].initial
    answers = at_once(
        lambda: first.post(url, form | {"note": "first"}), lambda: second.post(url, form | {"note": "second"})
    )
    assert sorted(answer.status_code for answer in answers) == [302, 409]
    assert Event.objects.filter(action="partner.changed").count() == 1


def test_one_address_and_one_code_are_added_once(cast: Cast) -> None:
    clients = [sign_in(cast.pm), sign_in(cast.pm2), sign_in(cast.requester)]
    contact = {"name": "A", "email": "a@example.jp", "purposes": ["technical"], "language": "ja"}
    url = reverse("partners:contact-add", args=[cast.company.public_id])
    answers = at_once(*[lambda client=client: client.post(url, contact) for client in clients])
    assert sorted(answer.status_code for answer in answers) == [302, 422, 422]
    assert Contact.objects.filter(email="a@example.jp").count() == 1
    # The code is one for all partners, whose rows are not the same lock.
    workspace = {"name": "W", "code": "one-code", "time_zone": "Asia/Tokyo"}
    places = [cast.company, cast.star, cast.team]
    urls = [reverse("partners:workspace-add", args=[place.public_id]) for place in places]
    pairs = list(zip(clients, urls, strict=True))
    answers = at_once(*[lambda c=c, u=u: c.post(u, workspace) for c, u in pairs])
    assert sorted(answer.status_code for answer in answers) == [302, 422, 422]
    assert Workspace.objects.filter(code="one-code").count() == 1


def test_one_company_is_registered_once(cast: Cast) -> None:
    url = reverse("partners:partner-register")
    form = {"kind": "company", "name": "One", "corporate_number": "7000012050002"}
    first, second = sign_in(cast.pm), sign_in(cast.pm2)
    answers = at_once(lambda: first.post(url, form), lambda: second.post(url, form))
    assert sorted(answer.status_code for answer in answers) == [302, 422]
    assert Partner.objects.filter(corporate_number="7000012050002").count() == 1
