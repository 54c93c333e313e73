"""Limits on rate and concurrency, kept by the provider: for one deployment, and for all of an account."""

from __future__ import annotations

import asyncio
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation.runs import play
from simulation.scenarios import deployment, exp, scenario, scheduled, traffic
from world.scripts import NONE, now, only, sending, world

import simsla
from simsla.records import ATTEMPT_OUTCOMES
from simsla.routing import ConnectError, RateLimited
from simsla.scenario import Scenario, ScenarioError
from simsla.simulation import run_one
from simsla.world.accounts import Bucket

RATE_LIMITED = ATTEMPT_OUTCOMES.index("rate_limited")


def team(**limits):
    """Two deployments of one account."""
    return scenario(
        {"a": deployment(account="team"), "b": deployment(account="team")}, accounts={"team": limits}
    )


def call_once(transport):
    async def handle(request):
        return await transport.send(request, transport.deployments[0], timeouts=NONE)

    return handle


async def ask(transport, request, which=0):
    try:
        return await transport.send(request, transport.deployments[which], timeouts=NONE)
    except RateLimited as error:
        return error


def one_after_another(*which):
    """A script that starts a call to each of these deployments at once; the ends of all."""

    async def script(transport, request):
        return await asyncio.gather(*(ask(transport, request, each) for each in which))

    return script


def kinds(results):
    return [type(each).__name__ for each in results]


# Buckets


def test_a_bucket_is_full_at_first_and_fills_at_its_rate():
    results, _ = play(world(rpm=60, burst="3s"), one_after_another(0, 0, 0, 0))
    assert kinds(results) == ["Reply", "Reply", "Reply", "RateLimited"]

    async def later(transport, request):
        first = await asyncio.gather(*(ask(transport, request) for _ in range(4)))
        await asyncio.sleep(5)  # The bucket holds three again, not five.
        return first + await asyncio.gather(*(ask(transport, request) for _ in range(4)))

    results, _ = play(world(rpm=60, burst="3s"), later)
    assert kinds(results) == (["Reply"] * 3 + ["RateLimited"]) * 2


def test_a_minute_is_granted_at_once_unless_a_burst_is_given():
    run = run_one(scenario({"a": deployment(rpm=10)}, {"chat": traffic(5)}, horizon=10), call_once)
    assert (run.attempts["outcome"] != RATE_LIMITED).sum() == 10 + math.floor(10 / 6)


def test_who_waits_for_as_long_as_he_is_told_gets_in_and_who_comes_sooner_does_not():
    async def script(transport, request):
        await ask(transport, request)
        refused = await ask(transport, request)
        told = refused.retry_after_s
        started = now() - 0.05  # The refusal took so long.
        await asyncio.sleep(started + told - 1e-6 - now())
        too_soon = await ask(transport, request)
        in_time = await ask(transport, request)
        return told, too_soon, in_time

    (told, too_soon, in_time), _ = play(world(rpm=7, burst="1s"), script)
    assert told == pytest.approx(60 / 7 - 1.1)
    assert kinds([too_soon, in_time]) == ["RateLimited", "Reply"]


@settings(max_examples=60, deadline=None)
@given(
    per_minute=st.floats(0.1, 1e6),
    burst=st.floats(0.01, 600),
    amounts=st.lists(st.floats(0.01, 2000), min_size=1, max_size=30),
    start=st.floats(0, 1e7),
)
def test_waiting_exactly_so_long_is_always_enough(per_minute, burst, amounts, start):
    bucket, at = Bucket("tokens", per_minute, burst), start
    for amount in amounts:
        wait_s = bucket.wait_s(amount, at)
        if wait_s == math.inf:
            assert amount > bucket.size
            continue
        at += wait_s
        assert bucket.wait_s(amount, at) <= 1e-6 * max(1.0, wait_s)
        bucket.take(amount, at)
        assert 0 <= bucket.level(at) <= bucket.size


def test_tokens_are_those_of_the_prompt_and_the_most_asked_for():
    # 1,000 tokens in and, unless fewer are asked for, 100 out.
    def accepted(tpm, **options):
        (result, _), _ = play(world(tpm=tpm, burst="60s"), sending(**options))
        return kinds([result]) == ["Reply"]

    assert accepted(1100)
    assert not accepted(1099)
    assert accepted(1010, max_tokens=10)
    assert not accepted(1009, max_tokens=10)


def test_what_never_fits_is_not_told_when_to_come_again():
    (error, _), _ = play(world(tpm=500), sending())
    assert kinds([error]) == ["RateLimited"]
    assert error.retry_after_s is None
    (error, _), _ = play(world(tpm=500, retry_after=9), sending())
    assert error.retry_after_s == 9


def test_a_refused_attempt_uses_up_nothing():
    """A bucket of tokens refuses; the one of requests has lost nothing by it."""
    spec = world(rpm=60, tpm=66_000, burst="1s")  # One request a second, 1,100 tokens a second.

    async def script(transport, request):
        big = request.replace(prompt_tokens=5000)
        refused = await ask(transport, big)
        return refused, await ask(transport, request)

    results, _ = play(spec, script)
    assert kinds(results) == ["RateLimited", "Reply"]


