"""Clients of httpx, httpx2, requests and urllib3 in blocking code."""

from __future__ import annotations

import asyncio

import httpx
import httpx2
import pytest
import requests
import urllib3
from virtualtime.http.scripted import URL, ScriptedHttp, Ticks, whole

from simsla.virtualtime import VirtualTimeError, blocking, run_in_virtual_time
from simsla.virtualtime.http import Answer, ExchangeError, answered_by

both = pytest.mark.parametrize("library", [httpx, httpx2])


def play_blocking(world, function):
    """Run a blocking function in virtual time; what it returns, and how long it took."""

    async def main():
        return await blocking.run(function), asyncio.get_running_loop().time()

    with answered_by(world):
        return run_in_virtual_time(main())


@both
def test_a_blocking_call_is_answered_in_virtual_time(library):
    world = ScriptedHttp(lambda call: whole(b'{"n": 7}'))

    def main():
        with library.Client() as client:
            return client.post(URL, json={"a": 1}).json()

    assert play_blocking(world, main) == ({"n": 7}, 0.5)


@both
def test_blocking_calls_overlap_in_virtual_time(library):
    world = ScriptedHttp(lambda call: whole(), delay_s=2.0)

    async def main():
        with library.Client() as client:
            await asyncio.gather(*[blocking.run(lambda: client.get(URL)) for _ in range(50)])
        return asyncio.get_running_loop().time()

    with answered_by(world):
        assert run_in_virtual_time(main()) == 2.0
    assert world.most_open == 50


@both
def test_a_blocking_stream(library):
    ticks = Ticks([b"data: 1\n", b"data: 2\n"])
    world = ScriptedHttp(lambda call: Answer(200, [], ticks))

    def main():
        with library.Client() as client, client.stream("GET", URL) as response:
            return list(response.iter_lines())

    assert play_blocking(world, main) == (["data: 1", "data: 2"], 2.5)
    assert ticks.closed


@both
def test_a_blocking_stream_that_is_left_is_ended(library):
    ticks = Ticks([b"a", b"b"])
    world = ScriptedHttp(lambda call: Answer(200, [], ticks))

    def main():
        with library.Client() as client, client.stream("GET", URL) as response:
            return next(response.iter_raw())

    assert play_blocking(world, main) == (b"a", 1.5)
    assert (ticks.shown, ticks.closed) == (1, 1)


@both
@pytest.mark.parametrize(
    ("kind", "name"),
    [("connect", "ConnectError"), ("read timeout", "ReadTimeout"), ("cut", "RemoteProtocolError")],
)
def test_breakdowns_of_blocking_calls(library, kind, name):
    world = ScriptedHttp(lambda call: ExchangeError(kind, "it broke"))

    def main():
        with pytest.raises(getattr(library, name), match="it broke"):
            library.get(URL)

    play_blocking(world, main)
    ticks = Ticks([b"a"], ExchangeError(kind, "it broke"))
    streaming = ScriptedHttp(lambda call: Answer(200, [], ticks))

    def stream():
        with pytest.raises(getattr(library, name), match="it broke"):
            library.get(URL)

    play_blocking(streaming, stream)


@both
def test_the_pool_of_a_blocking_client(library):
    world = ScriptedHttp(lambda call: whole(), delay_s=10.0)

    async def main():
        limits = library.Limits(max_connections=1)
        with library.Client(limits=limits, timeout=library.Timeout(None, pool=1.0)) as client:
            first = asyncio.create_task(blocking.run(lambda: client.get(URL)))
            await asyncio.sleep(0)
            with pytest.raises(library.PoolTimeout):
                await blocking.run(lambda: client.get(URL))
            await first
        return asyncio.get_running_loop().time()

    with answered_by(world):
        assert run_in_virtual_time(main()) == 10.0


def test_a_blocking_client_in_a_coroutine_is_told_that_it_would_block_the_loop():
    world = ScriptedHttp(lambda call: whole())

    async def main():
        for get in (httpx.get, requests.get):
            with pytest.raises(VirtualTimeError, match="coroutine"):
                get(URL)

    with answered_by(world):
        run_in_virtual_time(main())


# requests and urllib3


