"""The verifier's WSGI entry, `/v1/…`: a raw callable, called before Django's handler is (ARCHITECTURE)."""

import logging
import time
import traceback
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from django.conf import settings

from core import patience
from core.actors import address_behind_proxies
from keys.hotstore.client import StoreUnavailableError
from keys.secrets import pasted
from keys.secrets.form import key_id_of
from verifier.api import answers, cors, openapi
from verifier.api.answers import Response
from verifier.callers import gateways
from verifier.callers.gateways import Caller
from verifier.contract import question
from verifier.contract.codes import Code
from verifier.contract.question import Question
from verifier.decide import cold, degraded, warm
from verifier.decide.warm import Verdict
from verifier.registry.reading import UnavailableError
from verifier.usage import reporting as usage

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

logger = logging.getLogger(__name__)

AUTHORIZE: Final = "/v1/authorize"
MAX_BODY: Final = 16 * 1024
# Where our own server puts a body, which it has read whole.
BODY: Final = "kagiban.body"
# And until when (monotonic seconds) this call waits for the database, with all that it waits for before.
UNTIL: Final = "kagiban.until"
GATEWAY_REALM: Final = answers.wire([("WWW-Authenticate", 'Bearer realm="kagiban-gateway"')])
RETRY_SOON: Final = answers.wire([("Retry-After", "1")])


def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Answer one call below `/v1/`."""
    handle = _route(environ)
    until = environ.get(UNTIL) or time.monotonic() + settings.VERIFIER_DATABASE_SECONDS
    try:
        with patience.waiting(until=until):
            response = handle(environ)
    except Exception as error:  # noqa: BLE001 - whatever it is, a proxy waits for an answer
        # A key must never be let through, nor a proxy be left without an answer, because of our mistake.
        log_failure(error)
        response = answers.problem(500, "INTERNAL_ERROR", "The verifier failed")
    start_response(answers.REASONS[response.status], response.headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]


def log_failure(error: Exception) -> None:
    """Log an error's kind and frames, never its message: that may quote the key that was asked about."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    data = {"error": type(error).__qualname__, "frames": frames}
    logger.error("verifier failed", extra={"data": data})


def _route(environ: "WSGIEnvironment") -> "Callable[[WSGIEnvironment], Response]":
    # Before anything else is asked, be it who calls: such a key stands in logs and has to be replaced.
    if question.key_stands_in_url(environ):
        return key_in_url
    path = environ["PATH_INFO"]
    if path == "/v1/keys/verify":
        return verify
    if path == "/v1/usage":
        return report
    if is_authorize(path):
        return authorize
    if path == openapi.PATH:
        return describe
    return _nowhere


def is_authorize(path: str) -> bool:
    """Whether a path is that of a proxy's subrequest, which may have the partner's own behind it."""
    return path.startswith(AUTHORIZE) and path[len(AUTHORIZE) :][:1] in {"", "/"}


def _nowhere(_environ: "WSGIEnvironment") -> Response:
    return answers.problem(404, "NO_SUCH_ENDPOINT", "There is no such endpoint")


def key_in_url(environ: "WSGIEnvironment") -> Response:
    """The refusal of a key in a URL, wherever it leads (V1): proxies pass 403 on, programs read 400."""
    if is_authorize(environ["PATH_INFO"]):
        return answers.for_proxy(answers.refused(Code.KEY_IN_URL), cors=cors.fields_for(environ))
    return answers.problem(400, Code.KEY_IN_URL.value, Code.KEY_IN_URL.meaning)


