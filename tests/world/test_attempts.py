"""What one attempt meets: its length, its limits of time and its bill."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from simulation.runs import play
from simulation.scenarios import deployment, exp, scenario, traffic
from world.scripts import NONE, now, only, sending, streaming, world

from simsla.routing import (
    AttemptTimeout,
    ConnectError,
    ContextLengthExceeded,
    Deployment,
    NotFound,
    RateLimited,
    Request,
    ServerError,
    ServiceUnavailable,
    Timeouts,
)

# The answer and its length


def test_a_reply_tells_what_it_took():
    (reply, took), run = play(world(), sending())
    assert took == pytest.approx(0.1 + 100 * 0.01)
    assert (reply.deployment, reply.model) == ("a", "m")
    assert (reply.tokens_in, reply.tokens_out) == (1000, 100)
    assert reply.first_token_s == pytest.approx(0.1)
    assert reply.total_s == pytest.approx(took)
    row = only(run)
    assert row["cost_usd"] == pytest.approx((1000 * 1 + 100 * 2) / 1e6)
    assert row["first_token_s"] == pytest.approx(row["start_s"] + 0.1)


def test_one_total_latency_does_not_depend_on_the_length():
    (reply, took), _ = play(world(latency={"total": 0.7}), sending())
    assert took == pytest.approx(0.7)
    assert reply.first_token_s == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("asked", "given", "window", "tokens"),
    [
        (None, None, None, 100),
        (30, None, None, 30),
        (30, 50, None, 50),
        (30, 20, None, 20),
        (300, None, None, 100),
        (None, None, 1040, 40),
        (30, None, 1040, 30),
        (None, None, 1001, 1),
        (None, None, 128_000, 100),
    ],
)
def test_an_answer_ends_at_max_tokens_and_at_the_context_window(asked, given, window, tokens):
    spec = deployment() if window is None else deployment(context_window=window)
    (reply, took), run = play(
        scenario({"a": spec}, {"chat": traffic(max_tokens=asked)}), sending(max_tokens=given)
    )
    assert reply.tokens_out == tokens
    assert reply.finish_reason == ("stop" if tokens == 100 else "length")
    assert took == pytest.approx(0.1 + tokens * 0.01)
    assert only(run)["tokens_out"] == tokens


@pytest.mark.parametrize("window", [1000, 999, 10])
def test_a_prompt_that_leaves_no_room_is_a_400(window):
    (error, took), run = play(world(context_window=window), sending())
    assert type(error) is ContextLengthExceeded
    assert (error.status, error.deployment) == (400, "a")
    assert took == pytest.approx(0.05)
    row = only(run)
    assert row["outcome"] == "context_length"
    assert row["cost_usd"] == 0


def test_lengths_are_whole_and_at_least_one():
    classes = {"chat": traffic(prompt_tokens=0.2, output_tokens=exp(2))}
    (reply, _), _ = play(scenario(None, classes), sending())
    assert reply.tokens_in == 1
    assert reply.tokens_out >= 1


def test_an_unknown_deployment_is_a_404_with_the_nearest_name():
    async def script(transport, request):
        with pytest.raises(NotFound, match=r"did you mean 'a-us'\?") as caught:
            await transport.send(request, Deployment("a-uss", "m"), timeouts=NONE)
        return caught.value.status, caught.value.deployment

    found, run = play(scenario({"a-us": deployment()}), script)
    assert found == (404, "a-uss")
    assert len(run.attempts["request"]) == 0


# Errors


@pytest.mark.parametrize(
    ("kind", "error", "status", "later"),
    [
        (429, RateLimited, 429, True),
        (500, ServerError, 500, False),
        (503, ServiceUnavailable, 503, True),
        ("connect", ConnectError, None, False),
    ],
)
def test_error_shares_and_retry_after(kind, error, status, later):
    (raised, took), run = play(world(errors={kind: 1}, retry_after=7), sending())
    assert type(raised) is error
    assert (raised.status, raised.deployment) == (status, "a")
    assert raised.retry_after_s == (7 if later else None)
    assert took == pytest.approx(0.05)
    assert only(run)["cost_usd"] == 0


def test_no_retry_after_unless_the_deployment_sends_one():
    (raised, _), _ = play(world(errors={429: 1}), sending())
    assert raised.retry_after_s is None


# Limits of time


@pytest.mark.parametrize("run_it", [sending, streaming])
@pytest.mark.parametrize("limit", [0.04, 0.1, 0.5, 1.09])
def test_the_total_limit_ends_an_attempt_exactly_there(run_it, limit):
    result, run = play(world(), run_it(Timeouts(total_s=limit)))
    error, took = result[-2:]
    assert type(error) is AttemptTimeout
    assert error.phase == "total"
    assert took == pytest.approx(limit, abs=1e-9)
    row = only(run)
    assert row["outcome"] == "timeout"
    assert row["end_s"] == pytest.approx(row["start_s"] + limit)
    assert not row["cancelled"]


@pytest.mark.parametrize("run_it", [sending, streaming])
def test_a_limit_that_is_not_reached_changes_nothing(run_it):
    generous = Timeouts(connect_s=0.01, first_token_s=0.11, idle_s=0.011, total_s=1.11)
    result, run = play(world(), run_it(generous))
    assert result[-1] == pytest.approx(1.1)
    assert only(run)["outcome"] == "ok"


@pytest.mark.parametrize("run_it", [sending, streaming])
@pytest.mark.parametrize(
    ("limits", "phase", "ends"),
    [
        (Timeouts(connect_s=2), "connect", 2),
        (Timeouts(connect_s=2, total_s=5), "connect", 2),
        (Timeouts(connect_s=5, total_s=2), "total", 2),
        (Timeouts(total_s=5), "total", 5),
    ],
)
def test_a_connection_that_takes_too_long(run_it, limits, phase, ends):
    result, _ = play(world(errors={"connect": 1}, error_latency=10), run_it(limits))
    error, took = result[-2:]
    assert type(error) is AttemptTimeout
    assert error.phase == phase
    assert took == pytest.approx(ends)


def test_the_connect_limit_is_about_connections_only():
    result, _ = play(world(errors={500: 1}, error_latency=10), sending(Timeouts(connect_s=2)))
    assert type(result[0]) is ServerError
    assert result[1] == pytest.approx(10)


@pytest.mark.parametrize(
    ("limits", "phase", "ends"),
    [
        (Timeouts(first_token_s=0.06), "first_token", 0.06),
        (Timeouts(first_token_s=0.06, total_s=0.05), "total", 0.05),
        (Timeouts(first_token_s=0.06, total_s=0.07), "first_token", 0.06),
        (Timeouts(idle_s=0.004), "idle", 0.104),
        (Timeouts(idle_s=0.004, total_s=0.103), "total", 0.103),
        (Timeouts(first_token_s=0.2, idle_s=0.02, total_s=0.3), "total", 0.3),
    ],
)
def test_the_limits_of_a_stream(limits, phase, ends):
    (_, error, took), run = play(world(), streaming(limits))
    assert type(error) is AttemptTimeout
    assert error.phase == phase
    assert took == pytest.approx(ends, abs=1e-9)
    assert only(run)["outcome"] == "timeout"


@pytest.mark.parametrize("run_it", [sending, streaming])
def test_a_hang_ends_at_the_total_limit_and_is_not_billed(run_it):
    result, run = play(world(errors={"hang": 1}), run_it(Timeouts(connect_s=1, total_s=9)))
    error, took = result[-2:]
    assert error.phase == "total"
    assert took == pytest.approx(9)
    row = only(run)
    assert (row["tokens_in"], row["tokens_out"], row["cost_usd"]) == (0, 0, 0)


def test_a_hang_in_a_stream_ends_at_the_limit_of_the_first_token():
    (_, error, took), _ = play(
        world(errors={"hang": 1}), streaming(Timeouts(first_token_s=3, idle_s=1, total_s=9))
    )
    assert error.phase == "first_token"
    assert took == pytest.approx(3)


@pytest.mark.parametrize("timeouts", [Timeouts(total_s=0.5), Timeouts(connect_s=1, total_s=5), NONE])
def test_send_needs_no_extra_task(timeouts):
    async def script(transport, request):
        sent = asyncio.ensure_future(transport.send(request, transport.deployments[0], timeouts=timeouts))
        await asyncio.sleep(0.3)
        tasks = len(asyncio.all_tasks())
        await asyncio.wait([sent])
        sent.exception()
        return tasks

    # The run itself, this request, and the one task that the script made.
    tasks, _ = play(scenario(classes={"chat": traffic(0.01)}, horizon=1000), script)
    assert tasks == 3


# Streams


def test_a_stream_shows_every_token_when_it_comes():
    (chunks, error, took), run = play(world(), streaming())
    assert error is None
    assert took == pytest.approx(1.1)
    assert chunks[0][0] == pytest.approx(0.1)
    assert sum(chunk.tokens for _, chunk in chunks) == 100
    assert [chunk.finish_reason for _, chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    seen = np.cumsum([chunk.tokens for _, chunk in chunks])[1:]
    assert [at for at, _ in chunks[1:]] == pytest.approx(0.1 + seen * 0.01)
    row = only(run)
    assert row["outcome"] == "ok"
    assert row["cost_usd"] == pytest.approx((1000 * 1 + 100 * 2) / 1e6)


def test_a_stream_of_one_token_takes_as_long_as_send():
    (_, _, took), _ = play(world(), streaming(max_tokens=1))
    (_, sent), _ = play(world(), sending(max_tokens=1))
    assert took == pytest.approx(sent)


def test_a_slow_reader_does_not_slow_the_deployment():
    """The tokens come on the deployment's clock: a reader who lags finds them waiting."""
    (chunks, error, took), run = play(world(), streaming(pause_s=0.02))
    assert error is None
    # The last piece is there after 1.1 s, and the reader then pauses once more.
    assert took == pytest.approx(1.12)
    assert only(run)["end_s"] - only(run)["start_s"] == pytest.approx(1.1)
    assert len(chunks) > 5


