"""The event loop's wire to the hot store: in order, in time, and open again by itself."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from keys.hotstore import client as hotwire
from keys.hotstore.pipeline import Pipe, Way


def _run(story: Callable[[Way, Pipe], Awaitable[None]]) -> None:
    async def main() -> None:
        way = Way(asyncio.get_running_loop())
        await way.open()
        pipe = way.pipe()
        assert pipe is not None
        await story(way, pipe)
        await way.close()

    asyncio.run(main())


async def _ask(pipe: Pipe, *words: hotwire.Argument) -> Any:
    answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    pipe.ask(hotwire.encode(*words), answered.set_result)
    return await answered


def test_replies_come_in_the_order_of_the_calls(valkey: Any) -> None:
    async def story(_way: Way, pipe: Pipe) -> None:
        assert pipe.run == hotwire.run_of(b"")
        numbers = [str(number).encode() for number in range(500)]
        assert await asyncio.gather(*[_ask(pipe, "ECHO", number) for number in numbers]) == numbers

    _run(story)


def test_connection_that_is_open_is_not_replaced(valkey: Any) -> None:
    async def story(way: Way, pipe: Pipe) -> None:
        await way.open()
        assert way.pipe() is pipe

    _run(story)


def test_function_that_is_missing_is_no_reason_to_drop_the_connection(valkey: Any) -> None:
    async def story(_way: Way, pipe: Pipe) -> None:
        assert await _ask(pipe, "FCALL", "no_such_function", 0) is None
        assert await _ask(pipe, "PING") == b"PONG"

    _run(story)


def test_server_that_says_no_is_asked_over_another_connection(valkey: Any) -> None:
    async def story(way: Way, pipe: Pipe) -> None:
        assert await _ask(pipe, "HGET", "too few") is None
        assert way.pipe() is None
        await way.open()
        again = way.pipe()
        assert again is not None
        assert await _ask(again, "PING") == b"PONG"

    _run(story)


@pytest.mark.parametrize("is_killed", [True, False])
def test_who_waits_is_told_when_the_connection_is_lost(valkey: Any, is_killed: bool) -> None:
    async def story(way: Way, pipe: Pipe) -> None:
        started = time.monotonic()
        held = asyncio.create_task(_ask(pipe, "BLPOP", "nothing", 10))
        behind = [asyncio.create_task(_ask(pipe, "ECHO", number)) for number in range(20)]
        if is_killed:
            await asyncio.sleep(0)  # in which the calls leave
            valkey.client_kill_filter(_type="normal", skipme=True)
        assert await asyncio.gather(held, *behind) == [None] * 21
        assert time.monotonic() - started < 5
        assert not pipe.is_open
        assert way.pipe() is None
        await way.open()
        assert way.pipe() is not None

    _run(story)
