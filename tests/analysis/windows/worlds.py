"""Worlds with rare failures, and a breaker so simple that its unavailability is known."""

from __future__ import annotations

import asyncio
from typing import Any

from simsla.routing import Reply
from simsla.routing.errors import AttemptError
from simsla.scenario import Scenario

HOUR = 3600.0
DAY = 86_400.0


def exponential(mean: float) -> dict[str, Any]:
    return {"kind": "exponential", "mean": mean}


def outage(up_s: float, down_s: float, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "outage",
        "uptime": exponential(up_s),
        "repair": exponential(down_s),
    } | changes


def two_providers(
    rate: float, *faults: dict[str, Any], latency_s: float = 0.0, horizon: float = 1000.0, **others: Any
) -> Scenario:
    """Two deployments, each of a provider of its own with these faults."""
    return Scenario.from_dict(
        {
            "name": "two",
            "horizon": horizon,
            "components": {name: {"faults": list(faults)} for name in "ab"},
            "deployments": {
                name: {
                    "model": "m",
                    "provider": name,
                    "latency": {"total": latency_s},
                    "error_latency": latency_s / 10,
                    "price": {"usd_per_mtok_in": 1.0, "usd_per_mtok_out": 1.0},
                }
                for name in "ab"
            },
            "traffic": {
                "t": {
                    "arrivals": {"kind": "poisson", "rate": rate},
                    "prompt_tokens": 100,
                    "output_tokens": 10,
                }
            },
        }
        | others
    )


def toy_breaker(transport):
    """In fixed order; three failures in a row open a breaker for 30 s, then one probe at a time."""
    loop = asyncio.get_running_loop()
    failures = {d.name: 0 for d in transport.deployments}
    open_until = {d.name: -1.0 for d in transport.deployments}
    probing = {d.name: False for d in transport.deployments}

    async def handle(request) -> Reply:
        for deployment in transport.deployments:
            name = deployment.name
            half_open = failures[name] >= 3
            if half_open and (loop.time() < open_until[name] or probing[name]):
                continue
            probing[name] = half_open
            try:
                reply = await transport.send(request, deployment)
            except AttemptError:
                failures[name] += 1
                if failures[name] >= 3:
                    open_until[name] = loop.time() + 30
                continue
            finally:
                probing[name] = False
            failures[name] = 0
            return reply
        raise RuntimeError("every provider is down or its breaker open")

    return handle