# Accounts


def test_an_account_is_shared_by_its_deployments():
    results, _ = play(team(rpm=60, burst="2s"), one_after_another(0, 1, 0, 1))
    assert kinds(results) == ["Reply", "Reply", "RateLimited", "RateLimited"]
    apart = scenario(
        {"a": deployment(account="x"), "b": deployment(account="y")},
        accounts={"x": {"rpm": 60, "burst": "2s"}, "y": {"rpm": 60, "burst": "2s"}},
    )
    results, _ = play(apart, one_after_another(0, 1, 0, 1))
    assert kinds(results) == ["Reply"] * 4


def test_the_limits_of_a_deployment_hold_besides_those_of_its_account():
    spec = scenario(
        {"a": deployment(account="team", rpm=60, burst="1s"), "b": deployment(account="team")},
        accounts={"team": {"rpm": 60, "burst": "2s"}},
    )
    results, _ = play(spec, one_after_another(0, 0, 1, 1))
    assert kinds(results) == ["Reply", "RateLimited", "Reply", "RateLimited"]


@pytest.mark.parametrize("end", ["answered", "cancelled", "timed out"])
def test_concurrency_is_given_back_however_an_attempt_ends(end):
    async def script(transport, request):
        held = asyncio.ensure_future(transport.send(request, transport.deployments[0], timeouts=NONE))
        await asyncio.sleep(0.5)
        refused = await ask(transport, request, 1)
        if end == "cancelled":
            held.cancel()
        await asyncio.wait([held])
        return refused, await ask(transport, request, 1)

    results, run = play(team(max_concurrency=1), script)
    assert kinds(results) == ["RateLimited", "Reply"]
    assert results[0].retry_after_s is None
    assert len(run.attempts["start_s"]) == 3


def test_those_who_wait_for_a_slot_count_as_in_progress():
    spec = scenario(
        {"a": deployment(account="team", max_concurrency=1), "b": deployment(account="team")},
        accounts={"team": {"max_concurrency": 2}},
    )

    async def script(transport, request):
        tasks = [asyncio.ensure_future(ask(transport, request)) for _ in range(2)]
        await asyncio.sleep(0.1)
        refused = await ask(transport, request, 1)
        tasks[1].cancel()  # It still waits for its slot.
        await asyncio.sleep(0)
        again = await ask(transport, request, 1)
        await asyncio.wait(tasks)
        return refused, again

    results, _ = play(spec, script)
    assert kinds(results) == ["RateLimited", "Reply"]


def test_streams_are_limited_too():
    async def script(transport, request):
        seen = []
        for _ in range(2):
            try:
                async with transport.stream(request, transport.deployments[0], timeouts=NONE) as stream:
                    seen.append([chunk async for chunk in stream])
            except RateLimited as error:
                seen.append(error)
        return seen

    (first, second), _ = play(world(rpm=10, burst="1s"), script)
    assert sum(chunk.tokens for chunk in first) == 100
    assert second.retry_after_s == pytest.approx(6 - 1.1)


def test_an_account_that_fails_takes_its_deployments_with_it():
    spec = scenario(
        {"a": deployment(account="team")},
        accounts={"team": {"faults": [scheduled("outage", 0, 1000)]}},
    )
    assert spec.all_components["team"].kind == "account"
    (error, _), run = play(spec, sending())
    assert type(error) is ConnectError
    assert only(run)["outcome"] == "connect"


FAMILY = {"parent": "acme", "beta": 1.0, "crew": "ops", "faults": [{"kind": "outage", "uptime": exp(50)}]}


def test_accounts_are_siblings_and_are_repaired_like_other_components():
    """A fault of one account of a provider may be a fault of all of them; and somebody must repair it."""
    for faults in FAMILY["faults"]:
        faults["repair"] = exp(10)
    spec = scenario(
        {"a": deployment(account="one"), "b": deployment(account="two")},
        components={"acme": {}},
        accounts={"one": FAMILY, "two": {"parent": "acme"}},
        crews={"ops": 1},
    )
    assert Scenario.from_dict(spec.to_dict()) == spec
    found = simsla.timeline(spec, years=0.01).frame()
    one, two = (found[found["component"] == name].reset_index(drop=True) for name in ("one", "two"))
    assert len(one) > 1000
    assert one["start_s"].equals(two["start_s"])
    with pytest.raises(ScenarioError) as caught:
        scenario(accounts={"one": {"parent": "acne", "beta": 1.0}}, components={"acme": {}})
    assert [(p.path, p.suggestion) for p in caught.value.problems] == [("accounts.one.parent", "acme")]


# What is told


def test_headers_tell_of_the_limit_and_what_is_left():
    (reply, _), _ = play(world(rpm=600, tpm=66_000, burst="10s"), sending())
    assert reply.metadata["headers"] == {
        "x-ratelimit-limit-requests": "600",
        "x-ratelimit-remaining-requests": "100",  # 99, and 11 in 1.1 s
        "x-ratelimit-reset-requests": "0.000s",
        "x-ratelimit-limit-tokens": "66000",
        "x-ratelimit-remaining-tokens": "11000",
        "x-ratelimit-reset-tokens": "0.000s",
    }
    (error, _), _ = play(world(tpm=1099), sending())
    assert error.headers["x-ratelimit-limit-tokens"] == "1099"
    assert error.headers["x-ratelimit-remaining-tokens"] == "1099"


