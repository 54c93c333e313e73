"""A reader who does not look at when each chunk comes gets what one who does look gets."""

from __future__ import annotations

import asyncio

import pytest
from simulation.runs import digest, play
from world.scripts import NONE, now, only, world

from simsla.routing import AttemptError, Timeouts

LIMITS = (
    NONE,
    Timeouts(total_s=0.7),
    Timeouts(total_s=0.1),
    Timeouts(first_token_s=0.05),
    Timeouts(idle_s=0.005),
    Timeouts(idle_s=0.5, total_s=0.65),
)


def reading(timeouts, *, rest, leave_after_s=None):
    """A script: the tokens seen, the finish reason, the kind and phase of the error, and when it ended."""

    async def script(transport, request):
        begin, tokens, reason = now(), 0, None
        try:
            async with transport.stream(request, transport.deployments[0], timeouts=timeouts) as chunks:
                async with asyncio.timeout(leave_after_s):
                    while reason is None:
                        chunk = await (chunks.rest() if rest else anext(chunks))
                        tokens, reason = tokens + chunk.tokens, chunk.finish_reason
        except AttemptError as error:
            return tokens, reason, (error.kind, getattr(error, "phase", None)), now() - begin
        except TimeoutError:
            return None, None, None, now() - begin  # a piece may have been on its way
        return tokens, reason, None, now() - begin

    return script


@pytest.mark.parametrize("more", [{}, {"service": {"kind": "processor_sharing", "servers": 1}}], ids=str)
@pytest.mark.parametrize("errors", [{}, {"cut": 1}, {"malformed": 1}, {"500": 1}, {"hang": 1}], ids=str)
def test_the_rest_is_all_that_the_pieces_are(errors, more):
    for timeouts in LIMITS:
        if "hang" in errors and timeouts.total_s is None and timeouts.first_token_s is None:
            continue  # nobody ends it
        (told, run), (expected, expected_run) = (
            play(world(errors=errors, **more), reading(timeouts, rest=rest)) for rest in (True, False)
        )
        assert told[:3] == expected[:3], timeouts
        assert told[3] == pytest.approx(expected[3], abs=1e-9)
        assert only(run).drop("end_s").equals(only(expected_run).drop("end_s"))
        assert only(run)["end_s"] == pytest.approx(only(expected_run)["end_s"], abs=1e-9)


@pytest.mark.parametrize("leave_after_s", [0.05, 0.1, 0.3])
def test_who_leaves_in_the_middle_of_the_rest_pays_for_what_has_come(leave_after_s):
    (_, run), (_, expected_run) = (
        play(world(), reading(NONE, rest=rest, leave_after_s=leave_after_s)) for rest in (True, False)
    )
    assert digest(run) == digest(expected_run)
    assert only(run)["outcome"] == "cancelled"


def test_after_the_first_token_the_rest_is_one_piece():
    async def script(transport, request):
        async with transport.stream(request, transport.deployments[0], timeouts=NONE) as chunks:
            first, rest = await anext(chunks), await chunks.rest()
            assert [chunk async for chunk in chunks] == []
            with pytest.raises(StopAsyncIteration):
                await chunks.rest()
            return first.tokens, rest.tokens, rest.finish_reason

    assert play(world(), script)[0] == (1, 99, "stop")
