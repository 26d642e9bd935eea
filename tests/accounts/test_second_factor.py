"""When a second factor counts as given a moment ago: pages and services go by the same true time (A3)."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.test import RequestFactory
from django.utils import timezone

from accounts.access import has_recent_second_factor, second_factor_at
from accounts.second_factor import SecondFactorNeeded, is_recent, require_recent
from tests.cast import Cast, sign_in

MOMENT = timedelta(microseconds=1)


def test_a_proof_counts_for_its_time_and_not_a_moment_longer() -> None:
    now = timezone.now()
    oldest = now - settings.SECOND_FACTOR_MAX_AGE
    assert is_recent(oldest, now)
    assert not is_recent(oldest - MOMENT, now)
    assert not is_recent(None, now)
    require_recent(oldest, now=now)
    with pytest.raises(SecondFactorNeeded):
        require_recent(oldest - MOMENT, now=now)
    with pytest.raises(SecondFactorNeeded):
        require_recent(None, now=now)


@pytest.mark.parametrize(("ages", "newest"), [([], None), ([900], 900), ([30, 900], 30), ([900, 30], 30)])
def test_services_are_told_when_the_newest_proof_was(
    cast: Cast, rf: RequestFactory, ages: list[int], newest: int | None
) -> None:
    client = sign_in(cast.coo, second_factor=False)
    session, now = client.session, timezone.now()
    session["account_authentication_methods"] = [
        {"method": "password", "at": now.timestamp()},
        *({"method": "mfa", "type": "totp", "at": now.timestamp() - age} for age in ages),
    ]
    session.save()
    request = rf.get("/")
    request.user, request.session = cast.coo, client.session
    proved_at = second_factor_at(request)
    if newest is None:
        assert proved_at is None
    else:
        assert proved_at is not None
        assert abs(proved_at - (now - timedelta(seconds=newest))) < timedelta(milliseconds=1)
    assert has_recent_second_factor(request) is (newest == 30)
