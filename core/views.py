"""Pages that belong to no app: health, and the answer to what went wrong on our side."""

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from django_redis.exceptions import ConnectionInterrupted
from redis.exceptions import RedisError

from core import patience
from core.htmx import wants_piece


@csrf_exempt  # nothing is changed here: a wrong method is 405, not a form that is too old
@require_safe
def healthz(_request: HttpRequest) -> HttpResponse:
    """The process answers (O2). Says nothing of the servers behind it."""
    return JsonResponse({"status": "ok"})


# PostgreSQL is away, or Valkey, without which tries to sign in can't be counted (S1): then nobody may guess.
AWAY = (OperationalError, InterfaceError, RedisError, ConnectionInterrupted)


def server_error(request: HttpRequest) -> HttpResponse:
    """500 for a mistake of ours; 503, to be tried again, while a server that the page needs is away.

    Where the answer to a change was lost, nobody knows whether it was made, and the page says so.
    """
    layout = "errors/piece_broken.html" if wants_piece(request) else "errors/broken.html"
    if isinstance(sys.exception(), AWAY):
        mine = patience.current()
        is_open = request.method == "POST" and mine is not None and mine.may_have_written
        page = render_to_string("503.html", {"is_open": is_open, "layout": layout})
        return HttpResponse(page, status=503, headers={"Retry-After": "10"})
    return HttpResponse(render_to_string("500.html", {"layout": layout}), status=500)
