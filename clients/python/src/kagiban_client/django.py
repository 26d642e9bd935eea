"""Middleware for Django: `"kagiban_client.django.middleware"` in MIDDLEWARE, a `Guard` as KAGIBAN_GUARD."""

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from kagiban_client.guard import Guard
from kagiban_client.verdict import Question, Verdict

Answer = Callable[[HttpRequest], HttpResponseBase]
AnswerSoon = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


@sync_and_async_middleware
def middleware(get_response: Any) -> Answer | AnswerSoon:
    """Let only requests with a good key through; views find `request.kagiban`, or None there."""
    guard = getattr(settings, "KAGIBAN_GUARD", None)
    if not isinstance(guard, Guard):
        raise ImproperlyConfigured("KAGIBAN_GUARD is to be a kagiban_client.Guard.")
    return _soon(get_response, guard) if iscoroutinefunction(get_response) else _now(get_response, guard)


def _now(get_response: Answer, guard: Guard) -> Answer:
    def answer(request: HttpRequest) -> HttpResponseBase:
        asked = _read(request, guard)
        if asked is None:
            return get_response(request)
        verdict = guard.decide(asked)
        if not verdict:
            return _refusal(guard, verdict)
        end = _let_in(request, guard, verdict)
        try:
            response = get_response(request)
        except BaseException:
            end(500)
            raise
        return _passed_on(response, verdict, end)

    return answer


def _soon(get_response: AnswerSoon, guard: Guard) -> AnswerSoon:
    async def answer(request: HttpRequest) -> HttpResponseBase:
        asked = _read(request, guard)
        if asked is None:
            return await get_response(request)
        verdict = await guard.adecide(asked)
        if not verdict:
            return _refusal(guard, verdict)
        end = _let_in(request, guard, verdict)
        try:
            response = await get_response(request)
        except BaseException:
            end(500)
            raise
        return _passed_on(response, verdict, end)

    return answer


def _read(request: HttpRequest, guard: Guard) -> Question | Verdict | None:
    request.kagiban = None  # type: ignore[attr-defined]  # as Django's own middlewares add to it
    return guard.read(
        request,
        authorization=request.headers.get("Authorization", ""),
        api_key=request.headers.get("X-API-Key", ""),
        url=f"{request.path}?{request.META.get('QUERY_STRING', '')}",
        peer=request.META.get("REMOTE_ADDR") or None,
    )


def _refusal(guard: Guard, verdict: Verdict) -> HttpResponse:
    refusal = guard.refusal(verdict)
    return HttpResponse(refusal.body, status=refusal.status, headers=dict(refusal.fields))


def _let_in(request: HttpRequest, guard: Guard, verdict: Verdict) -> Callable[[int | None], None]:
    request.kagiban = verdict  # type: ignore[attr-defined]  # as above
    return guard.begin(verdict)


def _passed_on(
    response: HttpResponseBase, verdict: Verdict, end: Callable[[int | None], None]
) -> HttpResponseBase:
    for name, value in verdict.fields.items():
        response[name] = value
    close = response.close

    def close_and_tell() -> None:
        # The server closes a response when it has been sent, streamed ones too.
        try:
            close()
        finally:
            end(response.status_code)

    response.close = close_and_tell  # type: ignore[method-assign]  # Django has no public place for this
    return response