def test_headers_are_those_of_the_tighter_limit():
    spec = scenario({"a": deployment(account="team", rpm=600)}, accounts={"team": {"rpm": 60}})
    (reply, _), _ = play(spec, sending())
    assert reply.metadata["headers"]["x-ratelimit-limit-requests"] == "60"


def test_without_limits_nothing_is_told():
    (reply, _), _ = play(scenario({"a": deployment(account="team")}, accounts={"team": {}}), sending())
    assert reply.metadata is None


# In the long run


@pytest.mark.parametrize("burst", ["1s", "60s"])
def test_the_long_run_rate_is_the_one_granted(burst):
    """Twice as many come as are granted: r t + b get in, exactly, as long as some are always refused."""
    horizon, rpm = 3600.0, 120
    spec = scenario({"a": deployment(rpm=rpm, burst=burst)}, {"chat": traffic(4)}, horizon=horizon)
    run = run_one(spec, call_once)
    admitted = (run.attempts["outcome"] != RATE_LIMITED).sum()
    granted = rpm / 60 * horizon + rpm / 60 * {"1s": 1, "60s": 60}[burst]
    assert 0.93 * granted < admitted <= granted


@pytest.mark.parametrize("burst", ["5s", "60s"])
def test_the_long_run_rate_of_tokens_is_the_one_granted(burst):
    """Under overload r t + b tokens get in, less at most what is too little for one more request.

    Prompts and answers of every length: what counts is the sum over those that got in.
    """
    horizon, tpm = 3600.0, 120_000
    lengths = {
        "prompt_tokens": {"kind": "lognormal", "mean": 800, "sigma": 0.8},
        "output_tokens": {"kind": "lognormal", "mean": 200, "sigma": 0.8},
    }
    spec = scenario({"a": deployment(tpm=tpm, burst=burst)}, {"chat": traffic(4, **lengths)}, horizon=horizon)
    run = run_one(spec, call_once)
    frame = run.log.attempts_frame()
    admitted = frame[frame["outcome"] == "ok"]
    tokens = (admitted["tokens_in"] + admitted["tokens_out"]).sum()
    granted = tpm / 60 * (horizon + {"5s": 5, "60s": 60}[burst])
    assert (frame["outcome"] == "rate_limited").mean() > 0.3
    assert 0.93 * granted < tokens <= granted


def test_within_any_time_no_more_than_the_burst_and_the_rate_get_in():
    spec = scenario({"a": deployment(rpm=90, burst="20s")}, {"chat": traffic(5)}, horizon=600)
    run = run_one(spec, call_once)
    times = np.sort(run.attempts["start_s"][run.attempts["outcome"] != RATE_LIMITED])
    count = np.arange(len(times))
    # For each pair i < j: j - i + 1 <= 30 + 1.5 (t_j - t_i).
    slack = 1.5 * times - count
    assert len(times) > 800
    assert (np.maximum.accumulate(-slack) + slack >= 1 - 30 - 1e-6).all()


def test_a_limit_above_the_load_changes_nothing_but_the_headers():
    """Nor does it move any draw."""
    free, limited = (run_one(world(**limits), call_once) for limits in ({}, {"rpm": 10_000}))
    for column, values in free.attempts.items():
        np.testing.assert_array_equal(values, limited.attempts[column], column)


# The scenario


def test_an_account_is_read_and_written():
    spec = team(rpm=500, tpm=30_000, burst="1s", max_concurrency=100)
    assert spec.accounts["team"].burst_s == 1.0
    assert spec.deployments["a"].to_deployment().components == ("team",)
    assert Scenario.from_dict(spec.to_dict()) == spec
    assert spec.with_values({"accounts.team.rpm": 7}).accounts["team"].rpm == 7


@pytest.mark.parametrize(
    ("change", "path", "suggestion"),
    [
        ({"deployments": {"a": deployment(account="taem")}}, "deployments.a.account", "team"),
        ({"accounts": {"team": {"rpmm": 1}}}, "accounts.team.rpmm", "rpm"),
        ({"accounts": {"team": {"rpm": 0}}}, "accounts.team.rpm", None),
        ({"accounts": {"team": {"burst": "1s"}}}, "accounts.team.burst", None),
        ({"accounts": {"team": {"max_concurrency": 0}}}, "accounts.team.max_concurrency", None),
        ({"components": {"team": {}}}, "accounts.team", None),
        ({"deployments": {"a": deployment(burst=3)}}, "deployments.a.burst", None),
    ],
)
def test_what_cannot_be_is_refused(change, path, suggestion):
    data = team(rpm=60).to_dict() | change
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_dict(data)
    assert [(p.path, p.suggestion) for p in caught.value.problems] == [(path, suggestion)]
