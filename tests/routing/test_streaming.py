"""Answers in chunks: limits of time, fail-over before the first token, leaving, stages and `handle`."""

from __future__ import annotations

import asyncio
import gc
from contextlib import asynccontextmanager

import pytest
from routing.fakes import HANG, ScriptedTransport, Streamed, deployment, fails, play, policy
from routing.streams import (
    ABC,
    CUT,
    PRICED,
    RESUME,
    THREE,
    TIGHT,
    Ledger,
    ask,
    handled,
    reading,
    said,
    watched,
)

from simsla.routing import (
    AllAttemptsFailed,
    AttemptTimeout,
    BadRequest,
    Chunk,
    ConnectError,
    ContentFiltered,
    DeadlineExceeded,
    MalformedReply,
    NoDeployment,
    Reply,
    Request,
    Router,
    ServerError,
    StreamInterrupted,
    Timeouts,
)
from simsla.routing.progress import Progress
from simsla.routing.router.clock import LoopClock
from simsla.routing.router.streaming import Streams
from simsla.routing.selection.chains import Candidate
from simsla.routing.streaming.policy import StreamingPolicy


def test_chunks_come_when_they_come_and_the_reply_with_the_last():
    async def main():
        stream = Router(policy(), transport).stream(Request(1, prompt_tokens=7))
        replies = [(chunk.text, chunk.finish_reason, stream.reply) async for chunk in stream]
        return replies, stream.reply

    transport = ScriptedTransport(ABC, {"a": [Streamed(0.5, 0.25, 0.25)]})
    replies, reply = play(main())
    assert replies == [("0 ", None, None), ("1 ", None, None), ("2 ", "stop", reply)]
    assert (reply.text, reply.deployment, reply.model) == ("0 1 2 ", "a", "model")
    assert (reply.tokens_in, reply.tokens_out, reply.finish_reason) == (7, 3, "stop")
    assert (reply.first_token_s, reply.total_s) == (pytest.approx(0.5), pytest.approx(1.0))
    assert reply.metadata is None
    assert [step.what for step in reply.explanation.steps] == ["attempt", "answered"]
    texts, _ = ask(ScriptedTransport(ABC, {"a": [Streamed(0.5, 0.25, 0.25)]}), policy())
    assert texts == [(0.5, "0 "), (0.75, "1 "), (1.0, "2 ")]


def test_nothing_happens_before_the_first_chunk_is_asked_for():
    async def main():
        router = Router(policy(deadline_s=2), transport)
        forgotten, closed, stream = (router.stream(Request(number)) for number in range(3))
        await closed.aclose()
        await asyncio.sleep(5)
        assert transport.called == []
        del forgotten
        return await stream.read()

    transport = ScriptedTransport(ABC)
    assert isinstance(play(main()), Reply)
    assert transport.called == ["a"]


def test_a_stream_that_was_left_has_no_reply():
    async def main():
        stream = Router(policy(), ScriptedTransport(ABC, {"a": [THREE]})).stream(Request(1))
        await anext(stream)
        await stream.aclose()
        await stream.aclose()
        assert [chunk async for chunk in stream] == []
        with pytest.raises(RuntimeError, match="left before its end"):
            await stream.read()

    play(main())


def test_a_degraded_answer_says_so():
    tiers = [deployment("p", "premium"), deployment("s")]
    transport = ScriptedTransport(tiers, {"p": [fails(ServerError)], "s": [THREE]})
    _, reply = ask(transport, policy(), Request(1, tier="premium"))
    assert reply.metadata["note"] == "asked for premium, answered by s at attempt 2, which is standard"


# Limits of time, and fail-over


