"""Requests for the rest of an answer: the world generates and bills only what is missing."""

from __future__ import annotations

import math

import pytest
from simulation.runs import play
from simulation.scenarios import deployment, scenario, traffic
from world.scripts import only, streaming, world

import simsla
from simsla.routing import AttemptTimeout, Router, RoutingPolicy, Timeouts
from simsla.simulation import run_one

NONE = Timeouts()


def rest_of(request, prefix, max_tokens=None):
    return request.derive(
        purpose="answer",
        id=request.id,
        parent_id=None,
        prompt_tokens=request.prompt_tokens + prefix,
        prefix_tokens=prefix,
        max_tokens=max_tokens,
    )


@pytest.mark.parametrize("how", ["send", "stream"])
@pytest.mark.parametrize(
    ("prefix", "most", "tokens", "reason"),
    [
        (0, None, 100, "stop"),
        (30, None, 70, "stop"),
        (30, 70, 70, "stop"),
        (30, 20, 20, "length"),
        (99, None, 1, "stop"),
        (100, None, 1, "stop"),
        (250, None, 1, "stop"),
    ],
)
def test_only_the_rest_is_generated_and_billed(how, prefix, most, tokens, reason):
    async def script(transport, request):
        request = rest_of(request, prefix, most)
        if how == "send":
            reply = await transport.send(request, transport.deployments[0], timeouts=NONE)
            return reply.tokens_out, reply.finish_reason
        async with transport.stream(request, transport.deployments[0], timeouts=NONE) as stream:
            chunks = [chunk async for chunk in stream]
        return sum(chunk.tokens for chunk in chunks), chunks[-1].finish_reason

    result, run = play(world(), script)
    assert result == (tokens, reason)
    row = only(run)
    assert (row["tokens_in"], row["tokens_out"]) == (1000 + prefix, tokens)
    assert row["end_s"] - row["start_s"] == pytest.approx(0.1 + tokens * 0.01)
    assert row["cost_usd"] == pytest.approx(((1000 + prefix) * 1 + tokens * 2) / 1e6)


def test_the_rest_needs_room_in_the_context_window():
    async def script(transport, request):
        reply = await transport.send(rest_of(request, 50), transport.deployments[0], timeouts=NONE)
        return reply.tokens_out, reply.finish_reason

    assert play(world(context_window=1070), script)[0] == (20, "length")


def test_the_log_tells_of_the_whole_answer():
    def resumed(transport):
        async def handle(request):
            seen = await streaming(Timeouts(total_s=0.3))(transport, request)
            assert type(seen[1]) is AttemptTimeout
            return await transport.send(rest_of(request, 17), transport.deployments[1], timeouts=NONE)

        return handle

    two = {"a": deployment(), "b": deployment()}
    frame = run_one(scenario(two, {"chat": traffic(0.1)}), resumed).log.requests_frame()
    assert len(frame) > 3
    assert set(frame["outcome"]) == {"ok"}
    assert set(frame["deployment"]) == {"b"}
    assert set(frame["output_tokens"]) == {100}
    assert (frame["first_token_s"] - frame["arrival_s"]).to_numpy() == pytest.approx(0.1)


def test_an_attempt_anew_has_a_first_token_of_its_own():
    def anew(transport):
        async def handle(request):
            with pytest.raises(AttemptTimeout):
                await transport.send(request, transport.deployments[0], timeouts=Timeouts(total_s=0.3))
            return await transport.send(request, transport.deployments[1], timeouts=NONE)

        return handle

    two = {"a": deployment(), "b": deployment()}
    frame = run_one(scenario(two, {"chat": traffic(0.1)}), anew).log.requests_frame()
    assert (frame["first_token_s"] - frame["arrival_s"]).to_numpy() == pytest.approx(0.4)


# The Router in the world

STALLS = {
    "kind": "mixture",
    "parts": [{"weight": w, "kind": "constant", "value": value} for w, value in ((0.8, 0.01), (0.2, 2.0))],
}
LIMITS = {"first_token_s": 1, "idle_s": 0.5, "total_s": 30}


def stalling(**routing):
    """One answer in five comes at 2 s a token, which outlasts every deadline."""
    return scenario(
        {
            name: deployment(latency={"first_token": 0.1, "per_token": STALLS}, errors={"hang": 0.05})
            for name in ("a", "b", "c")
        },
        {"chat": traffic(2.0, stream=True, deadline=60)},
        horizon=300,
        routing={"deadline_s": 60, "timeouts": LIMITS, "breaker": None, **routing},
    )


def test_streaming_sees_a_stall_long_before_the_total_limit():
    sent = simsla.simulate(stalling(), seed=3, replications=2)
    streamed = simsla.simulate(stalling(streaming={}), seed=3, replications=2)
    resumed = simsla.simulate(stalling(streaming={"resume": True}), seed=3, replications=2)

    def availability(result):
        return result.availability.value

    # A stall fails an answer that its client has begun to read, unless it is resumed at one of the others.
    assert availability(streamed) == pytest.approx(0.8, abs=0.05)
    assert availability(resumed) == pytest.approx(1 - (0.05 + 0.95 * 0.2) ** 3, abs=0.01)
    assert availability(sent) == pytest.approx(1 - (0.05 + 0.95 * 0.2) ** 2, abs=0.02)
    assert sent.latency(0.95).value > 30
    assert resumed.latency(0.95).value < 4
    assert set(resumed.requests.query("outcome == 'ok'")["output_tokens"]) == {100}


def test_the_first_token_of_a_resumed_answer_is_the_one_that_the_client_saw_first():
    result = simsla.simulate(stalling(streaming={"resume": True}), seed=3, replications=2)
    ok = result.requests.query("outcome == 'ok'").set_index(["replication", "request"])
    first = result.attempts.groupby(["replication", "request"])["first_token_s"].min()
    assert ok["first_token_s"].to_numpy() == pytest.approx(first.loc[ok.index].to_numpy())
    tail = ok["end_s"] - ok["first_token_s"]
    assert tail.max() > 1.5 > tail.min(), "some were resumed after their first token"


def test_a_stream_read_in_virtual_time_and_left():
    async def script(transport, request):
        policy = RoutingPolicy.from_dict({"timeouts": LIMITS})
        texts = []
        async for chunk in Router(policy, transport).stream(request):
            texts.append(chunk.tokens)
            if len(texts) == 3:
                break
        return sum(texts)

    seen, run = play(world(), script)
    row = only(run)
    assert (row["outcome"], row["tokens_out"]) == ("cancelled", seen)
    assert row["end_s"] - row["start_s"] == pytest.approx(0.1 + 33 * 0.01)
    assert not math.isnan(row["first_token_s"])
