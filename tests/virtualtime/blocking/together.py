"""Running blocking functions together."""

from __future__ import annotations

import asyncio

from simsla.virtualtime import run_in_virtual_time
from simsla.virtualtime.blocking import blocking_calls, run


def now() -> float:
    """Seconds of virtual time."""
    return asyncio.get_running_loop().time()


def together(*functions, return_exceptions=False):
    """Call all of them at the instant 0, and return their results and when the last one ended."""

    async def main():
        with blocking_calls(asyncio.get_running_loop()):
            calls = [asyncio.ensure_future(run(function)) for function in functions]
            results = await asyncio.gather(*calls, return_exceptions=return_exceptions)
            return results, now()

    return run_in_virtual_time(main())
