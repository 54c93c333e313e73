"""Request classes, or deployments, that are counted together: summaries with groups in their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from simsla.analysis.summary import ReplicationSummary
    from simsla.scenario import Scenario

__all__ = ["Groups", "groups_of", "of_classes", "of_deployments"]


class Groups(NamedTuple):
    """What deployments and request classes have in common, a name for each: "none" where there is none."""

    tier: tuple[str, ...]
    """The tier of each deployment."""
    region: tuple[str, ...]
    """The region in which each deployment is."""
    asked_tier: tuple[str, ...]
    """The tier for which each request class asks."""


def groups_of(scenario: Scenario) -> Groups:
    """The groups that a scenario tells of."""
    specs = scenario.deployment_specs
    return Groups(
        tuple(spec.tier for spec in specs),
        tuple(spec.region or "none" for spec in specs),
        tuple(spec.tier or "none" for spec in scenario.traffic.values()),
    )


def coded(names: Sequence[str]) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """The distinct names in the order in which they come, and the code of each."""
    distinct = tuple(dict.fromkeys(names))
    return distinct, np.array([distinct.index(name) for name in names], dtype=np.int64)


def summed(values: npt.NDArray[Any], code: npt.NDArray[np.int64], axis: int = 0) -> npt.NDArray[Any]:
    """The sums over the entries of an axis that have the same code."""
    parts = [values.compress(code == group, axis=axis).sum(axis=axis) for group in range(int(code.max()) + 1)]
    return np.stack(parts, axis=axis).astype(values.dtype)


def of_classes(summary: ReplicationSummary, names: Sequence[str]) -> ReplicationSummary:
    """The summary with groups of request classes in their place; `names` has the group of each class."""
    groups, code = coded(names)
    cells = len(summary.cells.state)
    requests = summary.requests
    totals = {
        name: summed(getattr(requests, name), code) for name in type(requests).__slots__ if name != "intents"
    }
    intents = type(requests.intents)(*(summed(values, code, values.ndim - 1) for values in requests.intents))
    return replace(
        summary,
        request_classes=groups,
        valid=summed(summary.valid, code, 1),
        requests=replace(requests, **totals, intents=intents),
        costs=np.concatenate((summed(summary.costs[:-1], code), summary.costs[-1:])),
        tokens=summed(summary.tokens, code),
        latency=summary.latency.regrouped(code, cells),
        lost=summary.lost.regrouped(code, cells),
        failed=summary.failed.regrouped(code, cells),
        ttft=summary.ttft.regrouped(code, cells),
        slow=summary.slow.regrouped(code),
        minutes=summed(summary.minutes, code),
        quality=None if summary.quality is None else summed(summary.quality, code, 1),
    )


def of_deployments(summary: ReplicationSummary, names: Sequence[str]) -> ReplicationSummary:
    """The summary with groups of deployments in their place; `names` has the group of each deployment."""
    groups, code = coded(names)
    attempts = summary.attempts
    totals = {
        name: summed(getattr(attempts, name), code) for name in type(attempts).__slots__ if name != "latency"
    }
    return replace(
        summary,
        deployments=groups,
        attempts=replace(attempts, **totals, latency=attempts.latency.regrouped(code, 1)),
        slots=type(summary.slots)(*(summed(values, code) for values in summary.slots)),
    )
