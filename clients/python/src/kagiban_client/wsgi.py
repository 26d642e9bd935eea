"""Middleware for any WSGI application (Flask, Pyramid, …): `application = Middleware(application, guard)`."""

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from kagiban_client.guard import Guard
from kagiban_client.verdict import Verdict

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

VERDICT: Final = "kagiban.verdict"


class Middleware:
    """Lets only requests with a good key through; the application finds `environ["kagiban.verdict"]`.

    It is None where nothing was needed.
    """

    def __init__(self, application: "WSGIApplication", guard: Guard) -> None:
        self._application = application
        self._guard = guard

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request."""
        asked = self._guard.read(
            environ,
            authorization=environ.get("HTTP_AUTHORIZATION", ""),
            api_key=environ.get("HTTP_X_API_KEY", ""),
            url=f"{environ.get('PATH_INFO', '')}?{environ.get('QUERY_STRING', '')}",
            peer=environ.get("REMOTE_ADDR") or None,
        )
        if asked is None:
            return self._application({**environ, VERDICT: None}, start_response)
        verdict = self._guard.decide(asked)
        if verdict:
            return self._pass_on(environ, start_response, verdict)
        refusal = self._guard.refusal(verdict)
        start_response(f"{refusal.status} {HTTPStatus(refusal.status).phrase}", refusal.fields)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [refusal.body]

    def _pass_on(
        self, environ: "WSGIEnvironment", start_response: "StartResponse", verdict: Verdict
    ) -> Iterable[bytes]:
        end = self._guard.begin(verdict)
        sent: list[int] = []

        def start(line: str, fields: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:
            sent[:] = [int(line.split(maxsplit=1)[0])]
            return start_response(line, [*fields, *verdict.fields.items()], *error)

        try:
            parts = self._application({**environ, VERDICT: verdict}, start)
        except BaseException:
            end(500)
            raise
        return _Ending(parts, lambda: end(sent[0] if sent else 500))


class _Ending:
    """An answer that tells when it has been sent."""

    def __init__(self, parts: Iterable[bytes], end: Callable[[], None]) -> None:
        self._parts = parts
        self._end = end

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._parts)

    def close(self) -> None:
        """Called by the server after the last part, or when the caller has gone."""
        try:
            close = getattr(self._parts, "close", None)
            if close is not None:
                close()
        finally:
            self._end()