@pytest.mark.parametrize(
    ("script", "phase", "took_s"),
    [
        (HANG, "first_token", 1),
        (Streamed(1.5, 0.1), "first_token", 1),
        (Streamed(0.5, 2.5, 0.1), "idle", 2.5),
        (Streamed(0.5, 1.9, 1.9), "total", 4),
        (Streamed(0.5, 1.0, error=ServerError, then_s=9), "idle", 3.5),
    ],
)
def test_each_limit_ends_the_attempt_and_says_which_it_was(script, phase, took_s):
    async def main():
        loop = asyncio.get_running_loop()
        start = loop.time()
        texts, error = await reading(Router(routing, transport), Request(1))
        return texts, error, loop.time() - start

    ledger = Ledger()
    routing = watched(ledger, timeouts=TIGHT, max_attempts=1)
    transport = ScriptedTransport(ABC, {"a": [script]})
    texts, error, took = play(main())
    if phase == "first_token":
        assert isinstance(error, AllAttemptsFailed)
        assert texts == []
        error = error.errors[0]
    assert isinstance(error, AttemptTimeout)
    assert (error.phase, error.deployment) == (phase, "a")
    assert took == pytest.approx(took_s)
    assert ledger.ends == ["timeout"]
    assert transport.in_flight["a"] == 0


@pytest.mark.parametrize(
    "script", [fails(ServerError), fails(ConnectError), HANG, Streamed(cut=True), Streamed(1.5, 0.1)]
)
def test_before_the_first_token_the_next_deployment_is_tried(script):
    ledger = Ledger()
    transport = ScriptedTransport(ABC, {"a": [script], "b": [THREE]})
    texts, reply = ask(transport, watched(ledger, timeouts=TIGHT))
    assert said(texts) == "0 1 2 "
    assert transport.called == ["a", "b"]
    assert (reply.deployment, reply.metadata["attempts"]) == ("b", 2)
    assert len(ledger.ends) == 2
    assert ledger.ends[1] == "succeeded"


class Greeting(ScriptedTransport):
    """Begins each stream with a chunk of nothing, as OpenAI's servers do with the role."""

    async def _chunks(self, *args):
        yield Chunk("", 0)
        async for chunk in super()._chunks(*args):
            yield chunk


def test_a_chunk_of_nothing_is_no_token():
    for section in ({}, {"resume": True}):
        transport = Greeting(ABC, {"a": [fails(ServerError)], "b": [THREE]})
        texts, reply = ask(transport, policy(streaming=section))
        assert said(texts) == "0 1 2 "
        assert (reply.deployment, reply.tokens_out) == ("b", 3)
        assert transport.requests[1] is transport.requests[0]


@pytest.mark.parametrize("error", [StreamInterrupted, ServerError, MalformedReply, ContentFiltered])
def test_after_the_first_token_the_error_is_the_callers(error):
    ledger = Ledger()
    transport = ScriptedTransport(ABC, {"a": [Streamed(0.1, 0.1, error=error, then_s=0.1)]})
    texts, raised = ask(transport, watched(ledger))
    assert said(texts) == "0 1 "
    assert type(raised) is error
    assert transport.called == ["a"]
    assert ledger.ends == ["released" if error is ContentFiltered else error.kind]
    assert [(step.what, step.why) for step in raised.explanation.steps] == [
        ("attempt", ""),
        ("failed", error.kind),
    ]
    assert raised.explanation.steps[1].at_s - raised.explanation.steps[0].at_s == pytest.approx(0.3)


def test_the_callers_error_keeps_its_cause_and_nothing_is_left_to_the_garbage_collector():
    cause = OSError("connection reset")

    class Caused(ScriptedTransport):
        async def _chunks(self, *args):
            async for chunk in super()._chunks(*args):
                yield chunk
                raise StreamInterrupted("cut") from cause

    async def main():
        router = Router(policy(), Caused(ABC, {"a": [THREE]}))
        with pytest.raises(StreamInterrupted) as caught:
            await router.stream(Request(1)).read()
        assert caught.value.__cause__ is cause
        assert caught.value.deployment == "a"
        del caught
        gc.collect()
        gc.disable()
        try:
            with pytest.raises(StreamInterrupted):
                await router.stream(Request(1)).read()
            failed = gc.collect()
            stream = router.stream(Request(1))
            await anext(stream)
            await stream.aclose()
            del stream
            return failed, gc.collect()
        finally:
            gc.enable()

    assert play(main()) == (0, 0)


