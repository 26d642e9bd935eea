"""The expiry sweep (K8): ends what is due, once, and tells owner and recipient."""

from datetime import timedelta

from django.utils import timezone

from audit.models import Event
from keys.models import Delivery, Key, Secret
from keys.status.services import expire_keys
from notifications.models import Message
from tests.cast import Cast
from tests.key_stories import reveal, revoke, suspend


def test_keys_end_on_their_day_whatever_their_state_and_once(cast: Cast) -> None:
    active, pending, stopped, ended, later = (cast.key() for _ in range(5))
    for key in (active, stopped, ended, later):
        reveal(key)
    suspend(stopped, cast.ops)
    revoke(ended, cast.ops)
    due = timezone.now() + timedelta(days=1)
    Key.objects.exclude(pk=later.pk).update(expires_at=due)
    assert expire_keys(now=due - timedelta(seconds=1)) == 0
    assert expire_keys(now=due) == 3
    assert expire_keys(now=due) == 0
    statuses = dict(Key.objects.values_list("pk", "status"))
    assert statuses == {
        active.pk: "expired", pending.pk: "expired", stopped.pk: "expired", ended.pk: "revoked",
        later.pk: "active",
    }  # fmt: skip
    assert Secret.objects.get(key=active).status == "retired"
    assert Delivery.objects.get(key=pending).state == "expired"
    assert Event.objects.filter(action="key.expired").count() == 3
    assert Message.objects.filter(kind="key_expired").count() == 6


def test_a_batch_costs_no_query_per_key_to_find_its_people(cast: Cast) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def cost(n: int) -> int:
        for _ in range(n):
            cast.key()
        with CaptureQueriesContext(connection) as queries:
            assert expire_keys(now=timezone.now() + timedelta(days=400)) == n
        return sum("partners_contact" in q["sql"] and q["sql"].startswith("SELECT") for q in queries)

    assert cost(1) == cost(4)
