"""Machines that fail and are mended by fewer people than there are machines."""

from __future__ import annotations

from typing import Any

import numpy as np

from simsla.analysis.closed_forms.arguments import Floats, above_zero, plain, whole
from simsla.analysis.closed_forms.formula import formula

__all__ = ["machine_repair", "machine_repair_availability"]

MARKOV = "exponential times up and at repair; a repairman mends one machine at a time"


@formula("machine repair", assumes=MARKOV, source="Palm 1947")
def machine_repair(machines: int, repairmen: int, load: float) -> Floats:
    """The probabilities that 0, 1, ..., `machines` of them are down.

    `load` is the failure rate of a running machine times the mean repair (lambda / mu), above 0; there is at
    least one machine and one repairman. Raises ValueError.
    """
    n, c = whole(machines, "machines", 1), whole(repairmen, "repairmen", 1)
    ratio = float(above_zero(load, "load"))
    down = np.arange(n)
    # Birth and death: from k down to k + 1 at (n - k) lambda, back at min(k + 1, c) mu. On the scale of
    # logarithms, so that many machines do not overflow.
    log_weights = np.concatenate(([0.0], np.cumsum(np.log((n - down) * ratio / np.minimum(down + 1, c)))))
    weights = np.exp(log_weights - log_weights.max())
    return np.asarray(weights / weights.sum(), dtype=np.float64)


@formula("machine repair, k of n up", assumes=MARKOV, source="Palm 1947")
def machine_repair_availability(machines: int, repairmen: int, load: float, needed: int = 1) -> Any:
    """The probability that at least `needed` machines are up (see `machine_repair`). Raises ValueError."""
    if whole(needed, "needed") > machines:
        raise ValueError(f"needed: expected at most {machines}, the number of machines, got {needed}")
    too_many = machine_repair(machines, repairmen, load)[machines - needed + 1 :]
    return plain(min(max(1 - float(too_many.sum()), 0.0), 1.0))
