"""Running windows: the router meets the requests of a window after a warm-up, and what came of it is kept."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from simsla.records import ATTEMPT_OUTCOMES, OUTCOMES
from simsla.records.intents import GOOD, RETRY_BITS
from simsla.simulation import run_one, surroundings_held

if TYPE_CHECKING:
    from simsla.scenario import Scenario
    from simsla.simulation import Policy
    from simsla.world.environment import Environment

__all__ = ["Measured", "Window", "run_windows"]

TURNED_AWAY: Final = [ATTEMPT_OUTCOMES.index(name) for name in ("rate_limited", "unavailable")]
AT_ONCE: Final = 16
"""Windows that a worker process is sent together."""


class Window(NamedTuple):
    """What is run: a stretch of a life, and the warm-up before it."""

    life: int
    start_s: float
    end_s: float
    warmup_s: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What became of the requests that arrived in a window.

    `outcomes` counts valid ones by outcome, `failed` those that were not good, `firsts` all that are no retry
    of a client's. `latency_s` are those of the answered. `simulated` counts the requests of the warm-up too,
    `strained` the attempts that waited for a slot or were turned away.
    """

    outcomes: npt.NDArray[np.int64]
    valid: int
    failed: int
    firsts: int
    cost_usd: float
    latency_s: npt.NDArray[np.float32]
    attempts: int
    strained: int
    simulated: int
    unowned: int


def run_windows(
    scenario: Scenario,
    policy: Policy | str | None,
    seed: int,
    windows: Sequence[tuple[Window, Environment]],
    n_jobs: int,
    progress: bool | None,
    description: str,
) -> Iterator[Measured]:
    """Run each window within its part of the environment; results come in order, whatever `n_jobs` is."""
    import joblib
    from tqdm import tqdm

    bar = tqdm(
        total=len(windows),
        desc=description,
        unit="window",
        file=sys.stderr,
        disable=None if progress is None else not progress,
        leave=False,
    )
    with bar:
        parts = [windows[i : i + AT_ONCE] for i in range(0, len(windows), AT_ONCE)]
        results = joblib.Parallel(n_jobs=n_jobs, return_as="generator")(
            joblib.delayed(run_some)(scenario, policy, seed, part) for part in parts
        )
        for measured in results:
            bar.update(len(measured))
            yield from measured


def run_some(
    scenario: Scenario,
    policy: Policy | str | None,
    seed: int,
    windows: Sequence[tuple[Window, Environment]],
) -> list[Measured]:
    """Run some windows one after the other; called in worker processes."""
    with surroundings_held():
        return [run_window(scenario, policy, seed, *each) for each in windows]


def run_window(
    scenario: Scenario, policy: Policy | str | None, seed: int, window: Window, environment: Environment
) -> Measured:
    """One window."""
    run = run_one(
        # A copy that is not validated: a window knows no horizon.
        scenario.model_copy(update={"warmup_s": window.warmup_s}),
        policy,
        seed,
        window.life,
        environment=environment,
        window=(window.start_s, window.end_s - window.start_s),
    )
    log = run.log.requests
    mine = (log["arrival_s"] >= run.start_s) & (log["arrival_s"] < run.end_s)
    valid = mine & log["valid"]
    good = valid & np.isin(log["outcome"], GOOD)
    attempts = run.log.attempts
    strained = (attempts["queued_s"] > 0) | np.isin(attempts["outcome"], TURNED_AWAY)
    return Measured(
        outcomes=np.bincount(log["outcome"][valid], minlength=len(OUTCOMES)),
        valid=int(valid.sum()),
        failed=int(valid.sum() - good.sum()),
        firsts=int((mine & (log["request"] >> RETRY_BITS == 0)).sum()),
        cost_usd=float(log["cost_usd"][mine].sum()),
        latency_s=(log["end_s"][good] - log["arrival_s"][good]).astype(np.float32),
        attempts=len(attempts["request"]),
        strained=int(strained.sum()),
        simulated=len(log["request"]),
        unowned=run.unowned,
    )