@pytest.mark.parametrize("kind", [429, 500, 503, "connect"])
def test_errors_come_before_the_first_chunk(kind):
    (chunks, error, took), run = play(world(errors={kind: 1}), streaming())
    assert chunks == []
    assert error is not None
    assert took == pytest.approx(0.05)
    assert only(run)["cost_usd"] == 0


def test_leaving_a_stream_ends_the_attempt_at_once():
    (chunks, error, took), run = play(world(), streaming(leave_after=3))
    assert error is None
    assert took == pytest.approx(chunks[-1][0])
    row = only(run)
    assert row["outcome"] == "cancelled"
    assert row["cancelled"]
    assert row["end_s"] - row["start_s"] == pytest.approx(took)


def test_leaving_a_stream_that_was_never_read_frees_its_slot():
    async def script(transport, request):
        async with transport.stream(request, transport.deployments[0], timeouts=NONE):
            pass
        begin = now()
        await transport.send(request, transport.deployments[0], timeouts=NONE)
        return now() - begin

    took, run = play(world(max_concurrency=1), script)
    assert took == pytest.approx(1.1)
    assert list(run.log.attempts_frame()["outcome"]) == ["cancelled", "ok"]


# Billing


@settings(max_examples=60, deadline=None)
@given(
    leave_after=st.integers(1, 8), per_token=st.sampled_from([0.01, 0.003, 1 / 3, 0.0]), first=st.floats(0, 1)
)
@example(leave_after=1, per_token=0.01, first=0.1)
def test_every_token_that_was_seen_is_billed(leave_after, per_token, first):
    spec = world(latency={"first_token": first, "per_token": per_token})
    (chunks, _, _), run = play(spec, streaming(leave_after=leave_after))
    row = only(run)
    seen = sum(chunk.tokens for _, chunk in chunks)
    assert row["tokens_in"] == 1000
    # Without a time per token the whole answer is there with its first token.
    assert row["tokens_out"] == (100 if per_token == 0 else seen)
    assert row["cost_usd"] == pytest.approx((1000 * 1 + row["tokens_out"] * 2) / 1e6)