def test_a_stream_without_its_last_chunk_was_interrupted():
    texts, error = ask(ScriptedTransport(ABC, {"a": [Streamed(0.1, 0.1, cut=True)]}), policy())
    assert said(texts) == "0 1 "
    assert type(error) is StreamInterrupted
    assert str(error) == "a: stream_interrupted: ended before its last chunk"


def test_a_stream_that_broke_off_counts_for_the_breaker():
    async def main():
        router = Router(policy(breaker={"failures": 1}), transport)
        return [await reading(router, Request(number)) for number in range(2)]

    transport = ScriptedTransport(ABC, {"a": [CUT], "b": [THREE]})
    (_, first), (texts, second) = play(main())
    assert type(first) is StreamInterrupted
    assert (said(texts), second.deployment) == ("0 1 2 ", "b")


def test_a_hurried_stream_is_not_held_against_its_deployment():
    ledger = Ledger()
    transport = ScriptedTransport(ABC[:2], {"a": [HANG], "b": [Streamed(0.5, 9)]})
    routing = watched(ledger, deadline_s=5, timeouts={"total_s": 4, "first_token_s": 4})
    _, error = ask(transport, routing)
    assert (type(error), error.phase, error.deployment) == (AttemptTimeout, "total", "b")
    assert ledger.ends == ["timeout", "released"]


def test_verdicts_are_those_of_handle():
    assert type(ask(ScriptedTransport([]), policy())[1]) is NoDeployment
    assert type(ask(ScriptedTransport(ABC, {"a": [fails(BadRequest)]}), policy())[1]) is BadRequest
    hung = ScriptedTransport(ABC, {name: [HANG] for name in "abc"})
    texts, error = ask(hung, policy(deadline_s=10, timeouts={"total_s": 6}))
    assert (texts, type(error)) == ([], DeadlineExceeded)
    assert len(error.errors) == 2


def test_the_spend_cap_of_an_attempt_reaches_the_stream():
    class Capped(Ledger):
        def admit(self, progress, now):
            progress.max_tokens = 2
            return super().admit(progress, now)

    texts, reply = ask(ScriptedTransport(ABC, {"a": [THREE]}), watched(Capped()))
    assert (said(texts), reply.finish_reason) == ("0 1 ", "length")


# Leaving and cancelling


@pytest.mark.parametrize("how", ["break", "aclose", "context", "cancel", "forget"])
def test_leaving_frees_the_capacity_and_the_ticket(how):
    async def leave(router):
        stream = router.stream(Request(1))
        if how == "forget":
            # Nothing refers to the stream after the loop.
            del stream
            async for _ in router.stream(Request(1)):
                break
            for _ in range(5):  # the loop hears of it and makes a task
                await asyncio.sleep(0)
        elif how == "context":
            async with stream:
                await anext(stream)
        elif how == "cancel":
            task = asyncio.create_task(stream.read())
            await asyncio.sleep(0.15)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            async for _ in stream:
                break
            await stream.aclose()
        assert transport.in_flight["a"] == 0
        assert ledger.ends == ["released"]
        return asyncio.get_running_loop().time()

    async def main():
        router = Router(watched(ledger), transport)
        start = asyncio.get_running_loop().time()
        left = await leave(router)
        assert left - start == pytest.approx(0.15 if how == "cancel" else 0.1)
        return asyncio.all_tasks() - {asyncio.current_task()}

    ledger = Ledger()
    transport = ScriptedTransport(PRICED, {"a": [THREE]})
    assert play(main()) == set()