def test_requests_is_answered_with_its_limits_of_time():
    world = ScriptedHttp(lambda call: whole(b'{"n": 7}', 201, x_own="yes"))

    def main():
        session = requests.Session()
        response = session.post(f"{URL}?q=1", json={"a": 1}, headers={"X-Own": "yes"}, timeout=(2.0, 5.0))
        return response.status_code, response.json(), response.headers["x-own"], session.get(URL).ok

    assert play_blocking(world, main) == ((201, {"n": 7}, "yes", True), 1.0)
    first, second = world.calls
    assert (first.method, first.url) == ("POST", f"{URL}?q=1")
    assert (first.body, first.headers["x-own"]) == (b'{"a": 1}', "yes")
    assert (first.connect_s, first.read_s) == (2.0, 5.0)
    assert (second.connect_s, second.read_s) == (None, None)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("connect", requests.exceptions.ConnectionError),
        ("connect timeout", requests.exceptions.ConnectTimeout),
        ("read timeout", requests.exceptions.ReadTimeout),
        ("cut", requests.exceptions.ConnectionError),
    ],
)
def test_each_breakdown_is_requests_own_exception(kind, error):
    world = ScriptedHttp(lambda call: ExchangeError(kind, "it broke"))

    def main():
        with pytest.raises(error) as caught:
            requests.get(URL, timeout=9.0)
        return type(caught.value)

    assert play_blocking(world, main)[0] is error


def test_requests_reads_a_stream_as_it_comes():
    ticks = Ticks([b"data: 1\n", b"data: 2\n"])
    world = ScriptedHttp(lambda call: Answer(200, [("content-type", "text/event-stream")], ticks))

    async def main():
        loop = asyncio.get_running_loop()

        def read():
            with requests.get(URL, stream=True, timeout=9.0) as response:
                return [(line, loop.time()) for line in response.iter_lines()]

        return await blocking.run(read)

    with answered_by(world):
        # `iter_lines` holds a line back until it has seen what follows it.
        assert run_in_virtual_time(main()) == [(b"data: 1", 1.5), (b"data: 2", 2.5)]
    assert ticks.closed


def test_a_stream_of_requests_that_is_left_is_ended():
    ticks = Ticks([b"a" * 600, b"b"])
    world = ScriptedHttp(lambda call: Answer(200, [], ticks))

    def main():
        with requests.get(URL, stream=True, timeout=9.0) as response:
            next(response.iter_content(512))

    play_blocking(world, main)
    assert ticks.shown == 1
    assert ticks.closed


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda: Answer(200, [("content-length", "10")], b"0123456789", cut_at=4), "ChunkedEncodingError"),
        (lambda: Answer(200, [], Ticks([b"a"], ExchangeError("cut", "cut"))), "ChunkedEncodingError"),
        (lambda: Answer(200, [], Ticks([b"a"], ExchangeError("read timeout", "late"))), "ConnectionError"),
    ],
)
def test_bodies_that_break_down_in_requests(answer, error):
    world = ScriptedHttp(lambda call: answer())

    def main():
        with pytest.raises(requests.exceptions.RequestException) as caught:
            requests.get(URL, timeout=9.0)
        return type(caught.value).__name__

    assert play_blocking(world, main)[0] == error


def test_the_retries_of_urllib3_are_its_own():
    answers = iter([whole(status=503), ExchangeError("connect", "no"), whole()])
    world = ScriptedHttp(lambda call: next(answers))

    def main():
        with urllib3.PoolManager(retries=urllib3.Retry(3, status_forcelist=[503])) as pools:
            response = pools.request("GET", URL)
            return response.status, response.data

    assert play_blocking(world, main)[0] == (200, b'{"ok": true}')
    assert len(world.calls) == 3


def test_bodies_of_all_kinds_reach_the_world():
    world = ScriptedHttp(lambda call: whole())

    def main():
        session = requests.Session()
        session.post(URL, data="text")
        session.post(URL, data=b"bytes")
        session.post(URL, data={"a": "1"})
        session.post(URL, data=iter([b"one ", b"two"]))

    play_blocking(world, main)
    assert [call.body for call in world.calls] == [b"text", b"bytes", b"a=1", b"one two"]
    assert all(call.url == URL for call in world.calls)


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    world = ScriptedHttp(lambda call: whole())

    def main():
        plain = URL.replace("https", "http")
        return [get(url).status_code for get in (requests.get, httpx.get, httpx2.get) for url in (URL, plain)]

    assert play_blocking(world, main)[0] == [200] * 6
    assert {call.url for call in world.calls} == {URL, URL.replace("https", "http")}


def test_a_blocking_client_where_no_loop_runs_is_refused():
    with (
        answered_by(ScriptedHttp(lambda call: whole())),
        pytest.raises(VirtualTimeError, match="blocking HTTP"),
    ):
        httpx.get(URL)