@pytest.mark.parametrize(
    ("rule", "tokens"), [("generated", (1000, 40)), ("full", (1000, 100)), ("none", (0, 0))]
)
@pytest.mark.parametrize("how", ["cancelled", "timed_out"])
def test_an_attempt_that_is_broken_off_is_billed_by_rule(rule, tokens, how):
    async def script(transport, request):
        limits = Timeouts(total_s=0.505 if how == "timed_out" else None)
        sent = asyncio.ensure_future(transport.send(request, transport.deployments[0], timeouts=limits))
        if how == "cancelled":
            await asyncio.sleep(0.505)
            sent.cancel()
        await asyncio.wait([sent])
        assert sent.cancelled() or sent.exception()

    other = {"cancelled": "timed_out", "timed_out": "cancelled"}[how]
    opposite = "none" if rule != "none" else "full"
    _, run = play(world(billing={how: rule, other: opposite}), script)
    row = only(run)
    assert row["outcome"] == {"cancelled": "cancelled", "timed_out": "timeout"}[how]
    assert row["cancelled"] == (how == "cancelled")
    assert (row["tokens_in"], row["tokens_out"]) == tokens
    assert row["cost_usd"] == pytest.approx((tokens[0] * 1 + tokens[1] * 2) / 1e6)


def test_before_the_first_token_only_the_prompt_is_billed():
    _, run = play(world(), sending(Timeouts(total_s=0.05)))
    row = only(run)
    assert (row["tokens_in"], row["tokens_out"]) == (1000, 0)
    assert np.isnan(row["first_token_s"])


@pytest.mark.parametrize("rule", ["generated", "full"])
def test_an_attempt_that_was_not_yet_served_costs_nothing(rule):
    async def script(transport, request):
        deployment = transport.deployments[0]
        first = asyncio.ensure_future(transport.send(request, deployment, timeouts=NONE))
        await asyncio.sleep(0)
        with pytest.raises(AttemptTimeout):
            await transport.send(request, deployment, timeouts=Timeouts(total_s=0.5))
        queued = asyncio.ensure_future(transport.send(request, deployment, timeouts=NONE))
        await asyncio.sleep(0.1)
        queued.cancel()
        await first

    _, run = play(world(max_concurrency=1, billing={"cancelled": rule, "timed_out": rule}), script)
    frame = run.log.attempts_frame().set_index("outcome")
    assert frame.loc["timeout", "cost_usd"] == 0
    assert frame.loc["timeout", "queued_s"] == pytest.approx(0.5)
    assert frame.loc["cancelled", "cost_usd"] == 0
    assert frame.loc["cancelled", "queued_s"] == pytest.approx(0.1)


# Calls that a policy makes for itself


def test_nobodys_calls_are_answered_and_logged_under_nobody():
    async def script(transport, request):
        return await transport.send(Request("warm-up", prompt_tokens=7), transport.deployments[0])

    reply, run = play(world(), script)
    assert reply.tokens_in == 7
    assert reply.tokens_out > 0
    assert only(run)["request"] == -1
    assert run.unowned == 1