@pytest.mark.parametrize("how", ["aclose", "cancel"])
def test_leaving_waits_until_the_transport_has_hung_up(how):
    class HangsUp(ScriptedTransport):
        @asynccontextmanager
        async def stream(self, *args, **kwargs):
            async with super().stream(*args, **kwargs) as chunks:
                yield chunks
            await asyncio.sleep(0.01)
            hung_up.append(True)

    async def main():
        stream = Router(watched(ledger), HangsUp(ABC, {"a": [THREE]})).stream(Request(1))
        if how == "aclose":
            await anext(stream)
            await stream.aclose()
        else:
            task = asyncio.create_task(stream.read())
            await asyncio.sleep(0.15)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    hung_up, ledger = [], Ledger()
    play(main())
    assert (hung_up, ledger.ends) == ([True], ["released"])


def test_cancelled_while_waiting_for_the_first_chunk_or_between_attempts():
    async def main(after_s):
        ledger.ends.clear()
        task = asyncio.create_task(reading(Router(routing, transport), Request(1)))
        await asyncio.sleep(after_s)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert set(transport.in_flight.values()) == {0}
        assert not ledger.out
        return list(ledger.ends)

    ledger = Ledger()
    transport = ScriptedTransport(ABC, {"a": [fails(ServerError, 0.2)]})
    routing = watched(ledger, retry={"max_attempts": 2, "backoff": {"kind": "exponential", "base_s": 5}})
    assert play(main(0.1)) == ["released"]
    assert play(main(0.3)) == ["server_error"]


def test_a_probe_that_was_left_can_be_used_again():
    async def main():
        router = Router(policy(breaker={"failures": 1, "open_s": 1}, degrade=False), transport)
        await reading(router, Request(1))
        await asyncio.sleep(2)
        await reading(router, Request(2), leave_after=1)
        return await reading(router, Request(3))

    transport = ScriptedTransport(ABC[:1], {"a": [CUT, THREE]})
    texts, _ = play(main())
    assert said(texts) == "0 1 2 "


def test_a_stream_may_be_closed_at_any_time():
    """What a race of hedges needs of the streams that lose."""

    async def main(read):
        ledger = Ledger()
        transport = ScriptedTransport(PRICED, {"a": [THREE]})
        candidate = Candidate(PRICED[0], asked="standard", chain="standard", timeouts=limits, health=ledger)
        progress = Progress(Request(1, prompt_tokens=100))
        streams = Streams(transport, LoopClock(), StreamingPolicy())
        live = await streams.open(progress, candidate, ledger.admit(progress, 0.0), limits)
        assert (live.candidate, progress.attempts, live.tokens) == (candidate, 1, 1)
        for _ in range(read):
            await live.read()
        await live.aclose()
        await live.aclose()
        assert transport.in_flight["a"] == 0
        return ledger.ends, progress.spent_usd * 1e6

    limits = Timeouts(1.0, 1.0, 1.0, 9.0)
    assert play(main(0)) == (["released"], pytest.approx(100 + 10))
    assert play(main(1)) == (["released"], pytest.approx(100 + 20))
    assert play(main(2)) == (["succeeded"], 0)


def test_a_mistake_in_the_transport_gives_the_ticket_back():
    class Broken(ScriptedTransport):
        async def _chunks(self, *args):
            async for chunk in super()._chunks(*args):
                yield chunk
                raise KeyError("mistake")

    async def main():
        with pytest.raises(KeyError):
            await Router(watched(ledger), transport).stream(Request(1)).read()

    ledger = Ledger()
    transport = Broken(ABC, {"a": [THREE]})
    play(main())
    assert (ledger.ends, transport.in_flight["a"]) == (["released"], 0)


class Connects(ScriptedTransport):
    """Waits for a connection before there is anything to read; has trouble with hanging up."""

    @asynccontextmanager
    async def stream(self, request, deployment, **kwargs):
        await asyncio.sleep(0.2)
        if deployment.name == "a":
            raise ConnectError("refused")
        async with super().stream(request, deployment, **kwargs) as chunks:
            yield chunks
        raise StreamInterrupted("while hanging up")