def address_of(environ: "WSGIEnvironment") -> str:
    """Whose call this is, seen through the proxies that the settings trust."""
    return address_behind_proxies(environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", ""))


def credential_of(environ: "WSGIEnvironment") -> str:
    """A gateway's credential, from `Authorization: Bearer …`; empty where none was sent."""
    return pasted.bearer_of(environ.get("HTTP_AUTHORIZATION", ""))


def verify(environ: "WSGIEnvironment") -> Response:
    """`POST /v1/keys/verify`: the gateway in Authorization, the question as JSON (V1, V8)."""
    if environ["REQUEST_METHOD"] != "POST":
        return answers.problem(405, "METHOD_NOT_ALLOWED", "Use POST", answers.wire([("Allow", "POST")]))
    try:
        return _verify(environ, gateways.caller_of(credential_of(environ), address_of(environ)))
    except question.BadQuestionError as error:
        return answers.problem(400, "BAD_REQUEST", "The question is wrong", detail=str(error))
    except gateways.UnknownGatewayError:
        return answers.problem(401, "UNKNOWN_GATEWAY", "No gateway has this credential here", GATEWAY_REALM)
    except UnavailableError:
        return answers.refused(Code.UNAVAILABLE, RETRY_SOON)


def _verify(environ: "WSGIEnvironment", caller: Caller) -> Response:
    body = body_of(environ)
    if body is None:
        return answers.problem(413, "TOO_LARGE", "The body is larger than 16 KiB")
    return answers.verified(decide(question.from_json(body), caller))


def report(environ: "WSGIEnvironment") -> Response:
    """`POST /v1/usage`: the gateway in Authorization, one report or a list of them as JSON (V7, V8)."""
    if environ["REQUEST_METHOD"] != "POST":
        return answers.problem(405, "METHOD_NOT_ALLOWED", "Use POST", answers.wire([("Allow", "POST")]))
    try:
        caller = gateways.caller_of(credential_of(environ), address_of(environ))
        body = body_of(environ, usage.MAX_BODY)
        if body is None:
            return answers.problem(413, "TOO_LARGE", "The body is larger than 256 KiB")
        return answers.reported(usage.take(body, caller))
    except question.BadQuestionError as error:
        return answers.problem(400, "BAD_REQUEST", "The report is wrong", detail=str(error))
    except usage.TooManyRowsError:
        return answers.problem(413, "TOO_LARGE", f"More than {usage.MAX_ROWS} reports at once")
    except gateways.UnknownGatewayError:
        return answers.problem(401, "UNKNOWN_GATEWAY", "No gateway has this credential here", GATEWAY_REALM)
    except (StoreUnavailableError, UnavailableError):
        return answers.problem(503, "UNAVAILABLE", "Reports can't be taken now; send them again", RETRY_SOON)


def authorize(environ: "WSGIEnvironment") -> Response:
    """`/v1/authorize[/…]`, any method: a proxy's subrequest; the credential has its own field (V1, V8)."""
    nginx, readable = False, cors.fields_for(environ)
    try:
        credential = environ.get("HTTP_X_GATEWAY_CREDENTIAL", "")
        caller = gateways.caller_of(credential, address_of(environ))
        nginx = caller.nginx
        asked = question.from_headers(environ, environ["PATH_INFO"][len(AUTHORIZE) :])
        verdict = decide(asked, caller) if asked.secret else Verdict(Code.NO_KEY)
        return answers.authorized(verdict, nginx=nginx, cors=readable)
    except pasted.KeyFieldError as error:
        malformed = Verdict(Code.MALFORMED, detail=str(error))
        return answers.authorized(malformed, nginx=nginx, cors=readable)
    except question.BadQuestionError as error:
        response = answers.problem(400, "BAD_REQUEST", "The question is wrong", detail=str(error))
    except gateways.UnknownGatewayError:
        response = answers.problem(403, "UNKNOWN_GATEWAY", "No gateway has this credential here")
    except UnavailableError:
        response = answers.refused(Code.UNAVAILABLE, RETRY_SOON)
    return answers.for_proxy(response, nginx=nginx, cors=readable)


def describe(environ: "WSGIEnvironment") -> Response:
    """`GET /v1/openapi.json`: no secret, so no credential (V9)."""
    if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
        return answers.problem(405, "METHOD_NOT_ALLOWED", "Use GET", b"Allow: GET, HEAD\r\n")
    body = openapi.body()
    return Response(200, b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body), body)


def decide(asked: Question, caller: Caller) -> Verdict:
    """The verdict on a question of a known gateway, by the shortest way that is open (V2, V3, V5).

    Raises UnavailableError when neither store nor registry can tell, or the gateway wants no answer
    without the store.
    """
    key_id = key_id_of(asked.secret)
    if key_id is None:
        return Verdict(Code.MALFORMED, detail=pasted.flaw_of(asked.secret.decode(errors="replace")))
    if gateways.is_blocked(asked.context.ip):
        return Verdict(Code.ADDRESS_BLOCKED)
    if caller.reports_ends:
        asked = Question(asked.secret, asked.context.reported())
    verdict = _decide(asked, key_id, caller)
    verdict.order = (caller.public_id, key_id, asked.context)
    return verdict


def _decide(asked: Question, key_id: bytes, caller: Caller) -> Verdict:
    digest = warm.digester()(asked.secret)
    try:
        reply = warm.ask(asked, key_id, digest)
        if isinstance(reply, Verdict):
            return reply
        return cold.decide(asked, key_id, digest, reply, fail_open=caller.fail_open)
    except StoreUnavailableError:
        if not caller.fail_open:
            raise UnavailableError from None
        return degraded.decide(asked, key_id.decode(), digest)


def body_of(environ: "WSGIEnvironment", most: int = MAX_BODY) -> bytes | None:
    """The body, or None where it is too large. Chunked bodies have no length and are read to the limit."""
    body: bytes | None = environ.get(BODY)
    if body is None:
        try:
            length = int(environ.get("CONTENT_LENGTH") or -1)
        except ValueError:
            length = -1
        if length > most:
            return None
        body = environ["wsgi.input"].read(length if length >= 0 else most + 1)
    return body if len(body) <= most else None
