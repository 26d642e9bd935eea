"""The public pages on which a recipient collects a key, once (K3). Nobody is signed in here: the link is all.

No page here says anything about a key to a foreign, used or dead link, and none may be kept by a cache.
"""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from core.actors import Actor, actor_of
from core.errors import Conflict, DomainError, NotFound
from core.private import private
from core.views import AWAY
from keys.delivery.selectors import link_state
from keys.delivery.services.delivery import (
    Reveal,
    confirm_delivery,
    find_delivery,
    renew_delivery,
    reveal_secret,
)
from keys.delivery.services.self_test import run_self_test
from keys.models import Delivery
from keys.terms.terms import last_day


@private
@require_http_methods(["GET", "HEAD", "POST"])
def collect(request: HttpRequest, token: str) -> HttpResponse:
    """GET says what is to be collected and changes nothing; POST reveals the key, exactly once."""
    if request.method != "POST":
        return _page(request, token)
    try:
        delivery = _find(request, token)
        shown = reveal_secret(actor=_contact(request, delivery), token=token, now=timezone.now())
    except NotFound:
        return _page(request, token)
    except Conflict as conflict:
        return _page(request, token, refused=str(conflict.message))
    return render(request, "keys/collect_revealed.html", _revealed(token, shown))


@private
@require_POST
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """The recipient says that the key is in a secret store."""
    try:
        delivery = _find(request, token)
        if request.POST.get("stored"):
            confirm_delivery(actor=_contact(request, delivery), token=token, now=timezone.now())
    except NotFound:
        return _page(request, token)
    except Conflict as conflict:
        return _page(request, token, refused=str(conflict.message))
    return redirect("keys:delivery-collect", token)


@private
@require_POST
def renew(request: HttpRequest, token: str) -> HttpResponse:
    """Ask for a new link to the registered address. The answer never tells whether one was sent."""
    try:
        via = _find(request, token)
        renew_delivery(actor=_contact(request, via), key=via.key, via=via, now=timezone.now())
    except DomainError:
        pass  # the same answer for all, so that nobody learns from it whether there is a key
    messages.info(
        request,
        _("If this key can still be delivered, a new link is on its way to the registered address.")
        + " "
        + _("If none arrives within ten minutes, ask the person who arranged the key with you."),
    )
    return redirect("keys:delivery-collect", token)


@csrf_exempt  # called by curl with the key itself, which is more than a cookie could prove
@private
@require_POST
def self_test(request: HttpRequest, token: str) -> HttpResponse:
    """The recipient's first call: is the key stored whole, and what would each check answer?"""
    fields = request.headers.get("Authorization", ""), request.headers.get("X-API-Key", "")
    try:
        delivery = find_delivery(token)
        actor = _contact(request, delivery)
        result = run_self_test(actor=actor, delivery=delivery, fields=fields, now=timezone.now())
    except NotFound:
        return JsonResponse({"ok": False, "error": "unknown_link"}, status=404)
    except AWAY:
        # Tries can't be counted, so none is allowed; a page in HTML would be of no use to curl.
        answer = {"ok": False, "error": "unavailable", "detail": "Try again in a minute."}
        return JsonResponse(answer, status=503, headers={"Retry-After": "10"})
    return JsonResponse(result.to_json(), status=200 if result.ok else 422, json_dumps_params={"indent": 2})


def _contact(request: HttpRequest, delivery: Delivery) -> Actor:
    return actor_of(request, contact_ref=delivery.recipient.public_id)


def _page(request: HttpRequest, token: str, *, refused: str = "") -> HttpResponse:
    """The page of a link as it stands now; 409 with the reason when something was refused a moment ago."""
    try:
        delivery = _find(request, token)
    except NotFound:
        return render(request, "keys/collect_dead.html", {"state": "unknown", "token": token}, status=404)
    state = link_state(delivery, now=timezone.now())
    context: dict[str, Any] = {"state": state, "token": token, "refused": refused, "delivery": delivery}
    context["ends_on"] = last_day(delivery.key)
    status = 409 if refused else 200
    if state != "open":
        return render(request, "keys/collect_dead.html", context, status=status if refused else 200)
    return render(request, "keys/collect.html", context, status=status)


def _find(request: HttpRequest, token: str) -> Delivery:
    """The link's delivery. From here on the page speaks the mail's language, or the browser's own choice."""
    delivery = find_delivery(token)
    if settings.LANGUAGE_COOKIE_NAME not in request.COOKIES:
        translation.activate(delivery.recipient.language)
        request.LANGUAGE_CODE = translation.get_language()
    return delivery


def _revealed(token: str, shown: Reveal) -> dict[str, Any]:
    url = settings.PORTAL_URL + reverse("keys:delivery-test", args=[token])
    return {
        "token": token,
        "text": shown.text,
        "length": len(shown.text),
        "ending": shown.text[-4:],
        "delivery": shown.delivery,
        "key": shown.delivery.key,
        "ends_on": last_day(shown.delivery.key),
        "test_url": url,
    }
