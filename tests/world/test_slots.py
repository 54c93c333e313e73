"""Slots: who waits for one, in which order, for how long, and who gets it next."""

from __future__ import annotations

import asyncio

import pytest
from simulation.runs import play
from simulation.scenarios import deployment, scenario, scheduled, traffic
from world.scripts import NONE, now, streaming, world

from simsla.routing import (
    ConnectError,
    RateLimited,
    Timeouts,
)


def concurrently(count, timeouts=NONE, gap_s=0.0):
    """A script that sends the request `count` times at once; the end of each, or its error."""

    async def one(transport, request):
        begin = now()
        try:
            await transport.send(request, transport.deployments[0], timeouts=timeouts)
        except Exception as error:
            return error, now() - begin
        return None, now() - begin

    async def script(transport, request):
        tasks = []
        for _ in range(count):
            tasks.append(asyncio.ensure_future(one(transport, request)))
            await asyncio.sleep(gap_s)
        return await asyncio.gather(*tasks)

    return script


def test_slots_are_given_first_come_first_served():
    results, run = play(world(max_concurrency=2), concurrently(5))
    assert [took for _, took in results] == pytest.approx([1.1, 1.1, 2.2, 2.2, 3.3])
    frame = run.log.attempts_frame().sort_values("ordinal")
    assert list(frame["queued_s"]) == pytest.approx([0, 0, 1.1, 1.1, 2.2])
    assert list(frame["first_token_s"] - frame["start_s"]) == pytest.approx([0.1, 0.1, 1.2, 1.2, 2.3])


def test_the_queue_has_a_limit_beyond_which_there_is_a_429():
    results, run = play(world(max_concurrency=1, queue_limit=2, retry_after=3), concurrently(5))
    errors = [error for error, _ in results]
    assert errors[:3] == [None] * 3
    for error in errors[3:]:
        assert type(error) is RateLimited
        assert error.retry_after_s == 3
    assert list(run.log.attempts_frame()["outcome"]).count("rate_limited") == 2


def test_no_queue_at_all():
    results, _ = play(world(max_concurrency=1, queue_limit=0), concurrently(2))
    assert [type(error) for error, _ in results] == [type(None), RateLimited]


def test_waiting_counts_towards_the_total_limit():
    results, run = play(world(max_concurrency=1), concurrently(3, Timeouts(total_s=1.5)))
    assert [took for _, took in results] == pytest.approx([1.1, 1.5, 1.5])
    assert [getattr(error, "phase", None) for error, _ in results] == [None, "total", "total"]
    frame = run.log.attempts_frame().sort_values("ordinal")
    # The second was served for 0.4 s: 0.1 to the first token and 30 tokens. Its slot was then free.
    assert list(frame["tokens_out"]) == [100, 30, 0]


def test_cancelling_frees_a_slot_at_once():
    async def script(transport, request):
        deployment = transport.deployments[0]
        first, second = (
            asyncio.ensure_future(transport.send(request, deployment, timeouts=NONE)) for _ in range(2)
        )
        await asyncio.sleep(0.4)
        first.cancel()
        begin = now()
        await second
        return now() - begin

    took, _ = play(world(max_concurrency=1), script)
    assert took == pytest.approx(1.1)


def test_a_cancelled_attempt_leaves_the_queue():
    async def script(transport, request):
        deployment = transport.deployments[0]
        tasks = [asyncio.ensure_future(transport.send(request, deployment, timeouts=NONE)) for _ in range(3)]
        await asyncio.sleep(0.4)
        tasks[1].cancel()
        begin = now()
        await tasks[2]
        return now() - begin

    took, _ = play(world(max_concurrency=1), script)
    assert took == pytest.approx(0.7 + 1.1)


def test_a_slot_that_comes_in_the_instant_of_a_cancellation_is_passed_on():
    async def script(transport, request):
        def send():
            return transport.send(request, transport.deployments[0], timeouts=NONE)

        async def send_and_cancel_the_next():
            await send()
            # The next in the queue has been given the slot and has not woken up yet.
            tasks[1].cancel()

        tasks = [asyncio.ensure_future(one) for one in (send_and_cancel_the_next(), send(), send())]
        await asyncio.wait(tasks)
        assert tasks[1].cancelled()
        begin = now()
        await send()
        return now() - begin

    took, run = play(world(max_concurrency=1), script)
    assert took == pytest.approx(1.1)
    frame = run.log.attempts_frame().sort_values("ordinal")
    assert list(frame["outcome"]) == ["ok", "cancelled", "ok", "ok"]
    assert list(frame["queued_s"]) == pytest.approx([0, 1.1, 1.1, 0])


def test_streams_wait_for_slots_too():
    async def read(transport, request):
        begin, times = now(), []
        async with transport.stream(request, transport.deployments[0], timeouts=NONE) as chunks:
            times.extend([now() - begin async for _ in chunks])
        return times

    async def script(transport, request):
        return await asyncio.gather(read(transport, request), read(transport, request))

    (first, second), _ = play(world(max_concurrency=1), script)
    assert first[-1] == pytest.approx(1.1)
    assert second[0] == pytest.approx(1.2)
    assert second[-1] == pytest.approx(2.2)


def test_a_stream_that_waits_too_long_ends_at_the_limit_of_the_first_token():
    read = streaming(Timeouts(first_token_s=0.5, total_s=0.9))

    async def script(transport, request):
        held = asyncio.ensure_future(transport.send(request, transport.deployments[0], timeouts=NONE))
        await asyncio.sleep(0)
        _, error, took = await read(transport, request)
        await held
        return error.phase, took

    (phase, took), _ = play(world(max_concurrency=1), script)
    assert phase == "first_token"
    assert took == pytest.approx(0.5)


def test_a_hang_holds_its_slot_until_its_limit():
    results, _ = play(
        world(max_concurrency=1, errors={"hang": 1}), concurrently(2, Timeouts(total_s=4), gap_s=1)
    )
    assert [took for _, took in results] == pytest.approx([4, 4])


def test_a_refused_connection_takes_no_slot():
    """An outage begins while the only slot is held: newcomers are refused and do not queue."""
    spec = scenario(
        {"a": deployment(max_concurrency=1, latency={"total": 50}, components=["g"])},
        {"chat": traffic(1)},
        components={"g": {"faults": [scheduled("outage", 20, 50)]}},
        horizon=60,
    )

    async def script(transport, request):
        held = asyncio.ensure_future(transport.send(request, transport.deployments[0], timeouts=NONE))
        await asyncio.sleep(21 - now())
        begin = now()
        with pytest.raises(ConnectError):
            await transport.send(request, transport.deployments[0], timeouts=NONE)
        refused = now() - begin
        await held  # It was being answered when the outage began, and is answered.
        return refused

    refused, _ = play(spec, script)
    assert refused == pytest.approx(0.05)
