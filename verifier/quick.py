"""Checks that wait for nothing but the hot store, for the event loop of `verifier.server`.

`verifier.app` is the whole of the verifier; this is its common case. Whatever is out of the ordinary (a
gateway that must be read, a question that is wrong, a key that the store does not know, no store) gets None
here, and `verifier.app` answers it in a thread.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from keys.secret_format import key_id_of
from verifier import answers, app, gateways, question, warm
from verifier.answers import Response
from verifier.codes import Code
from verifier.gateways import Caller
from verifier.question import Question
from verifier.warm import Order, Verdict

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from keys.hotpipe import Pipe, Way


_MALFORMED: Final = Verdict(Code.MALFORMED)
_BLOCKED: Final = Verdict(Code.ADDRESS_BLOCKED)


@dataclass(slots=True)
class Check:
    """A check under way: the call that the store has to answer, where, and how its verdict is told."""

    pipe: "Pipe"
    command: bytes
    lease: bytes
    order: Order
    tell: Callable[[Verdict], Response]

    def answer(self, reply: Any) -> Response | None:
        """The answer that the store's reply makes; None where there was no reply, or it does not know."""
        if reply is None:
            return None
        verdict = warm.verdict_of(reply, self.lease)
        if verdict is None:
            return None
        verdict.order = self.order
        return self.tell(verdict)


def begin(environ: "WSGIEnvironment", way: "Way") -> Response | Check | None:
    """The answer, the check of the store that leads to it, or None."""
    path = environ["PATH_INFO"]
    try:
        if path == "/v1/keys/verify":
            return _verify(environ, way)
        if path == "/v1/authorize" or path.startswith("/v1/authorize/"):
            return _authorize(environ, way)
    except (question.BadQuestionError, gateways.UnknownGatewayError):
        pass
    return None


def verify(credential: str, address: str, body: bytes, way: "Way") -> Response | Check | None:
    """As `begin`, for the body of a plain `POST /v1/keys/verify`."""
    try:
        caller = gateways.caller_at_hand(credential, address)
        if caller is None:
            return None
        return _check(question.from_json(body), way, caller, answers.verified)
    except (question.BadQuestionError, gateways.UnknownGatewayError):
        return None


def _verify(environ: "WSGIEnvironment", way: "Way") -> Response | Check | None:
    body = app.body_of(environ)
    if environ["REQUEST_METHOD"] != "POST" or environ["QUERY_STRING"] or body is None:
        return None
    return verify(app.bearer_of(environ), app.address_of(environ), body, way)


def _authorize(environ: "WSGIEnvironment", way: "Way") -> Response | Check | None:
    credential = environ.get("HTTP_X_GATEWAY_CREDENTIAL", "")
    caller = gateways.caller_at_hand(credential, app.address_of(environ))
    if caller is None or environ["REQUEST_METHOD"] == "HEAD" or question.key_stands_in_url(environ):
        return None
    asked = question.from_headers(environ, environ["PATH_INFO"][len("/v1/authorize") :])
    if not asked.secret:
        return None
    return _check(asked, way, caller, partial(answers.authorized, nginx=caller.nginx))


def _check(
    asked: Question, way: "Way", caller: Caller, tell: Callable[[Verdict], Response]
) -> Response | Check | None:
    key_id = key_id_of(asked.secret)
    if key_id is None:
        return tell(_MALFORMED)
    if gateways.is_blocked(asked.context.ip):
        return tell(_BLOCKED)
    pipe = way.pipe(key_id)
    if pipe is None:
        return None
    lease = warm.new_lease()
    digest = warm.digester()(asked.secret)
    command = warm.command(asked, key_id, digest, run=pipe.run, lease=lease)
    return Check(pipe, command, lease, (caller.public_id, key_id, asked.context), tell)
