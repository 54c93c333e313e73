"""What a policy of these tests does: one attempt, written down as it goes."""

from __future__ import annotations

import asyncio

from simulation.scenarios import deployment, scenario

from simsla.routing import Timeouts

NONE = Timeouts()


def world(**changes):
    return scenario({"a": deployment(**changes)})


def sending(timeouts=NONE, **options):
    """A script that sends the request; the reply or the error, and how long it took."""

    async def script(transport, request):
        begin = now()
        try:
            result = await transport.send(request, transport.deployments[0], timeouts=timeouts, **options)
        except Exception as error:
            result = error
        return result, now() - begin

    return script


def streaming(timeouts=NONE, *, leave_after=None, pause_s=0.0, **options):
    """A script that reads a stream: the chunks with their times, what ended it, and when."""

    async def script(transport, request):
        begin, chunks, error = now(), [], None
        try:
            async with transport.stream(
                request, transport.deployments[0], timeouts=timeouts, **options
            ) as stream:
                async for chunk in stream:
                    chunks.append((now() - begin, chunk))
                    if len(chunks) == leave_after:
                        break
                    if pause_s:
                        await asyncio.sleep(pause_s)
        except Exception as caught:
            error = caught
        return chunks, error, now() - begin

    return script


def now():
    return asyncio.get_running_loop().time()


def only(run):
    """The one attempt of a run."""
    frame = run.log.attempts_frame()
    assert len(frame) == 1
    return frame.iloc[0]
