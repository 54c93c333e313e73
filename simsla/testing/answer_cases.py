"""How a transport answers, and how its attempts end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from simsla.routing import (
    AttemptTimeout,
    AuthenticationFailed,
    Chunk,
    MalformedReply,
    ServerError,
    StreamInterrupted,
)
from simsla.testing import behaviours as b
from simsla.testing.arms import KEY, Bench
from simsla.testing.asking import AMPLE, PROMPT_TOKENS, SHORT_S, TransportCase, ask, ensure, question, read

# Answers


async def answers(bench: Bench) -> None:
    reply = await ask(bench)
    name = bench.deployments[0].name
    ensure(reply.deployment == name, f"the reply says that {reply.deployment!r} answered, not {name!r}")
    ensure(bool(reply.text), "the reply has no text")
    ensure(reply.finish_reason == "stop", f"finish_reason is {reply.finish_reason!r}")
    ensure(reply.tokens_in == PROMPT_TOKENS, f"{reply.tokens_in} tokens in, not {PROMPT_TOKENS}")
    ensure(reply.tokens_out == b.TOKENS, f"{reply.tokens_out} tokens out, not {b.TOKENS}")
    ensure(
        0 < reply.first_token_s <= reply.total_s,
        f"first token after {reply.first_token_s} s of {reply.total_s}",
    )


async def answers_within_max_tokens(bench: Bench) -> None:
    reply = await ask(bench, max_tokens=5)
    ensure(reply.tokens_out == 5, f"{reply.tokens_out} tokens out with max_tokens=5")
    ensure(reply.finish_reason == "length", f"finish_reason is {reply.finish_reason!r}, not 'length'")


async def streams(bench: Bench) -> None:
    _whole(await read(bench), b.TOKENS, "stop")


async def streams_within_max_tokens(bench: Bench) -> None:
    _whole(await read(bench, max_tokens=5), 5, "length")


def _whole(chunks: Sequence[Chunk], tokens: int, finish_reason: str) -> None:
    ensure(len(chunks) > 1, f"{len(chunks)} chunks")
    ends = [chunk.finish_reason for chunk in chunks]
    ensure(ends[:-1] == [None] * (len(ends) - 1), f"a finish_reason before the last chunk: {ends}")
    ensure(
        ends[-1] == finish_reason, f"the last chunk's finish_reason is {ends[-1]!r}, not {finish_reason!r}"
    )
    ensure(any(chunk.text for chunk in chunks), "no chunk has text")
    found = sum(chunk.tokens for chunk in chunks)
    ensure(found == tokens, f"the chunks have {found} tokens, not {tokens}")


async def offers_what_a_policy_needs(bench: Bench) -> None:
    offered = [deployment.name for deployment in bench.transport.deployments]
    wanted = [deployment.name for deployment in bench.deployments]
    ensure(offered == wanted, f"it offers {offered}, not {wanted}")
    ensure(0 <= bench.transport.random.random() < 1, "random.random() is not in [0, 1)")


async def goes_on_after_failures(bench: Bench) -> None:
    for how in (ask, read):
        for error in (ServerError, StreamInterrupted, MalformedReply, AttemptTimeout):
            timeouts = (
                replace(AMPLE, first_token_s=SHORT_S, total_s=SHORT_S) if error is AttemptTimeout else AMPLE
            )
            try:
                await how(bench, timeouts)
            except error:
                continue
            raise AssertionError(f"no {error.__name__}")
        await how(bench)
    ensure(await bench.quiet(), "attempts are still in flight")


async def keeps_the_key_to_itself(bench: Bench) -> None:
    for how in (ask, read):
        try:
            await how(bench)
        except AuthenticationFailed as error:
            told: BaseException | None = error
            while told is not None:
                ensure(KEY not in f"{told} {told!r} {vars(told)}", "the key is in an error or in its cause")
                told = told.__cause__ or told.__context__
        else:
            raise AssertionError("it was answered; expected AuthenticationFailed")
    ensure(KEY not in repr(bench.transport), "the key is in the transport's repr")


# Ends


async def cancelling_send_ends_it(bench: Bench) -> None:
    await _cancelled(bench, asyncio.ensure_future(ask(bench)))


async def cancelling_a_reader_ends_its_stream(bench: Bench) -> None:
    await _cancelled(bench, asyncio.ensure_future(read(bench)))


async def _cancelled(bench: Bench, task: asyncio.Future[object]) -> None:
    await _begun(bench)
    task.cancel()
    await asyncio.wait([task])
    ensure(task.cancelled(), f"cancelled, it ended otherwise: {task}")
    ensure(await bench.quiet(), "the attempt is still in flight after its cancellation")


async def _begun(bench: Bench) -> None:
    while bench.in_flight() == 0:  # the case as a whole has a limit
        await asyncio.sleep(0.005)


async def leaving_a_stream_ends_it(bench: Bench) -> None:
    opened = bench.transport.stream(question(stream=True), bench.deployments[0], timeouts=AMPLE)
    async with opened as stream:
        first = await anext(aiter(stream))
        ensure(first.finish_reason is None, "one chunk is all of the stream")
        ensure(bench.in_flight() == 1, f"{bench.in_flight()} attempts in flight while it is read")
    ensure(await bench.quiet(), "the attempt is still in flight after its stream was left")


async def attempts_do_not_wait_for_one_another(bench: Bench) -> None:
    tasks = [asyncio.ensure_future(ask(bench)) for _ in range(4)]
    while bench.in_flight() < 4:
        ensure(not any(task.done() for task in tasks), "an attempt ended before the last one began")
        await asyncio.sleep(0.002)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    ensure(await bench.quiet(), "attempts are still in flight after their cancellation")


ANSWER_CASES: Final = (
    TransportCase("answers", (b.OK,), answers),
    TransportCase("answers within max_tokens", (b.OK,), answers_within_max_tokens),
    TransportCase("streams", (b.OK,), streams),
    TransportCase("streams within max_tokens", (b.OK,), streams_within_max_tokens),
    TransportCase("offers what a policy needs", (b.OK,), offers_what_a_policy_needs),
    TransportCase("attempts do not wait for one another", (b.HANG,), attempts_do_not_wait_for_one_another),
    TransportCase("cancelling send ends it", (b.HANG,), cancelling_send_ends_it),
    TransportCase("cancelling a reader ends its stream", (b.HANG,), cancelling_a_reader_ends_its_stream),
    TransportCase("leaving a stream ends it", (b.STALLED_STREAM,), leaving_a_stream_ends_it),
    TransportCase("keeps the key to itself", (b.UNAUTHORIZED,), keeps_the_key_to_itself),
    TransportCase(
        "goes on after failures",
        (b.SERVER_ERROR, b.CUT, b.MALFORMED, b.HANG, b.OK) * 2,
        goes_on_after_failures,
    ),
)
