"""Middleware for ASGI (Starlette, FastAPI, …): `app.add_middleware(Middleware, guard=guard)`."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from kagiban_client.guard import Guard, Refusal
from kagiban_client.verdict import Question, Verdict

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_DENIAL = "websocket.http.response"


class Middleware:
    """Lets only requests with a good key through; the application finds `request.state.kagiban`.

    It is None where nothing was needed.
    """

    def __init__(self, app: Application, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or websocket."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        asked = self._read(scope)
        if asked is None:
            await self._app(_with(scope, None), receive, send)
            return
        verdict = await self._guard.adecide(asked)
        if verdict:
            await self._pass_on(scope, receive, send, verdict)
            return
        refusal = self._guard.refusal(verdict)
        if scope["type"] == "http":
            await _answer("http.response", refusal, send, is_head=scope["method"] == "HEAD")
        elif _DENIAL in scope.get("extensions", {}):
            await _answer(_DENIAL, refusal, send, is_head=False)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": verdict.code})

    def _read(self, scope: Scope) -> Question | Verdict | None:
        fields: dict[bytes, str] = {}
        for name, value in scope["headers"]:
            fields.setdefault(bytes(name).lower(), bytes(value).decode("latin-1"))
        peer = scope.get("client")
        query = bytes(scope.get("query_string", b"")).decode("latin-1")
        return self._guard.read(
            scope,
            authorization=fields.get(b"authorization", ""),
            api_key=fields.get(b"x-api-key", ""),
            url=f"{scope['path']}?{query}",
            peer=peer[0] if peer else None,
        )

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, verdict: Verdict) -> None:
        end = self._guard.begin(verdict)
        status: int | None = 500
        fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in verdict.fields.items()]

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), *fields]}
            elif message["type"] == "websocket.accept":
                status = 101
            await send(message)

        try:
            await self._app(_with(scope, verdict), receive, tell)
        finally:
            end(status)


def _with(scope: Scope, verdict: Verdict | None) -> Scope:
    return {**scope, "state": {**scope.get("state", {}), "kagiban": verdict}}


async def _answer(kind: str, refusal: Refusal, send: Send, *, is_head: bool) -> None:
    fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in refusal.fields]
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": fields})
    await send({"type": f"{kind}.body", "body": b"" if is_head else refusal.body})
