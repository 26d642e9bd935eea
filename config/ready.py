"""`/readyz`: whether the servers behind this process answer. Here, for it asks what several apps stand on."""

from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from django_redis import get_redis_connection
from redis.exceptions import RedisError

from core import patience
from keys.hotstore import client as hotwire


@csrf_exempt  # nothing is changed here: a wrong method is 405, not a form that is too old
@require_safe
def readyz(_request: HttpRequest) -> HttpResponse:
    """The process and the servers that it needs answer (O2): 200, or 503 with what is missing.

    `valkey` is REDIS_URL's server, `hot_store` HOT_STORE_URL's: each primary, and one for each slot.
    """
    checks = {
        "postgresql": _postgresql_answers(),
        "valkey": _valkey_answers(),
        "hot_store": hotwire.all_answer(),
    }
    ready = all(checks.values())
    return JsonResponse({"status": "ok" if ready else "unavailable", **checks}, status=200 if ready else 503)


def _postgresql_answers() -> bool:
    try:
        # One that hangs would keep a thread of each probe.
        with patience.waiting(seconds=settings.VERIFIER_DATABASE_SECONDS), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:  # InterfaceError, too: a connection that was lost is no DatabaseError
        return False
    return True


def _valkey_answers() -> bool:
    try:
        return bool(get_redis_connection().ping())
    except RedisError:
        return False