def test_a_connection_that_fails_is_a_failed_attempt():
    ledger = Ledger()
    texts, reply = ask(Connects(ABC, {"b": [THREE]}), watched(ledger))
    assert texts == [(0.5, "0 "), (0.6, "1 "), (0.7, "2 ")]
    assert (reply.deployment, ledger.ends) == ("b", ["connect", "succeeded"])


def test_leaving_while_the_connection_is_made_gives_the_ticket_back():
    async def main():
        task = asyncio.create_task(Router(watched(ledger), Connects(ABC)).stream(Request(1)).read())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    ledger = Ledger()
    play(main())
    assert ledger.ends == ["released"]


# Stages


class Stage:
    """Puts a request in the place of the one that came, or a reply; and remembers what it heard."""

    def __init__(self, reply=None):
        self.reply = reply
        self.left = []

    async def enter(self, request, progress):
        return self.reply or request.derive(purpose="answer", id=request.id, parent_id=None, prompt_tokens=3)

    def leave(self, request, progress, reply):
        self.left.append((request.prompt_tokens, reply))


def staged(transport, *stages, leave_after=None, **settings):
    async def main():
        router = Router(policy(**settings), transport)
        router._stages = stages
        return await reading(router, Request(1, prompt_tokens=50), leave_after=leave_after)

    return play(main())


def test_a_reply_from_a_stage_is_one_chunk():
    first, hit = Stage(), Stage(Reply("from the cache", "a", "m", 3, 4, 0.0, 0.0))
    transport = ScriptedTransport(ABC)
    texts, reply = staged(transport, first, hit)
    assert texts == [(0.0, "from the cache")]
    assert reply is hit.reply
    assert transport.called == []
    assert (first.left, hit.left) == ([(3, reply)], [])


def test_a_stage_is_left_once_with_the_reply_or_without():
    stage = Stage()
    _, reply = staged(ScriptedTransport(ABC, {"a": [CUT], "b": [THREE]}), stage, **RESUME)
    assert (reply.tokens_in, reply.text) == (3, "0 1 2 3 4 ")
    assert stage.left == [(3, reply)], "the request as it was entered, not the one for the rest"
    for options in ({}, {"leave_after": 1}):
        stage = Stage()
        staged(ScriptedTransport(ABC, {"a": [CUT]}), stage, **options)
        assert stage.left == [(3, None)]


# `handle`


def test_handle_reads_streams_only_where_the_section_is_set():
    script = {"a": [HANG], "b": [THREE]}
    asked = Request(1, stream=True)
    reply, took_s = handled(ScriptedTransport(ABC, script), asked, timeouts=TIGHT)
    assert took_s == pytest.approx(4.3), "sent: only the total limit shows the hang"
    reply, took_s = handled(ScriptedTransport(ABC, script), asked, timeouts=TIGHT, streaming={})
    assert took_s == pytest.approx(1.3)
    assert (reply.text, reply.tokens_out, reply.metadata["attempts"]) == ("0 1 2 ", 3, 2)
    assert (reply.first_token_s, reply.total_s) == (pytest.approx(0.1), pytest.approx(0.3))
    reply, took_s = handled(ScriptedTransport(ABC, script), Request(1), timeouts=TIGHT, streaming={})
    assert took_s == pytest.approx(4.3)


def test_handle_ends_as_its_stream_does():
    transport = ScriptedTransport(ABC, {"a": [CUT], "b": [THREE]})
    error, _ = handled(transport, Request(1, stream=True), streaming={})
    assert type(error) is StreamInterrupted
    assert error.explanation.attempts == 1
    transport = ScriptedTransport(ABC, {"a": [CUT], "b": [THREE]})
    reply, took_s = handled(transport, Request(1, stream=True), **RESUME)
    assert (reply.text, reply.metadata["resumed"][0]["tokens"]) == ("0 1 2 3 4 ", 2)
    assert took_s == pytest.approx(0.6)
