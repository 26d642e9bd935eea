"""The cast itself: the whole way of a request with it, so that a test that leans on it fails elsewhere."""

import pytest

from approvals.models import Request
from tests.cast import Cast, consent, decide


@pytest.mark.django_db
def test_a_request_goes_its_whole_way(cast: Cast) -> None:
    request = cast.request(cast.big)
    for person in (cast.pm, cast.legal, cast.tech, cast.coo):
        decide(request, person)
    request.refresh_from_db()
    assert request.state == Request.State.APPROVED
    assert request.key is not None
    assert request.key.owner == cast.requester


@pytest.mark.django_db
def test_a_rights_holders_request_needs_consent(cast: Cast) -> None:
    request = cast.request(cast.star_contract)
    decide(request, cast.pm)
    consent(request)
    for person in (cast.legal, cast.tech):
        decide(request, person)
    request.refresh_from_db()
    assert request.state == Request.State.APPROVED


@pytest.mark.django_db
def test_a_key_can_be_made_at_once(cast: Cast) -> None:
    assert cast.key().status == "pending"
