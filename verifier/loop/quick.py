"""Checks that wait for nothing but the hot store, for the event loop of `verifier.loop.server`.

`verifier.api.app` is the whole of the verifier; this is its common case. Whatever is out of the ordinary (a
gateway that must be read, a question that is wrong, a key that the store does not know, no store) gets None
here, and `verifier.api.app` answers it in a thread.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from keys.secrets import pasted
from keys.secrets.form import key_id_of
from verifier.api import answers, app, cors
from verifier.api.answers import Response
from verifier.callers import gateways
from verifier.callers.gateways import Caller
from verifier.contract import question
from verifier.contract.codes import Code
from verifier.contract.leases import new_lease
from verifier.contract.question import Context
from verifier.decide import warm
from verifier.decide.warm import Order, Verdict

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from keys.hotstore.pipeline import Pipe, Way


_authorized: Final = {nginx: partial(answers.authorized, nginx=nginx) for nginx in (False, True)}
_BLOCKED: Final = Verdict(Code.ADDRESS_BLOCKED)


# A check under way: the store's connection, the call that it has to answer, the lease's name, who asks for
# what, and how the verdict is told. A tuple: it is made and read once, and a class costs five times that.
Check = tuple["Pipe", bytes, bytes, Order, Callable[[Verdict], Response]]


def answer(check: Check, reply: Any) -> Response | None:
    """The answer that the store's reply makes; None where there was no reply, or it does not know."""
    if reply is None:
        return None
    _, _, lease, order, tell = check
    verdict = warm.verdict_of(reply, lease, order)
    return None if verdict is None else tell(verdict)


def is_of_stranger(reply: Any) -> bool:
    """Whether the store said that it has no such secret."""
    return type(reply) is list and reply[1] in warm.STRANGE


def too_many(check: Check) -> Response:
    """The answer where more such checks wait for the registry than it can answer soon."""
    refused = answers.refused(Code.UNAVAILABLE, app.RETRY_SOON)
    # Of /v1/authorize `tell` knows how its proxy wants to be told.
    return answers.for_proxy(refused, **getattr(check[4], "keywords", {}))


def begin(environ: "WSGIEnvironment", way: "Way") -> Response | Check | None:
    """The answer, the check of the store that leads to it, or None."""
    path = environ["PATH_INFO"]
    try:
        if path == "/v1/keys/verify":
            return _verify(environ, way)
        if app.is_authorize(path):
            return _authorize(environ, way)
    except (question.BadQuestionError, pasted.KeyFieldError, gateways.UnknownGatewayError):
        pass
    return None


def verify(credential: str, address: str, body: bytes, way: "Way") -> Response | Check | None:
    """As `begin`, for the body of a plain `POST /v1/keys/verify`."""
    try:
        caller = gateways.caller_at_hand(credential, address)
        if caller is None:
            return None
        secret, context = question.split(body)
        return _check(secret, context, way, caller, answers.verified)
    except (question.BadQuestionError, gateways.UnknownGatewayError):
        return None


def authorize(
    credential: str, address: str, secret: bytes, context: Context, way: "Way"
) -> Response | Check | None:
    """As `begin`, for a `GET /v1/authorize` whose head was read before, all but the key."""
    try:
        caller = gateways.caller_at_hand(credential, address)
    except gateways.UnknownGatewayError:
        return None
    if caller is None:
        return None
    return _check(secret, context, way, caller, _authorized[caller.nginx])


def _verify(environ: "WSGIEnvironment", way: "Way") -> Response | Check | None:
    body = app.body_of(environ)
    if environ["REQUEST_METHOD"] != "POST" or environ["QUERY_STRING"] or body is None:
        return None
    return verify(app.credential_of(environ), app.address_of(environ), body, way)


def _authorize(environ: "WSGIEnvironment", way: "Way") -> Response | Check | None:
    credential = environ.get("HTTP_X_GATEWAY_CREDENTIAL", "")
    caller = gateways.caller_at_hand(credential, app.address_of(environ))
    if caller is None or question.key_stands_in_url(environ):
        return None
    asked = question.from_headers(environ, environ["PATH_INFO"][len(app.AUTHORIZE) :])
    if not asked.secret:
        return None
    tell = _authorized[caller.nginx]
    readable = cors.fields_for(environ)
    if readable:
        tell = partial(tell, cors=readable)
    return _check(asked.secret, asked.context, way, caller, tell)


def _check(
    secret: bytes, context: Context, way: "Way", caller: Caller, tell: Callable[[Verdict], Response]
) -> Response | Check | None:
    key_id = key_id_of(secret)
    if key_id is None:
        return tell(Verdict(Code.MALFORMED, detail=pasted.flaw_of(secret.decode(errors="replace"))))
    if gateways.is_blocked(context.ip):
        return tell(_BLOCKED)
    pipe = way.pipe(key_id)
    if pipe is None:
        return None
    if caller.reports_ends:
        context = context.reported()
    lease = new_lease()
    command = warm.command(context, key_id, warm.digester()(secret), run=pipe.run, lease=lease)
    return pipe, command, lease, (caller.public_id, key_id, context), tell
