"""The context itself: who is answered, since when and until when."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import httpx
import httpx2
import pytest
import urllib3
from virtualtime.http.scripted import URL, ScriptedHttp, play, whole

from simsla.virtualtime import run_in_virtual_time
from simsla.virtualtime.http import answered_by

SEAMS = [
    (httpx.AsyncHTTPTransport, "handle_async_request"),
    (httpx.HTTPTransport, "handle_request"),
    (httpx2.AsyncHTTPTransport, "handle_async_request"),
    (httpx2.HTTPTransport, "handle_request"),
    (urllib3.HTTPConnectionPool, "_make_request"),
    (urllib3.HTTPSConnectionPool, "_prepare_proxy"),
]


def seams():
    return [vars(owner).get(name) for owner, name in SEAMS]


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_everything_is_restored(error):
    before, finders = seams(), list(sys.meta_path)
    try:
        with answered_by(ScriptedHttp(lambda call: whole())):
            assert all(now is not then for now, then in zip(seams(), before, strict=True))
            if error is not None:
                raise error
    except (RuntimeError, KeyboardInterrupt):
        pass
    assert seams() == before
    assert sys.meta_path == finders


def test_the_inner_of_two_contexts_answers():
    outer = ScriptedHttp(lambda call: whole(b'"outer"'))
    inner = ScriptedHttp(lambda call: whole(b'"inner"'))
    client = httpx.AsyncClient()

    async def main():
        return (await client.get(URL)).json()

    with answered_by(outer):
        assert run_in_virtual_time(main()) == "outer"
        assert play(inner, main) == "inner"
        assert run_in_virtual_time(main()) == "outer"


def test_other_threads_keep_the_network():
    """Here it refuses, which the world would not."""
    seen = []

    def other():
        try:
            seen.append(httpx.get("http://127.0.0.1:9", trust_env=False).status_code)
        except httpx.ConnectError:
            seen.append("network")

    with answered_by(ScriptedHttp(lambda call: whole())):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert seen == ["network"]


def test_two_threads_are_answered_each_by_its_own_world():
    answers = {}
    inside = threading.Barrier(2)

    def run(name):
        async def main():
            async with httpx.AsyncClient() as client:
                inside.wait(10)
                return (await client.get(URL)).json()

        world = ScriptedHttp(lambda call: whole(f'"{name}"'.encode()))
        answers[name] = play(world, main)
        inside.wait(10)

    before = seams()
    threads = [threading.Thread(target=run, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {"a": "a", "b": "b"}
    assert seams() == before


def test_libraries_that_are_imported_meanwhile_are_answered_and_none_is_imported_for_it():
    code = """
import sys
from simsla.virtualtime import run_in_virtual_time
from simsla.virtualtime.http import Answer, answered_by

libraries = {"httpx", "httpx2", "aiohttp", "urllib3", "requests"}

class World:
    async def answer(self, call):
        return Answer(200, [("content-type", "application/json")], b'"answered"')

async def main():
    import httpx, httpx2, aiohttp
    for library in (httpx, httpx2):
        async with library.AsyncClient() as client:
            print(library.__name__, (await client.get("https://a.example")).json())
    async with aiohttp.ClientSession() as session, session.get("https://a.example") as response:
        print("aiohttp", response.status)

with answered_by(World()):
    print(libraries & set(sys.modules))
    run_in_virtual_time(main())
    import httpx
    patched = httpx.HTTPTransport.handle_request
print(httpx.HTTPTransport.handle_request is patched, httpx.__spec__.loader.__class__.__name__)
print("exec_module" in vars(httpx.__spec__.loader))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "set()",
        "httpx answered",
        "httpx2 answered",
        "aiohttp 200",
        "False SourceFileLoader",
        "False",
    ]


def test_nothing_opens_a_socket(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a socket")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    world = ScriptedHttp(lambda call: whole())

    async def main():
        for library in (httpx, httpx2):
            async with library.AsyncClient() as client:
                await asyncio.gather(*[client.get(URL) for _ in range(10)])

    play(world, main)
    assert len(world.calls) == 20
