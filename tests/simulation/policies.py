"""Policies, as anybody might write them."""

from __future__ import annotations

import asyncio

from simsla.routing import AttemptError, Timeouts

TIGHT = Timeouts(total_s=1.0)


def naive(transport, timeouts=TIGHT):
    """The ten-line router: one deployment after the other."""

    async def handle(request):
        for deployment in transport.deployments:
            try:
                return await transport.send(request, deployment, timeouts=timeouts)
            except AttemptError as error:
                last = error
        raise last

    return handle


def patient(transport):
    """The same, waiting for every answer."""
    return naive(transport, Timeouts())


def first_only(transport):
    """One attempt at the first deployment, without any limit."""

    async def handle(request):
        return await transport.send(request, transport.deployments[0], timeouts=Timeouts())

    return handle


def hedging(transport):
    """Both at once; the loser is cancelled."""

    async def handle(request):
        tasks = [
            asyncio.ensure_future(transport.send(request, deployment, timeouts=TIGHT))
            for deployment in (transport.deployments[0], transport.deployments[-1])
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return min(done, key=tasks.index).result()
        finally:
            for task in tasks:
                task.cancel()
                task.add_done_callback(lambda done: done.cancelled() or done.exception())

    return handle


def careless(transport):
    """Leaves a background call behind each answer, and one that never ends behind the first."""
    tasks = []

    async def forever():
        while True:
            await asyncio.sleep(1000)

    async def handle(request):
        if not tasks:
            tasks.append(asyncio.ensure_future(forever()))
        later = request.derive(purpose="check")
        task = asyncio.ensure_future(transport.send(later, transport.deployments[-1], timeouts=Timeouts()))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        tasks.append(task)
        return await transport.send(request, transport.deployments[0], timeouts=TIGHT)

    return handle


def stubborn(transport):
    """Ignores the first cancellation, and tries again."""

    async def handle(request):
        try:
            return await transport.send(request, transport.deployments[0], timeouts=Timeouts())
        except asyncio.CancelledError:
            return await transport.send(request, transport.deployments[0], timeouts=TIGHT)

    return handle


def raising(transport):
    """Every third request meets a mistake of the policy, after its answer."""

    async def handle(request):
        reply = await transport.send(request, transport.deployments[0], timeouts=TIGHT)
        if request.id % 3 == 0:
            raise KeyError("a mistake")
        return reply

    return handle


def streaming(transport):
    """Reads streams, and leaves long ones early."""

    async def handle(request):
        limits = Timeouts(connect_s=0.5, first_token_s=0.8, idle_s=0.5, total_s=2.0)
        seen = 0
        async with transport.stream(request, transport.deployments[0], timeouts=limits) as chunks:
            async for chunk in chunks:
                seen += chunk.tokens
                if seen > 100:
                    break
        return seen

    return handle


ALL = (naive, first_only, hedging, careless, stubborn, raising, streaming)
