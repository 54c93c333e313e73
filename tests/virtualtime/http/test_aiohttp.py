"""Clients of aiohttp."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from virtualtime.http.scripted import URL, ScriptedHttp, Ticks, play, whole

from simsla.virtualtime.http import Answer, ExchangeError


def test_a_session_is_answered_in_virtual_time_on_connections_that_it_keeps():
    world = ScriptedHttp(lambda call: whole(b'{"n": 7}', x_own="yes"))

    async def main():
        async with aiohttp.ClientSession(headers={"X-Own": "yes"}) as session:
            seen = []
            for _ in range(3):
                async with session.post(f"{URL}?q=1", json={"a": 1}) as response:
                    seen.append((response.status, await response.json(), response.headers["x-own"]))
            return seen, asyncio.get_running_loop().time(), len(session.connector._conns)

    assert play(world, main) == ([(200, {"n": 7}, "yes")] * 3, 1.5, 1)
    call = world.calls[2]
    assert (call.method, call.url, call.body) == ("POST", f"{URL}?q=1", b'{"a": 1}')
    assert call.headers["x-own"] == "yes"


def test_the_limits_of_time_are_the_sessions_own():
    world = ScriptedHttp(lambda call: whole())

    async def main():
        timeout = aiohttp.ClientTimeout(total=60.0, sock_connect=2.0, connect=3.0, sock_read=5.0)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(URL):
            pass
        no_limits = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=no_limits) as session, session.get(URL):
            pass

    play(world, main)
    assert [(call.connect_s, call.read_s) for call in world.calls] == [(2.0, 5.0), (None, None)]


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("connect", aiohttp.ClientConnectorError),
        ("connect timeout", aiohttp.ConnectionTimeoutError),
        ("read timeout", aiohttp.SocketTimeoutError),
        ("cut", aiohttp.ServerDisconnectedError),
    ],
)
def test_each_breakdown_is_aiohttps_own_exception(kind, error):
    world = ScriptedHttp(lambda call: ExchangeError(kind, "it broke"))

    async def main():
        async with aiohttp.ClientSession() as session:
            with pytest.raises(error) as caught:
                await session.post(URL)
            return type(caught.value)

    assert play(world, main) is error


def test_pieces_come_at_their_moments():
    ticks = Ticks([b"data: 1\n", b"data: 2\n"])
    world = ScriptedHttp(lambda call: Answer(200, [], ticks))

    async def main():
        seen = []
        async with aiohttp.ClientSession() as session, session.get(URL) as response:
            loop = asyncio.get_running_loop()
            seen.append((response.status, loop.time()))
            seen += [(line, loop.time()) async for line in response.content]
        return seen

    assert play(world, main) == [(200, 0.5), (b"data: 1\n", 1.5), (b"data: 2\n", 2.5)]
    assert ticks.closed


def test_leaving_a_stream_early_ends_it():
    ticks = Ticks([b"a", b"b", b"c"])
    world = ScriptedHttp(lambda call: Answer(200, [], ticks))

    async def main():
        async with aiohttp.ClientSession() as session:
            async with session.get(URL) as response:
                await response.content.readany()
            await asyncio.sleep(100.0)

    play(world, main)
    assert ticks.shown == 1
    assert ticks.closed


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (
            lambda: Answer(200, [("content-length", "10")], b"0123456789", cut_at=4),
            aiohttp.ClientPayloadError,
        ),
        (lambda: Answer(200, [], Ticks([b"a"], ExchangeError("cut", "cut"))), aiohttp.ClientPayloadError),
        (
            lambda: Answer(200, [], Ticks([b"a"], ExchangeError("read timeout", "late"))),
            aiohttp.SocketTimeoutError,
        ),
    ],
)
def test_bodies_that_break_down(answer, error):
    world = ScriptedHttp(lambda call: answer())

    async def main():
        async with aiohttp.ClientSession() as session, session.get(URL) as response:
            with pytest.raises(error):
                await response.read()

    play(world, main)


@pytest.mark.parametrize("how", ["total", "cancel"])
def test_a_call_that_is_given_up_is_cancelled_in_the_world(how):
    world = ScriptedHttp(lambda call: whole(), delay_s=100.0)

    async def main():
        timeout = aiohttp.ClientTimeout(total=1.0 if how == "total" else None)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.0 if how == "cancel" else None):
                    await session.get(URL)
            now_s = asyncio.get_running_loop().time()
            await asyncio.sleep(0)
            return now_s, world.cancelled, world.open

    assert play(world, main) == (1.0, 1, 0)


def test_no_more_connections_than_the_connector_has():
    world = ScriptedHttp(lambda call: whole(), delay_s=1.0)

    async def main():
        connector = aiohttp.TCPConnector(limit=2)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def call():
                async with session.get(URL) as response:
                    await response.read()

            await asyncio.gather(*[call() for _ in range(5)])
            return asyncio.get_running_loop().time()

    assert play(world, main) == 3.0
    assert world.most_open == 2


def test_a_body_that_comes_in_chunks_is_read_whole():
    world = ScriptedHttp(lambda call: whole())

    async def parts():
        yield b"one "
        await asyncio.sleep(0.1)
        yield b"two"

    async def main():
        async with aiohttp.ClientSession() as session, session.post(URL, data=parts()):
            pass

    play(world, main)
    assert world.calls[0].body == b"one two"


def test_an_error_of_the_world_itself_reaches_the_caller():
    def script(call):
        raise LookupError("a mistake of the world")

    async def main():
        async with aiohttp.ClientSession() as session:
            with pytest.raises(LookupError, match="a mistake"):
                await session.get(URL)

    play(ScriptedHttp(script), main)


def test_a_session_that_nobody_closes_leaves_no_error():
    world = ScriptedHttp(lambda call: whole())
    kept = []

    async def main():
        session = aiohttp.ClientSession()
        kept.append(session)
        async with session.get(URL):
            pass

    play(world, main)
    with pytest.warns(ResourceWarning, match="Unclosed"):
        kept.clear()
