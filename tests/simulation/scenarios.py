"""Tiny scenarios."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simsla.scenario import Scenario

SECOND_PER_TOKEN = 0.01


def deployment(**changes: Any) -> dict[str, Any]:
    """A deployment whose answers take 0.1 s and 0.01 s a token, exactly, unless changed."""
    return {
        "model": "m",
        "latency": {"first_token": 0.1, "per_token": SECOND_PER_TOKEN},
        "error_latency": 0.05,
        "price": {"usd_per_mtok_in": 1.0, "usd_per_mtok_out": 2.0},
    } | changes


def traffic(rate: float | str = 2.0, **changes: Any) -> dict[str, Any]:
    """A request class of prompts of 1,000 tokens and answers of 100, unless changed."""
    return {
        "arrivals": {"kind": "poisson", "rate": rate},
        "prompt_tokens": 1000,
        "output_tokens": 100,
    } | changes


def scenario(
    deployments: Mapping[str, Any] | None = None,
    classes: Mapping[str, Any] | None = None,
    *,
    horizon: float = 100.0,
    **others: Any,
) -> Scenario:
    """A scenario of one deployment `a` and one class `chat`, unless others are given."""
    return Scenario.from_dict(
        {
            "name": "tiny",
            "horizon": horizon,
            "deployments": {"a": deployment()} if deployments is None else dict(deployments),
            "traffic": {"chat": traffic()} if classes is None else dict(classes),
        }
        | others
    )


VARIED = {
    "first_token": {"kind": "lognormal", "mean": 0.3, "sigma": 0.6},
    "per_token": {"kind": "exponential", "mean": 0.01},
}

ERRORS = {429: 0.05, 500: 0.05, 503: 0.05, "connect": 0.05}
"""A fifth of the attempts fail."""


def varied(horizon: float = 300.0, **others: Any) -> Scenario:
    """Two deployments and two classes in which everything that can vary does."""
    return scenario(
        {
            "a": deployment(latency=VARIED, errors=ERRORS, provider="p"),
            "b": deployment(latency=VARIED, errors=ERRORS, provider="q"),
        },
        {
            "chat": traffic(
                3.0,
                prompt_tokens={"kind": "lognormal", "mean": 500, "sigma": 1},
                output_tokens={"kind": "lognormal", "mean": 80, "sigma": 1},
                complexity={"kind": "uniform", "low": 0, "high": 1},
            ),
            "batch": traffic(
                1.0,
                prompt_tokens={"kind": "lognormal", "mean": 900, "sigma": 1},
                output_tokens={"kind": "lognormal", "mean": 200, "sigma": 1},
            ),
        },
        horizon=horizon,
        components={
            name: {"faults": [{"kind": "brownout", "severity": 0.5, "gap": exp(60), "repair": exp(10)}]}
            for name in ("p", "q")
        },
        **others,
    )


def exp(mean: float) -> dict[str, Any]:
    """An exponential distribution."""
    return {"kind": "exponential", "mean": mean}


def scheduled(kind: str, start: float, duration: float, **changes: Any) -> dict[str, Any]:
    """A fault with one planned episode."""
    return {"kind": kind, "schedule": [{"start": start, "duration": duration}]} | changes
