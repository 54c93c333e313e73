"""Clients of httpx and httpx2 in asyncio code."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl

import httpx
import httpx2
import pytest
from virtualtime.http.scripted import URL, ScriptedHttp, Ticks, play, whole

from simsla.virtualtime.http import Answer, ExchangeError

both = pytest.mark.parametrize("library", [httpx, httpx2])

ERRORS = {
    "connect": "ConnectError",
    "connect timeout": "ConnectTimeout",
    "read timeout": "ReadTimeout",
    "cut": "RemoteProtocolError",
}


@both
def test_a_call_is_answered_in_virtual_time(library):
    world = ScriptedHttp(lambda call: whole(b'{"n": 7}', retry_after="3"))

    async def main():
        async with library.AsyncClient() as client:
            response = await client.post(URL, json={"model": "m"}, headers={"X-Own": "yes"})
            return response, asyncio.get_running_loop().time()

    response, now_s = play(world, main)
    assert (response.status_code, response.json(), response.headers["Retry-After"]) == (200, {"n": 7}, "3")
    assert now_s == 0.5
    (call,) = world.calls
    assert (call.method, call.url, call.headers["x-own"]) == ("POST", URL, "yes")
    assert call.body.replace(b" ", b"") == b'{"model":"m"}'


@both
def test_a_client_made_before_is_answered_too(library):
    client = library.AsyncClient()
    world = ScriptedHttp(lambda call: whole())

    async def main():
        return (await client.get(URL)).json()

    assert play(world, main) == {"ok": True}
    assert play(world, main) == {"ok": True}  # and in a second run, on another loop


@both
def test_the_limits_of_time_are_the_clients_own(library):
    world = ScriptedHttp(lambda call: whole())

    async def main():
        async with library.AsyncClient(timeout=library.Timeout(5.0, connect=2.0)) as client:
            await client.get(URL)
            await client.get(URL, timeout=None)

    play(world, main)
    assert [(call.connect_s, call.read_s) for call in world.calls] == [(2.0, 5.0), (None, None)]


@both
@pytest.mark.parametrize("kind", ERRORS)
def test_each_breakdown_is_the_librarys_own_exception(library, kind):
    world = ScriptedHttp(lambda call: ExchangeError(kind, f"it was {kind}"))

    async def main():
        async with library.AsyncClient() as client:
            with pytest.raises(library.TransportError, match=f"it was {kind}") as caught:
                await client.get(URL)
            assert caught.value.request.url == URL
            return type(caught.value).__name__

    assert play(world, main) == ERRORS[kind]


@both
def test_pieces_come_at_their_moments_and_the_body_is_closed_once_read(library):
    ticks = Ticks([b"data: 1\n\n", b"data: 2\n\n"])
    world = ScriptedHttp(lambda call: Answer(200, [("content-type", "text/event-stream")], ticks))

    async def main():
        seen = []
        async with library.AsyncClient() as client, client.stream("POST", URL) as response:
            loop = asyncio.get_running_loop()
            seen.append((response.status_code, loop.time()))
            seen += [(line, loop.time()) async for line in response.aiter_lines()]
        return seen

    assert play(world, main) == [(200, 0.5), ("data: 1", 1.5), ("", 1.5), ("data: 2", 2.5), ("", 2.5)]
    assert ticks.closed


@both
def test_leaving_a_stream_early_ends_it(library):
    ticks = Ticks([b"a", b"b", b"c"])
    world = ScriptedHttp(lambda call: Answer(200, [], ticks))

    async def main():
        async with library.AsyncClient() as client, client.stream("GET", URL) as response:
            async for _ in response.aiter_raw():
                break

    play(world, main)
    assert (ticks.shown, ticks.closed) == (1, 1)


@both
@pytest.mark.parametrize(("kind", "name"), [("cut", "RemoteProtocolError"), ("read timeout", "ReadTimeout")])
def test_a_stream_that_breaks_down_raises_the_librarys_own_exception(library, kind, name):
    ticks = Ticks([b"a"], ExchangeError(kind, "no more"))
    world = ScriptedHttp(lambda call: Answer(200, [], ticks))

    async def main():
        async with library.AsyncClient() as client, client.stream("GET", URL) as response:
            pieces = response.aiter_raw()
            assert await anext(pieces) == b"a"
            with pytest.raises(getattr(library, name)):
                await anext(pieces)

    play(world, main)


@both
def test_a_whole_body_that_is_cut_is_an_error_while_it_is_read(library):
    world = ScriptedHttp(lambda call: Answer(200, [("content-length", "10")], b"0123456789", cut_at=4))

    async def main():
        async with library.AsyncClient() as client:
            with pytest.raises(library.RemoteProtocolError, match="received 4 bytes, expected 10"):
                await client.get(URL)

    play(world, main)


@both
def test_a_cancelled_call_is_cancelled_in_the_world(library):
    world = ScriptedHttp(lambda call: whole(), delay_s=100.0)

    async def main():
        async with library.AsyncClient() as client:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await client.get(URL)
            return asyncio.get_running_loop().time()

    assert play(world, main) == 1.0
    assert (world.cancelled, world.open) == (1, 0)


# The pool


@both
def test_no_more_connections_than_the_pool_has(library):
    world = ScriptedHttp(lambda call: whole(), delay_s=1.0)

    async def main():
        limits = library.Limits(max_connections=2)
        async with library.AsyncClient(limits=limits, timeout=None) as client:
            await asyncio.gather(*[client.get(URL) for _ in range(5)])
            return asyncio.get_running_loop().time()

    assert play(world, main) == 3.0
    assert world.most_open == 2


@both
def test_who_finds_no_connection_in_time_gets_a_pool_timeout(library):
    world = ScriptedHttp(lambda call: whole(), delay_s=10.0)

    async def main():
        limits = library.Limits(max_connections=1)
        async with library.AsyncClient(limits=limits, timeout=library.Timeout(None, pool=2.5)) as client:
            first = asyncio.create_task(client.get(URL))
            await asyncio.sleep(0)
            with pytest.raises(library.PoolTimeout):
                await client.get(URL)
            now_s = asyncio.get_running_loop().time()
            await first
            return now_s, (await client.get(URL)).status_code

    assert play(world, main) == (2.5, 200)


@both
def test_a_connection_is_free_again_after_each_end_of_a_call(library):
    """An error, a cancellation (also in line), a stream that is left, one that breaks off."""
    endings = itertools.cycle(
        [
            lambda: ExchangeError("connect", "refused"),
            lambda: Answer(200, [], Ticks([b"a", b"b"])),
            lambda: Answer(200, [], Ticks([], ExchangeError("cut", "cut"))),
            lambda: Answer(200, [], b"0123", cut_at=1),
        ]
    )
    world = ScriptedHttp(lambda call: next(endings)(), delay_s=1.0)

    async def main():
        limits = library.Limits(max_connections=1)
        async with library.AsyncClient(limits=limits, timeout=library.Timeout(None, pool=30.0)) as client:

            async def call():
                async with client.stream("GET", URL) as response:
                    async for _ in response.aiter_raw():
                        return

            for _ in range(8):
                with contextlib.suppress(library.TransportError):
                    await call()
            calls = [asyncio.create_task(call()) for _ in range(3)]
            await asyncio.sleep(0.5)
            for each in calls:
                each.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            with pytest.raises(library.ConnectError):
                await call()
            return world.most_open

    assert play(world, main) == 1


@both
def test_a_transport_tries_its_connection_again_as_often_as_it_is_told(library):
    answers = iter([ExchangeError("connect", "no"), ExchangeError("connect timeout", "no"), whole()])
    world = ScriptedHttp(lambda call: next(answers), delay_s=1.0)

    async def main():
        transport = library.AsyncHTTPTransport(retries=2)
        async with library.AsyncClient(transport=transport) as client:
            response = await client.get(URL)
            return response.status_code, asyncio.get_running_loop().time()

    # The library waits 0 s before the first further try and 0.5 s before the second.
    assert play(world, main) == (200, 3.5)


@both
def test_a_transport_of_the_users_own_is_left_alone(library):
    world = ScriptedHttp(lambda call: whole())
    own = library.MockTransport(lambda request: library.Response(418))

    async def main():
        async with library.AsyncClient(transport=own) as client:
            return (await client.get(URL)).status_code

    assert play(world, main) == 418
    assert not world.calls


@both
def test_a_transport_around_the_librarys_own_is_answered(library):
    class Around(library.AsyncBaseTransport):
        def __init__(self):
            self.inner = library.AsyncHTTPTransport()

        async def handle_async_request(self, request):
            request.headers["x-around"] = "yes"
            return await self.inner.handle_async_request(request)

    world = ScriptedHttp(lambda call: whole())

    async def main():
        async with library.AsyncClient(transport=Around()) as client:
            await client.get(URL)

    play(world, main)
    assert world.calls[0].headers["x-around"] == "yes"


@both
def test_a_body_that_is_a_stream_is_read_whole(library):
    world = ScriptedHttp(lambda call: whole())

    async def parts():
        yield b"one "
        await asyncio.sleep(0)
        yield b"two"

    async def main():
        async with library.AsyncClient() as client:
            await client.post(URL, content=parts())

    play(world, main)
    assert world.calls[0].body == b"one two"


@both
def test_the_key_of_a_call_is_in_no_repr(library):
    world = ScriptedHttp(lambda call: whole())

    async def main():
        async with library.AsyncClient(headers={"authorization": "Bearer s3cret-key"}) as client:
            await client.get(URL)

    play(world, main)
    assert world.calls[0].headers["authorization"] == "Bearer s3cret-key"
    assert "s3cret" not in repr(world.calls[0])


@both
def test_clients_share_the_usual_tls_context_and_no_other(library, monkeypatch):
    """Which is a real one: a client that outlives the simulation trusts whom it would have trusted."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    made = []

    def context_of(client):
        return client._transport._pool._ssl_context

    async def main():
        usual = [library.AsyncClient(), library.Client(), library.AsyncClient(trust_env=False)]
        made.extend(map(context_of, usual))
        made.append(context_of(library.Client(verify=False)))

    play(ScriptedHttp(lambda call: whole()), main)
    first, second, without_env, unverified = made
    assert first is second
    assert len({first, without_env, unverified}) == 3
    assert first.verify_mode == without_env.verify_mode == ssl.CERT_REQUIRED
    assert unverified.verify_mode == ssl.CERT_NONE
    assert context_of(library.Client()) is not first
