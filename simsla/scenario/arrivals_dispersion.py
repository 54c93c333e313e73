"""The index of dispersion for counts, and the process of two states that has a given one.

The index over a window is the variance of the number of arrivals in it, divided by their mean: 1 for a
Poisson process. For a Poisson process whose rate is modulated by a chain of two states with variance s^2,
mean m and relaxation rate r (the sum of both rates of leaving a state) it is

    I(w) = 1 + 2 s^2 / (m r) (1 - (1 - exp(-r w)) / (r w))

(Fischer and Meier-Hellstern, "The Markov-modulated Poisson process (MMPP) cookbook", Performance Evaluation
18, 1993).
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

from pydantic import Field

from simsla.scenario.fields import Model
from simsla.scenario.quantities import Number, PositiveDuration

__all__ = ["Dispersion", "Phase", "index_of_dispersion", "two_phases"]


class Phase(NamedTuple):
    """A state of a modulated process: its rate (1/s) and its mean duration (s)."""

    rate_per_s: float
    mean_s: float


class Dispersion(Model):
    """Arrivals in bursts: `{index: 16, window: 60s}`.

    The rate is modulated by two states such that counts in windows of this length have this index. Bursts
    last about as long as the window (the correlation of the rate falls by e in one). With a profile the index
    holds at the mean rate; the modulation is relative, so it grows and shrinks with the rate.
    """

    index: Annotated[Number, Field(gt=1)]
    """Variance / mean of the counts; a Poisson process has 1, Azure's conversations of 2023 have 16 in 60 s.
    """
    window_s: PositiveDuration = Field(alias="window")


def index_of_dispersion(one: Phase, other: Phase, window_s: float) -> float:
    """I(w) of the Poisson process that is modulated by these two states in turn."""
    total_s = one.mean_s + other.mean_s
    mean = (one.rate_per_s * one.mean_s + other.rate_per_s * other.mean_s) / total_s
    variance = (one.rate_per_s - other.rate_per_s) ** 2 * one.mean_s * other.mean_s / total_s**2
    relaxation = 1 / one.mean_s + 1 / other.mean_s
    return 1 + 2 * variance / (mean * relaxation) * _grown(relaxation * window_s)


def two_phases(rate_per_s: float, index: float, window_s: float) -> tuple[Phase, Phase]:
    """The quiet and the busy state of mean rate `rate_per_s` for which I(window) is `index`.

    One equation leaves two choices. The relaxation time is the window. Both states last equally long if that
    is possible; if not (the rate would have to fall below 0) nothing arrives in the quiet one, which is then
    the longer.
    """
    # The square of the coefficient of variation of the rate, from the formula above.
    spread = (index - 1) / (2 * rate_per_s * window_s * _grown(1.0))
    if spread <= 1:
        share, quiet, busy = 0.5, 1 - math.sqrt(spread), 1 + math.sqrt(spread)
    else:
        share, quiet, busy = 1 / (1 + spread), 0.0, 1 + spread
    return (
        Phase(quiet * rate_per_s, window_s / share),
        Phase(busy * rate_per_s, window_s / (1 - share)),
    )


def _grown(x: float) -> float:
    """1 - (1 - exp(-x)) / x."""
    return 1 + math.expm1(-x) / x
