"""Prints hashes of the logs of a run; run in processes of its own."""

from __future__ import annotations

import sys

from simulation.policies import hedging
from simulation.runs import digest
from simulation.scenarios import varied

from simsla.simulation import run_one


def hashes() -> list[str]:
    """Of the built-in router, and of a policy that keeps its tasks in sets."""
    world = varied(120)
    return [digest(run_one(world, policy, seed=5)) for policy in (None, hedging, keeping_sets)]


def keeping_sets(transport):
    """Tasks, strings and deployments in sets, whose order is that of hashes."""
    import asyncio

    async def handle(request):
        names = {deployment.name for deployment in transport.deployments}
        by_name = {deployment.name: deployment for deployment in transport.deployments}
        calls = [by_name[name] for name in sorted(names)] * 6
        tasks = {asyncio.ensure_future(transport.send(request, deployment)) for deployment in calls}
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            await asyncio.sleep(transport.random.random())
            task.cancel()
        return next(iter(done)).result()

    return handle


if __name__ == "__main__":
    sys.stdout.write("\n".join(hashes()))
