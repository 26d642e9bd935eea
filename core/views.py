"""Pages that belong to no app: health, and the answer to a failed CSRF check."""

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from django_redis import get_redis_connection
from redis.exceptions import RedisError


@require_safe
def healthz(_request: HttpRequest) -> HttpResponse:
    """The process answers (O2). Says nothing of the servers behind it."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(_request: HttpRequest) -> HttpResponse:
    """The process and the servers that it needs answer (O2): 200, or 503 with what is missing."""
    checks = {"postgresql": _postgresql_answers(), "valkey": _valkey_answers()}
    ready = all(checks.values())
    return JsonResponse({"status": "ok" if ready else "unavailable", **checks}, status=200 if ready else 503)


def _postgresql_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


def _valkey_answers() -> bool:
    try:
        return bool(get_redis_connection().ping())
    except RedisError:
        return False


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001 - Django's signature
    """403 with words: the form was too old, or came from elsewhere; nothing was done."""
    return render(request, "errors/csrf.html", status=403)
