"""Running blocking functions together."""

from __future__ import annotations

import asyncio

from simsla.virtualtime import run_in_virtual_time
from simsla.virtualtime.blocking import blocking_calls, run
from simsla.virtualtime.reachable import reachable


def now() -> float:
    """Seconds of virtual time."""
    return asyncio.get_running_loop().time()


def together(*functions, return_exceptions=False):
    """Call all of them at the instant 0, and return their results and when the last one ended."""
    found = [reachable(function) for function in functions]
    among = None if None in found else {id(each): each for objects in found for each in objects}.values()

    async def main():
        with blocking_calls(asyncio.get_running_loop(), among):
            calls = [asyncio.ensure_future(run(function)) for function in functions]
            results = await asyncio.gather(*calls, return_exceptions=return_exceptions)
            return results, now()

    return run_in_virtual_time(main())
