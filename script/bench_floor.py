"""The floor of `script/bench`: the answer of a check, fixed, from the same server and nothing behind it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

BODY = (
    b'{"valid":true,"code":"VALID","key":"KB-0001","partner":"PT-0001","workspace":"WS-0001",'
    b'"environment":"live","scopes":["catalog:read"],"remaining":{"minute":99,"hour":999}}'
)
HEADERS = [("Content-Type", "application/json"), ("Content-Length", str(len(BODY)))]


def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Answer the same, whatever is asked."""
    start_response("200 OK", HEADERS)
    return [BODY]
