"""Small logs written by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simsla.records import ATTEMPT_OUTCOMES, CACHE_HITS, OUTCOMES, PURPOSES, Log

CLASSES = ("chat", "batch")
DEPLOYMENTS = ("near", "far")

REQUEST = {
    "request_class": "chat",
    "arrival_s": 0.0,
    "latency_s": 1.0,
    "outcome": "ok",
    "deployment": 0,
    "ttft_s": np.nan,
    "deadline_s": 120.0,
    "valid": True,
    "cache_hit": "none",
}
ATTEMPT = {
    "deployment": 0,
    "start_s": 0.0,
    "queued_s": 0.0,
    "first_token_s": np.nan,
    "latency_s": 1.0,
    "outcome": "ok",
    "purpose": "answer",
    "tokens_out": 5,
    "cost_usd": 0.0,
}


def log_of(requests: Sequence[dict], attempts: Sequence[dict] = ()) -> Log:
    """A log of requests, numbered from 0, and of attempts, which name their `request`."""
    rows = [{**REQUEST, **row} for row in requests]
    calls = [{**ATTEMPT, **row} for row in attempts]

    def column(name, dtype=float):
        return np.array([row[name] for row in rows], dtype=dtype)

    def called(name, dtype=float):
        return np.array([call[name] for call in calls], dtype=dtype)

    arrival, count = column("arrival_s"), len(rows)
    return Log.of(
        {
            "request": np.arange(count),
            "request_class": np.array([CLASSES.index(r["request_class"]) for r in rows], dtype=np.int16),
            "arrival_s": arrival,
            "end_s": arrival + column("latency_s"),
            "outcome": np.array([OUTCOMES.index(r["outcome"]) for r in rows], dtype=np.int8),
            "deployment": column("deployment", np.int16),
            "first_token_s": arrival + column("ttft_s"),
            "prompt_tokens": np.full(count, 10, dtype=np.int32),
            "output_tokens": np.full(count, 5, dtype=np.int32),
            "deadline_s": column("deadline_s"),
            "valid": column("valid", bool),
            "cache_hit": np.array([CACHE_HITS.index(r["cache_hit"]) for r in rows], dtype=np.int8),
        },
        {
            "request": called("request", np.int64),
            "deployment": called("deployment", np.int16),
            "ordinal": np.zeros(len(calls), dtype=np.int16),
            "purpose": np.array([PURPOSES.index(c["purpose"]) for c in calls], dtype=np.int8),
            "start_s": called("start_s"),
            "queued_s": called("queued_s"),
            "first_token_s": called("first_token_s"),
            "end_s": called("start_s") + called("latency_s"),
            "outcome": np.array([ATTEMPT_OUTCOMES.index(c["outcome"]) for c in calls], dtype=np.int8),
            "tokens_in": np.full(len(calls), 10, dtype=np.int32),
            "tokens_out": called("tokens_out", np.int32),
            "cost_usd": called("cost_usd"),
            "cancelled": np.array([c["outcome"] == "cancelled" for c in calls], dtype=bool),
        },
        CLASSES,
        DEPLOYMENTS,
    )


def random_log(rng, count, horizon_s, failing=0.01, latency=lambda rng, n: rng.lognormal(0, 0.5, n)) -> Log:
    """Requests spread over the horizon, one attempt each, a share of them failing."""
    arrival = np.sort(rng.uniform(0, horizon_s, count))
    took = latency(rng, count)
    failed = rng.random(count) < failing
    return Log.of(
        {
            "request": np.arange(count),
            "request_class": rng.integers(0, len(CLASSES), count).astype(np.int16),
            "arrival_s": arrival,
            "end_s": arrival + took,
            "outcome": np.where(failed, OUTCOMES.index("error"), 0).astype(np.int8),
            "deployment": np.where(failed, -1, 0).astype(np.int16),
            "first_token_s": np.where(failed, np.nan, arrival + took / 2),
            "prompt_tokens": np.full(count, 10, dtype=np.int32),
            "output_tokens": np.full(count, 5, dtype=np.int32),
            "deadline_s": np.full(count, 120.0),
            "valid": np.ones(count, dtype=bool),
            "cache_hit": np.zeros(count, dtype=np.int8),
        },
        {
            "request": np.arange(count),
            "deployment": np.zeros(count, dtype=np.int16),
            "ordinal": np.zeros(count, dtype=np.int16),
            "purpose": np.zeros(count, dtype=np.int8),
            "start_s": arrival,
            "queued_s": np.zeros(count),
            "first_token_s": arrival + took / 2,
            "end_s": arrival + took,
            "outcome": np.where(failed, ATTEMPT_OUTCOMES.index("unavailable"), 0).astype(np.int8),
            "tokens_in": np.full(count, 10, dtype=np.int32),
            "tokens_out": np.full(count, 5, dtype=np.int32),
            "cost_usd": np.full(count, 1e-4),
            "cancelled": np.zeros(count, dtype=bool),
        },
        CLASSES,
        DEPLOYMENTS,
    )
