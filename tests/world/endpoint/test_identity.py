"""Each of a thousand concurrent requests is credited with its own calls, whoever makes them."""

from __future__ import annotations

import asyncio

import aiohttp
import httpx
import httpx2
import openai
import pytest
from world.endpoint.worlds import CHAT, URL, play, world

from simsla.records import NOBODY
from simsla.virtualtime import blocking

HEADERS = {"authorization": "Bearer key-us"}

SLOW = {"us": {"api_key": "key-us", "latency": {"first_token": 9.0, "per_token": 0.02}}}

# A thousand of them at a time: a hundred come each second, and each takes ten.
CROWD = world(SLOW, horizon=12.0, rate=100.0)
GROUP = world(SLOW, horizon=12.0, rate=10.0)


def body(request, **more):
    return {"model": "gpt-4o", "messages": list(request.messages), **more}


def through(library):
    """A client that has room for them all."""
    return library.AsyncClient(headers=HEADERS, timeout=None, limits=library.Limits(max_connections=None))


def echoed(response):
    """The number that an answer tells."""
    return int(response.headers["x-request-id"].partition("-")[0])


def directly(library):
    def factory(transport):
        client = through(library)

        async def handle(request):
            return echoed(await client.post(CHAT, json=body(request)))

        return handle

    return factory


def by_openai(transport):
    client = openai.AsyncOpenAI(base_url=URL, api_key="key-us", timeout=None, max_retries=0)

    async def handle(request):
        answer = await client.chat.completions.create(**body(request))
        return int(answer.id.split("-")[1])

    return handle


def by_aiohttp(transport):
    session = []

    async def handle(request):
        if not session:
            session.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=HEADERS))
        async with session[0].post(CHAT, json=body(request), timeout=None) as response:
            await response.read()
            return echoed(response)

    return handle


def by_greenlets(transport):
    client = httpx2.Client(headers=HEADERS, timeout=None, limits=httpx2.Limits(max_connections=None))

    def handle(request):
        return echoed(client.post(CHAT, json=body(request)))

    return blocking.handle_of(handle)


def by_detached_tasks(transport):
    client = through(httpx2)
    tasks = set()

    async def handle(request):
        done = asyncio.get_running_loop().create_future()

        async def detached():
            done.set_result(echoed(await client.post(CHAT, json=body(request))))

        task = asyncio.create_task(detached())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return await done

    return handle


def by_an_executor(transport):
    """What it calls can only prepare: a loop of its own would be another world."""
    client = through(httpx2)

    async def handle(request):
        prepared = await asyncio.to_thread(body, request)
        return echoed(await client.post(CHAT, json=prepared))

    return handle


def by_queue_workers(lazily, what):
    """Workers of the factory, or of the first request; they get the request, its messages, or its text."""

    def factory(transport):
        client = through(httpx2)
        queue = asyncio.Queue()
        workers = []

        async def worker():
            while True:
                item, done = await queue.get()
                if what == "request":
                    item = body(item)
                elif what == "text":
                    item = {"model": "gpt-4o", "messages": [{"role": "user", "content": item}]}
                number = echoed(await client.post(CHAT, json=item))
                if not done.done():
                    done.set_result(number)

        def start():
            if not workers:
                workers.extend(asyncio.get_running_loop().create_task(worker()) for _ in range(1500))

        if not lazily:
            start()

        async def handle(request):
            start()
            done = asyncio.get_running_loop().create_future()
            given = {"request": request, "messages": body(request), "text": request.prompt}[what]
            queue.put_nowait((given, done))
            return await done

        return handle

    return factory


@pytest.mark.parametrize(
    ("factory", "scenario", "at_least"),
    [
        pytest.param(directly(httpx), CROWD, 1000, id="httpx"),
        pytest.param(directly(httpx2), CROWD, 1000, id="httpx2"),
        pytest.param(by_openai, GROUP, 100, id="openai"),
        pytest.param(by_aiohttp, GROUP, 100, id="aiohttp"),
        pytest.param(by_greenlets, CROWD, 1000, id="greenlets"),
        pytest.param(by_detached_tasks, CROWD, 1000, id="detached tasks"),
        pytest.param(by_an_executor, GROUP, 100, id="executor"),
        pytest.param(by_queue_workers(False, "request"), GROUP, 100, id="workers of the factory"),
        pytest.param(by_queue_workers(True, "request"), GROUP, 100, id="workers of the first request"),
        pytest.param(by_queue_workers(True, "messages"), CROWD, 1000, id="workers that get messages"),
        pytest.param(by_queue_workers(False, "text"), GROUP, 100, id="workers that get texts"),
    ],
)
def test_a_thousand_concurrent_requests_echo_their_number(factory, scenario, at_least):
    numbers = []

    def checking(transport):
        handle = factory(transport)

        async def check(request):
            numbers.append((request.id, await handle(request)))

        return check

    played = play(scenario, checking)
    assert len(numbers) > at_least
    assert all(own == told for own, told in numbers)
    assert len({own for own, _ in numbers}) == len(numbers)
    assert sorted(played.attempts("request")) == sorted(played.run.requests["request"].tolist())
    assert most_at_a_time(played) >= 0.9 * at_least
    assert set(played.outcomes()) == {"ok"}


def most_at_a_time(played):
    changes = [(start, 1) for start in played.attempts("start_s")]
    changes += [(end, -1) for end in played.attempts("end_s")]
    level = most = 0
    for _, change in sorted(changes):
        level += change
        most = max(most, level)
    return most


def test_a_call_after_the_end_of_its_request_is_still_its_own():
    """As one for a client that has left: the worker does not know."""
    factory = by_queue_workers(True, "messages")
    scenario = world(SLOW, horizon=60.0, rate=0.5, patience={"kind": "constant", "value": 2.0})
    played = play(scenario, factory)
    assert set(played.outcomes()) == {"abandoned"}
    assert NOBODY not in played.attempts("request")


def test_a_derived_request_keeps_its_purpose():
    def factory(transport):
        client = through(httpx2)

        async def handle(request):
            classify = request.derive(purpose="classify")
            await client.post(CHAT, json=body(classify, max_tokens=1))
            await client.post(CHAT, json=body(request))

        return handle

    played = play(world(horizon=20.0), factory)
    numbers = played.run.requests["request"].tolist()
    rows = zip(
        *(played.attempts(name) for name in ("request", "purpose", "tokens_in", "tokens_out")), strict=True
    )
    assert sorted(rows) == sorted(row for each in numbers for row in ((each, 0, 100, 50), (each, 1, 100, 1)))
    assert set(played.outcomes()) == {"ok"}


def test_a_call_of_nobodys_is_logged_as_nobodys():
    def factory(transport):
        client = through(httpx2)

        async def warm_up():
            messages = [{"role": "user", "content": "hello there"}]
            await client.post(CHAT, json={"model": "gpt-4o", "messages": messages})

        kept = [asyncio.get_running_loop().create_task(warm_up())]

        async def handle(request):
            await kept[0]
            await client.post(CHAT, json=body(request))

        return handle

    played = play(world(horizon=20.0), factory)
    assert played.attempts("request").count(NOBODY) == played.run.unowned == 1


@pytest.mark.parametrize("prompt_tokens", [0, 1, 2, 1000])
def test_the_mark_does_not_change_the_length_of_a_prompt(prompt_tokens):
    scenario = world(horizon=20.0, prompt_tokens=prompt_tokens)
    played = play(scenario, directly(httpx2))
    if prompt_tokens:
        assert set(played.attempts("tokens_in")) == {prompt_tokens}
    assert played.attempts("request") == played.run.requests["request"].tolist()
