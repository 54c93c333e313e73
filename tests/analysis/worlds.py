"""Worlds for coverage tests: measured, clustered incidents, and failures that depend on what is down."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from simsla.analysis import Cells, EnvironmentLaw
from simsla.analysis.poststratify import MEMORY_S
from simsla.analysis.states import fault_intervals, state_path
from simsla.world.environment import FAULT_KINDS, Environment

HOUR = 3600.0
DAY = 86_400.0
REQUESTS_PER_S = 20_000 / DAY


def incidents(rng, until_s):
    """Starts and ends of incidents of the OpenAI API (Chu et al. 2025): clustered and long-tailed."""
    scale = 92.5 * HOUR
    start = np.cumsum(scale * rng.weibull(0.65, int(1.1 * until_s / scale) + 1000)) - 400 * DAY
    return start, start + np.exp(0.23 + 1.17 * rng.standard_normal(len(start))) * HOUR


def outages(rng, until_s):
    """Starts and ends of a gateway's outages: every 30 days, an hour on average."""
    start = np.cumsum(rng.exponential(30 * DAY, int(1.1 * until_s / (30 * DAY)) + 1000)) - 400 * DAY
    return start, start + rng.exponential(HOUR, len(start))


def environment_of(faults: Mapping[str, tuple], until_s) -> Environment:
    """One fault for each component; names starting with g are outages, the others brown-outs of 0.18."""
    rows = [
        (code, name, start, end)
        for code, (name, episodes) in enumerate(faults.items())
        for start, end in [episodes]
    ]
    code = np.concatenate([np.full(len(start), code) for code, _, start, _ in rows])
    is_outage = np.concatenate([np.full(len(start), name.startswith("g")) for _, name, start, _ in rows])
    start = np.concatenate([start for *_, start, _ in rows])
    end = np.concatenate([end for *_, end in rows])
    keep = (end > 0) & (start < until_s)
    kind = np.where(is_outage, FAULT_KINDS.index("outage"), FAULT_KINDS.index("brownout"))
    return Environment(
        code[keep].astype(np.int32),
        kind[keep].astype(np.int8),
        np.maximum(start[keep], 0),
        end[keep],
        np.where(is_outage, 1.0, 0.18)[keep],
        np.where(is_outage, 0, 503)[keep].astype(np.int16),
        tuple(faults),
    )


class World:
    """An environment long enough to cut replications from, its law found apart, and a share that fails.

    `fails(components)` is the share of requests that fail while the named components are at fault.
    """

    def __init__(
        self,
        seed: int,
        processes: Mapping[str, Callable],
        fails: Callable[[frozenset[str]], float],
        days: float = 1_000_000,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.until_s = days * DAY
        environment = environment_of({n: p(rng, self.until_s) for n, p in processes.items()}, self.until_s)
        self.path = state_path(fault_intervals(environment, 0, self.until_s), 0, self.until_s)
        whole = EnvironmentLaw.from_environment(environment, 0, self.until_s)
        u = np.array(
            [fails(frozenset() if n == "quiet" else frozenset(n.split(" and "))) for n in whole.names]
        )
        self.fails = u[np.searchsorted(whole.states, self.path.state)]
        self.unavailability = float(whole.shares @ u)
        apart_s = 100_000 * DAY
        self.law = EnvironmentLaw.from_environment(
            environment_of({n: p(rng, apart_s) for n, p in processes.items()}, apart_s), 0, apart_s
        )

    def study(self, rng, replications, horizon_s):
        """The cells, failures and requests of independent replications, each from a place of its own."""
        path, starts = self.path, rng.uniform(0, self.until_s - horizon_s, replications)
        cells, failures, requests = [], [], []
        for start in starts:
            rows = slice(
                np.searchsorted(path.end_s, start, side="right"),
                np.searchsorted(path.start_s, start + horizon_s),
            )
            seconds = np.minimum(path.end_s[rows], start + horizon_s) - np.maximum(path.start_s[rows], start)
            arrived = rng.poisson(REQUESTS_PER_S * seconds)
            cells.append(
                Cells(path.state[rows], path.spell[rows], seconds, np.maximum(seconds / MEMORY_S, 1))
            )
            failures.append(rng.binomial(arrived, self.fails[rows]).astype(float))
            requests.append(arrived.astype(float))
        return cells, failures, requests


def one_provider(seed, days=1_000_000):
    """A provider whose incidents fail 18 % of requests."""
    return World(seed, {"a": incidents}, lambda down: 0.18 * bool(down), days)


def three_providers(seed, gateway, beside=0.0, days=1_000_000):
    """Requests fail if the gateway does, at its severity, or 18 % of them if all three providers do.

    `beside` is the share that fails whatever is down.
    """

    def fails(down):
        share = (1.0 if gateway is outages else 0.18) if "gateway" in down or "x" in down else 0.0
        if {"a", "b", "c"} <= down:
            share = max(share, 0.18)
        return min(share + beside, 1.0)

    name = "gateway" if gateway is outages else "x"
    return World(seed, {"a": incidents, "b": incidents, "c": incidents, name: gateway}, fails, days)
