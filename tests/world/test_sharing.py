"""Deployments that load slows down: an attempt ends when its share of the service is enough, not before."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation.runs import digest, play
from simulation.scenarios import deployment, scenario, scheduled, traffic, varied
from world.scripts import NONE, now, only, sending, streaming, world

from simsla.routing import AttemptTimeout, StreamInterrupted, Timeouts
from simsla.scenario import Scenario, ScenarioError
from simsla.simulation import run_one

PS = {"kind": "processor_sharing", "servers": 1}


def sharing_scenario(service, rate, latency, *, customers):
    """A deployment that is shared, for so many customers after a warm-up of a fifth as many.

    `latency` is the whole time that an attempt takes alone, or a list of such, equally likely: then the time
    is made of tokens, so that the log tells which it was.
    """
    horizon = 1.2 * customers / rate
    tokens = 1
    times = {"total": latency}
    if isinstance(latency, list):
        tokens = {"kind": "empirical", "values": [10 * each for each in latency]}
        times = {"first_token": 0, "per_token": 0.1}
    return Scenario.from_dict(
        {
            "horizon": horizon,
            "warmup": horizon / 6,
            "deployments": {"a": {"model": "m", "latency": times, "service": service}},
            "traffic": {
                "all": {
                    "arrivals": {"kind": "poisson", "rate": rate},
                    "prompt_tokens": 1,
                    "output_tokens": tokens,
                    "deadline": 1e6,
                }
            },
        }
    )


def staggered(*starts, timeouts=NONE, gone=None):
    """A script that calls at these times since the first; when each ended, since the first began.

    `gone` maps the number of a call to the time at which it is cancelled.
    """

    async def one(transport, request, start):
        await asyncio.sleep(start)
        try:
            await transport.send(request, transport.deployments[0], timeouts=timeouts)
        except AttemptTimeout:
            return -now()
        return now()

    async def script(transport, request):
        begin = now()
        tasks = [asyncio.ensure_future(one(transport, request, start)) for start in starts]
        for number, when in (gone or {}).items():
            asyncio.get_running_loop().call_later(when, tasks[number].cancel)
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        return [None if isinstance(end, BaseException) else abs(end) - begin for end in ended]

    return script


def test_alone_it_takes_as_long_as_ever():
    (shared, took), run = play(world(service=PS), sending())
    (alone, expected), _ = play(world(), sending())
    assert took == pytest.approx(expected)
    assert (shared.first_token_s, shared.total_s) == pytest.approx((alone.first_token_s, alone.total_s))
    assert only(run)["outcome"] == "ok"


def test_two_share_evenly():
    """1.1 s of service each; the second comes when the first has had 0.5."""
    ended, run = play(world(service=PS), staggered(0, 0.5))
    assert ended == pytest.approx([0.5 + 1.2, 2.2])
    frame = run.log.attempts_frame().sort_values("start_s")
    # The first was half way to nowhere when its first token came, at 0.1 s; the second had half the pace.
    assert list(frame["first_token_s"] - frame["start_s"]) == pytest.approx([0.1, 0.2])


def test_up_to_so_many_servers_there_is_nothing_to_share():
    ended, _ = play(world(service=PS | {"servers": 2}), staggered(0, 0.5))
    assert ended == pytest.approx([1.1, 1.6])
    ended, _ = play(world(service=PS | {"servers": 2}), staggered(0, 0, 0))
    assert ended == pytest.approx([1.65] * 3)


def test_one_who_leaves_makes_the_others_faster():
    ended, run = play(world(service=PS), staggered(0, 0, gone={1: 1.0}))
    assert ended[0] == pytest.approx(1.0 + 0.6)
    row = run.log.attempts_frame().set_index("outcome").loc["cancelled"]
    # Half a second of service: 0.1 s to the first token and 40 tokens.
    assert (row["tokens_in"], row["tokens_out"]) == (1000, 40)
    assert row["first_token_s"] - row["start_s"] == pytest.approx(0.2)


def test_a_limit_of_time_holds_however_slow_it_gets():
    ended, run = play(world(service=PS), staggered(0, 0, 0, timeouts=Timeouts(total_s=1.5)))
    assert ended == pytest.approx([1.5] * 3)
    frame = run.log.attempts_frame()
    assert set(frame["outcome"]) == {"timeout"}
    assert set(frame["tokens_out"]) == {40}
    ended, _ = play(world(service=PS), staggered(0, timeouts=Timeouts(total_s=1.1)))
    assert ended == pytest.approx([1.1])


def test_slots_limit_how_many_share():
    ended, run = play(world(service=PS, max_concurrency=2), staggered(0, 0, 0))
    assert sorted(ended) == pytest.approx([2.2, 2.2, 3.3])
    assert sorted(run.attempts["queued_s"]) == pytest.approx([0, 0, 2.2])


def test_an_attempt_that_hangs_takes_no_service():
    spec = scenario(
        {"a": deployment(service=PS, components=["g"])},
        {"chat": traffic(2, deadline=1e4)},
        components={"g": {"faults": [scheduled("hang", 0, 50, severity=1)]}},
    )

    async def script(transport, request):
        hanging = asyncio.ensure_future(transport.send(request, transport.deployments[0], timeouts=NONE))
        await asyncio.sleep(60)
        begin = now()
        await transport.send(request, transport.deployments[0], timeouts=NONE)
        hanging.cancel()
        return now() - begin

    took, run = play(spec, script)
    assert took == pytest.approx(1.1)
    assert sorted(run.log.attempts_frame()["outcome"]) == ["cancelled", "ok"]


def test_a_distance_is_no_service():
    """Half a second of travelling is added to what is shared, and is not shared itself."""
    spec = scenario(
        {"a": deployment(service=PS, region="there")},
        {"chat": traffic(2, region="here")},
        regions={"here": {}, "there": {}},
        network={"rtt": {"here": {"there": 0.5}}},
    )
    ended, run = play(spec, staggered(0, 0.5))
    assert ended == pytest.approx([0.5 + 1.7, 2.7])
    frame = run.log.attempts_frame().sort_values("start_s")
    assert list(frame["first_token_s"] - frame["start_s"]) == pytest.approx([0.6, 0.7])
    (chunks, error, took), run = play(spec, streaming())
    assert error is None
    assert (chunks[0][0], took) == pytest.approx((0.6, 1.6))
    row = only(run)
    assert row["first_token_s"] - row["start_s"] == pytest.approx(0.6)
    _, run = play(spec, sending(Timeouts(total_s=1.3)))
    assert only(run)["outcome"] == "timeout"


def test_a_stream_slows_down_while_it_is_read():
    async def script(transport, request):
        async def other():
            await asyncio.sleep(0.5)
            await transport.send(request, transport.deployments[0], timeouts=NONE)

        task = asyncio.ensure_future(other())
        read = await streaming()(transport, request)
        await task
        return read

    (chunks, error, took), run = play(world(service=PS), script)
    assert error is None
    assert took == pytest.approx(0.5 + 1.2)
    times = [at for at, _ in chunks]
    assert times[0] == pytest.approx(0.1)
    assert sum(chunk.tokens for _, chunk in chunks) == 100
    assert chunks[-1][1].finish_reason == "stop"
    gaps = np.diff(times)
    assert gaps[1] == pytest.approx(0.16)  # 16 tokens
    assert gaps[-2] == pytest.approx(0.32)
    assert list(run.log.attempts_frame()["outcome"]) == ["ok", "ok"]


def test_a_stream_alone_is_that_of_a_deployment_that_is_not_shared():
    for errors in ({}, {"cut": 1}, {"malformed": 1}):
        for timeouts in (NONE, Timeouts(total_s=0.7), Timeouts(first_token_s=0.05), Timeouts(idle_s=0.005)):
            (shared, plain) = (
                play(world(errors=errors, **more), streaming(timeouts)) for more in ({"service": PS}, {})
            )
            (chunks, error, took), run = shared
            (expected, expected_error, expected_took), expected_run = plain
            assert type(error) is type(expected_error)
            assert getattr(error, "phase", None) == getattr(expected_error, "phase", None)
            assert took == pytest.approx(expected_took)
            assert [at for at, _ in chunks] == pytest.approx([at for at, _ in expected])
            assert only(run)["tokens_out"] == only(expected_run)["tokens_out"]
            assert [c.finish_reason for _, c in chunks] == [c.finish_reason for _, c in expected]


def test_a_stream_left_early_frees_its_share_at_once():
    async def script(transport, request):
        await streaming(leave_after=1)(transport, request)
        begin = now()
        await transport.send(request, transport.deployments[0], timeouts=NONE)
        return now() - begin

    took, run = play(world(service=PS), script)
    assert took == pytest.approx(1.1)
    assert sorted(run.attempts["tokens_out"]) == [1, 100]


def test_an_idle_limit_is_kept_token_by_token_when_load_makes_tokens_slow():
    async def script(transport, request):
        async def others():
            await asyncio.sleep(0.5)
            sends = (transport.send(request, transport.deployments[0], timeouts=NONE) for _ in range(9))
            await asyncio.gather(*sends)

        task = asyncio.ensure_future(others())
        read = await streaming(Timeouts(idle_s=0.04))(transport, request)
        await task
        return read

    (chunks, error, took), _ = play(world(service=PS), script)
    assert error.phase == "idle"
    # A token every 0.01 s until 0.5 s; then one in 0.1 s. Pieces of 16 were watched as one until then.
    assert 0.5 < took < 0.5 + 16 * 0.04
    assert 20 < sum(chunk.tokens for _, chunk in chunks) < 60


def test_a_slow_reader_does_not_slow_the_others():
    """Its answer is made whether it is read or not."""

    async def script(transport, request):
        task = asyncio.ensure_future(streaming(pause_s=100.0)(transport, request))
        await asyncio.sleep(50)
        begin = now()
        await transport.send(request, transport.deployments[0], timeouts=NONE)
        took = now() - begin
        await task
        return took

    took, _ = play(scenario({"a": deployment(service=PS)}, {"chat": traffic(1, deadline=1e5)}), script)
    assert took == pytest.approx(1.1)


def test_a_cut_comes_after_its_share_of_service():
    spec = world(service=PS, errors={"cut": 1})
    (error, alone), _ = play(spec, sending())
    assert type(error) is StreamInterrupted

    async def script(transport, request):
        def send():
            return transport.send(request, transport.deployments[0], timeouts=NONE)

        return await asyncio.gather(send(), send(), return_exceptions=True), now()

    (errors, _), run = play(spec, script)
    assert [type(error) for error in errors] == [StreamInterrupted] * 2
    frame = run.log.attempts_frame().set_index("ordinal")
    first, second = (frame["end_s"] - frame["start_s"]).sort_index()
    # The first call meets the cut that it met alone. They share until the shorter of the two ends.
    assert first == pytest.approx(2 * alone if first < second else alone + second / 2)


def by_brute_force(jobs, slowdown):
    """The ends of jobs (start, work, when it gives up), from event to event, sharing out the time."""
    left, ended, at = {}, {}, 0.0
    waiting = [(start, number) for number, (start, _, _) in enumerate(jobs)]
    heapq.heapify(waiting)
    while waiting or left:
        pace = 1 / slowdown(len(left)) if left else 1.0
        upcoming = [waiting[0][0]] if waiting else []
        upcoming += [at + work / pace for work in left.values()]
        upcoming += [jobs[number][2] for number in left]
        then = min(upcoming)
        for number in left:
            left[number] -= (then - at) * pace
        at = then
        for number in [n for n, work in left.items() if work <= 1e-9 or jobs[n][2] <= at]:
            del left[number]
            ended[number] = at
        while waiting and waiting[0][0] <= at:
            number = heapq.heappop(waiting)[1]
            left[number] = jobs[number][1]
    return [ended[number] for number in range(len(jobs))]


job = st.tuples(st.integers(0, 400), st.integers(1, 100), st.sampled_from([None, 50, 150]))


@settings(max_examples=80, deadline=None)
@given(
    jobs=st.lists(job, min_size=1, max_size=12, unique_by=lambda each: each[0]),
    service=st.sampled_from(
        [PS, PS | {"servers": 3}, {"kind": "batch", "growth": 0.1, "knee": 4}],
    ),
)
def test_ends_are_those_of_a_brute_force_simulation(jobs, service):
    # Hundredths of a second, with offsets of their own, so that no two events meet in one instant.
    starts = [start / 100 + number * 1e-4 for number, (start, _, _) in enumerate(jobs)]
    most = [tokens for _, tokens, _ in jobs]
    limits = [None if limit is None else limit / 100 + 0.00037 for _, _, limit in jobs]

    async def one(transport, request, number):
        await asyncio.sleep(starts[number])
        limit = Timeouts(total_s=limits[number])
        with contextlib.suppress(AttemptTimeout):
            await transport.send(request, transport.deployments[0], timeouts=limit, max_tokens=most[number])
        return now()

    async def script(transport, request):
        begin = now()
        ends = await asyncio.gather(*(one(transport, request, number) for number in range(len(jobs))))
        return [end - begin for end in ends]

    spec = scenario({"a": deployment(service=service)}, {"chat": traffic(2, deadline=1e4)})
    ended, run = play(spec, script)
    slowdown = spec.deployments["a"].service.slowdown
    expected = by_brute_force(
        [
            (start, 0.1 + 0.01 * tokens, np.inf if limit is None else start + limit)
            for start, tokens, limit in zip(starts, most, limits, strict=True)
        ],
        slowdown,
    )
    assert ended == pytest.approx(expected, abs=1e-6)
    assert len(run.attempts["start_s"]) == len(jobs)


def test_slowdowns():
    ps = scenario({"a": deployment(service=PS | {"servers": 4})}).deployments["a"].service
    assert [ps.slowdown(n) for n in (1, 4, 6, 8)] == [1, 1, 1.5, 2]
    batch = {"kind": "batch", "growth": 0.1, "knee": 4}
    batch = scenario({"a": deployment(service=batch)}).deployments["a"].service
    assert [batch.slowdown(n) for n in (1, 2, 4, 8)] == pytest.approx([1, 1.1, 1.3, 2.6])
    made = [n / batch.slowdown(n) for n in range(1, 20)]
    assert all(b > a for a, b in itertools.pairwise(made[:4]))
    assert made[3:] == pytest.approx([made[3]] * len(made[3:]))


def busy(**changes):
    spec = varied(120).to_dict()
    for each in spec["deployments"].values():
        each |= changes
    return Scenario.from_dict(spec)


def test_load_makes_it_slower_and_moves_no_draw():
    """The first attempts' luck is the same; all that changes is how long they take."""
    plain, shared = run_one(busy()), run_one(busy(service=PS | {"servers": 2}))
    assert len(shared.requests["request"]) == len(plain.requests["request"])
    took = [np.mean(run.attempts["end_s"] - run.attempts["start_s"]) for run in (plain, shared)]
    assert took[1] > 1.05 * took[0]
    wide = run_one(busy(service=PS | {"servers": 10_000}))
    for column, values in plain.attempts.items():
        np.testing.assert_allclose(wide.attempts[column], values, atol=1e-7, err_msg=column)


def test_the_same_seed_gives_the_same_logs():
    spec = busy(service={"kind": "batch", "growth": 0.2, "knee": 3}, max_concurrency=6)
    assert digest(run_one(spec)) == digest(run_one(spec))


@pytest.mark.parametrize(
    ("service", "path", "suggestion"),
    [
        ({"kind": "procesor_sharing"}, "kind", "processor_sharing"),
        ({"servers": 2}, "kind", None),
        (PS | {"servers": 0}, "servers", None),
        ({"kind": "batch", "growth": 2, "knee": 4}, "growth", None),
        ({"kind": "batch", "growth": 0.1, "kneee": 4, "knee": 4}, "kneee", "knee"),
    ],
)
def test_what_cannot_be_is_refused(service, path, suggestion):
    with pytest.raises(ScenarioError) as caught:
        world(service=service)
    found = [(p.path, p.suggestion) for p in caught.value.problems]
    assert found == [(f"deployments.a.service.{path}", suggestion)]
