"""Real threads on one draft: a double click submits once, two windows never overwrite each other (A10)."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.urls import reverse

from approvals.models import Request, Revision, Step
from approvals.requests.drafts import draft_of
from audit.models import Event
from notifications.models import Message
from tests.cast import Cast, make_draft, sign_in

pytestmark = pytest.mark.django_db(transaction=True)


def post_at_once(clients: list[Client], request: Request, forms: list[dict[str, Any]]) -> list[int]:
    """Post the forms at the same moment; the statuses, sorted."""
    barrier = Barrier(len(forms))
    url = reverse("approvals:request-edit", args=[request.public_id])

    def post(client: Client, form: dict[str, Any]) -> int:
        try:
            barrier.wait(timeout=10)
            return client.post(url, form).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(forms)) as pool:
        return sorted(pool.map(post, clients, forms))


def test_a_double_click_submits_once(cast: Cast) -> None:
    request = make_draft(cast.company, cast.requester)
    data = {name: value for name, value in draft_of(cast.terms()).items() if value not in ("", [])}
    form = data | {"action": "submit", "version": str(request.version)}
    clients = [sign_in(cast.requester) for _n in range(4)]
    assert post_at_once(clients, request, [form] * 4) == [302, 409, 409, 409]
    assert Revision.objects.count() == 1
    assert Step.objects.count() == 3
    assert Event.objects.filter(action="request.submitted").count() == 1
    assert Message.objects.filter(kind="step_requested").count() == 2


def test_two_windows_keep_one_draft_whole(cast: Cast) -> None:
    request = make_draft(cast.company, cast.requester)
    forms = [
        {"name": name, "purpose": name, "action": "save", "version": str(request.version)}
        for name in ("One", "Two", "Three")
    ]
    clients = [sign_in(cast.requester) for _form in forms]
    assert post_at_once(clients, request, forms) == [302, 409, 409]
    request.refresh_from_db()
    assert request.draft["name"] == request.draft["purpose"] == request.title
    assert request.version == 2
