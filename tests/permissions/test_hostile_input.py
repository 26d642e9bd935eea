"""Whatever stands in a path, a query or a form: a page that says no, never an unforeseen error (S3)."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.db import transaction
from django.urls import reverse

from accounts.roles import Role
from tests.cast import make_staff, sign_in
from tests.permissions.test_every_url import ROWS, World, kept_world, world  # noqa: F401  # the fixtures

QUERY_NAMES = (
    "q", "cursor", "sort", "view", "state", "kind", "status", "role", "partner", "owner", "plan", "product",
    "expiry", "since", "until", "action", "actor", "thing", "next", "answer", "name", "purpose", "ended",
)  # fmt: skip
FORM_NAMES = (
    "partner", "next", "version", "action", "answer", "proof", "code", "digest", "reason", "note", "seen",
    "typed_number", "language", "theme", "name", "title", "email", "phone", "roles", "confirm", "format",
    "checklist", "signed_name", "signed_capacity", "ip_ranges", "monthly_amount_jpy", "starts_on", "ends_on",
    "time_zone", "purposes", "is_active", "kind", "corporate_number", "website", "plan", "plan_before", "rpm",
    "expires_on", "contract", "workspace", "recipient", "products", "scopes", "stored", "mode", "fail_policy",
    "login", "password",
)  # fmt: skip


def attempts(name: str, kwargs: dict[str, Any], text: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """The URL with the text as every query value, as every form value, and in its path."""
    url = reverse(name, kwargs=kwargs)
    yield "GET", url, dict.fromkeys(QUERY_NAMES, text)
    if name != "account_logout":
        yield "POST", url, dict.fromkeys(FORM_NAMES, text)
    for value in map(str, kwargs.values()):
        yield "GET", url.replace(quote(value), quote(text)), {}
        yield "POST", url.replace(quote(value), quote(text)), {}


@pytest.mark.long
@pytest.mark.parametrize("text", ["a\x00b", "9" * 400, "9999-12-31"])
def test_no_bad_text_is_an_unforeseen_error(text: str, world: World) -> None:  # noqa: F811  # the fixture
    client = sign_in(make_staff("All", *Role.values), raise_request_exception=False)
    broken = []
    for name in ROWS:
        for method, url, data in attempts(name, ROWS[name].path(world), text):
            with transaction.atomic():
                response = client.get(url, data) if method == "GET" else client.post(url, data)
                transaction.set_rollback(True)
            if response.status_code >= 500:
                broken.append((method, name, response.status_code))
    assert not broken
