"""A router over three regions, as a team might have it in production: asyncio code on the OpenAI SDK.

Each region has a client of its own; all have the gateway's address, and differ by their keys. They are tried
in a fixed order, with a time-out of 5 s. One error, of whatever kind, marks a region as unhealthy, and 30 s
later it is marked as healthy again, without a probe. When none is healthy, the request fails. Nothing here
knows that it will be simulated, but for `simulated` at the end.

The parameters besides are what people propose to improve; their defaults leave the router as it is.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import openai

GATEWAY = "https://gateway.example/v1"
REGIONS = {
    "us-east-1": "GATEWAY_KEY_US",
    "eu-west-1": "GATEWAY_KEY_EU",
    "ap-southeast-1": "GATEWAY_KEY_AP",
}
MODELS = {"economy": "deepseek-v4-flash", "standard": "deepseek-v4-pro", "premium": "gpt-4o"}

TIMEOUT_S = 5.0
UNHEALTHY_S = 30.0


class NoRegionError(Exception):
    """No region is healthy."""


def any_error(error: Exception) -> bool:
    """As it is written: whatever goes wrong is the region's fault."""
    return True


def faults_of_the_region(error: Exception) -> bool:
    """A request that can never succeed says nothing about the region."""
    return not isinstance(error, openai.BadRequestError)


class Region:
    """One region's client, and what is thought of its health."""

    def __init__(self, name: str, client: openai.AsyncOpenAI) -> None:
        self.name = name
        self.client = client
        self.healthy = True
        self.failures = 0  # in a row
        self.on_probation = False
        self.probing = False


class RegionRouter:
    """Fails over between regions."""

    def __init__(
        self,
        *,
        unhealthy_s: float = UNHEALTHY_S,
        counts: Callable[[Exception], bool] = any_error,
        threshold: int = 1,
        probe: bool = False,
        last_resort: bool = False,
        **options: Any,
    ) -> None:
        """`counts` says which errors do; `threshold`: after how many in a row; `probe`: whether one request
        at a time tries a region that comes back; `last_resort`: whether the others are tried after all that
        are healthy. `options` are those of the SDK's clients.
        """
        options = {"timeout": TIMEOUT_S} | options
        self.regions = [
            Region(name, openai.AsyncOpenAI(base_url=GATEWAY, api_key=os.environ[key], **options))
            for name, key in REGIONS.items()
        ]
        self.unhealthy_s = unhealthy_s
        self.counts = counts
        self.threshold = threshold
        self.probe = probe
        self.last_resort = last_resort
        self.recoveries: set[asyncio.Task[None]] = set()

    async def complete(self, messages: Any, model: str) -> Any:
        """Raises NoRegionError, or what the last region raised."""
        failed: Exception = NoRegionError("no region is healthy")
        tried: list[Region] = []
        while (region := self.choose(tried)) is not None:
            tried.append(region)
            region.probing = region.on_probation
            try:
                answer = await region.client.chat.completions.create(model=model, messages=messages)
            except Exception as error:
                failed = error
                if self.counts(error):
                    self.mark(region)
                else:
                    raise
            else:
                region.failures = 0
                region.on_probation = False
                return answer
            finally:
                region.probing = False
        raise failed

    def choose(self, tried: list[Region]) -> Region | None:
        """The first that is healthy now; where there is a last resort, the first of the others after them."""
        left = [region for region in self.regions if region not in tried]
        healthy = [region for region in left if region.healthy and not region.probing]
        return next(iter(healthy or (left if self.last_resort else [])), None)

    def mark(self, region: Region) -> None:
        """It failed."""
        region.failures += 1
        if region.failures < self.threshold and not region.on_probation:
            return
        region.healthy = False
        recovery = asyncio.create_task(self.recover(region))
        self.recoveries.add(recovery)
        recovery.add_done_callback(self.recoveries.discard)

    async def recover(self, region: Region) -> None:
        await asyncio.sleep(self.unhealthy_s)
        region.healthy = True
        region.failures = 0
        region.on_probation = self.probe


def simulated(**options: Any) -> Callable[[Any], Any]:
    """The router with these options as a policy."""

    def factory(transport: Any) -> Any:
        router = RegionRouter(**options)

        async def handle(request: Any) -> Any:
            return await router.complete(request.messages, MODELS[request.tier or "economy"])

        return handle

    return factory


as_written = simulated()
without_sdk_retries = simulated(max_retries=0)
