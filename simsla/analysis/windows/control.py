"""The control variate: the seconds in each environment state, exact for the drawn path and in expectation.

Where faults are independent of one another, the long-run share of time of a state is a product of the shares
of its faults. By how much the lives spent more or less time in it, they had too many or too few failures, and
a regression across lives takes that out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from simsla.analysis.closed_forms.fault_shares import drawn_share
from simsla.distributions import Exponential

if TYPE_CHECKING:
    from simsla.analysis.windows.lives import States
    from simsla.scenario import Scenario

__all__ = ["Adjusted", "adjusted", "expected_shares"]

MOST: Final = 6
"""States whose seconds are used: those that account for the most failures."""

Floats = npt.NDArray[np.float64]


class Adjusted(NamedTuple):
    """A mean per life, the variance of the mean, its degrees of freedom, and how many states were used."""

    mean: float
    variance: float
    degrees_of_freedom: int
    controls: int


def expected_shares(scenario: Scenario, states: States) -> dict[int, float] | None:
    """The long-run share of time of each state; None where no closed form gives it.

    There is one where each component has at most one fault that chance brings, and neither crews, common
    causes nor flapping tie them: with times up and repairs, or with exponential gaps.
    """
    shares: dict[str, float] = {}
    for name, component in scenario.all_components.items():
        drawn = [fault for fault in component.faults if not fault.schedule]
        if not drawn:
            continue
        fault = drawn[0]
        exact = fault.uptime is not None or isinstance(fault.gap, Exponential)
        tied = component.beta or (component.crew is not None and fault.repair is not None)
        if len(drawn) > 1 or tied or fault.flapping is not None or not exact:
            return None
        shares[name] = drawn_share(fault)
    found = {}
    for state, active in states.faults.items():
        parts = [share if name in active else 1 - share for name, share in shares.items()]
        found[state] = float(np.prod(parts))
    return found


def adjusted(failures: Floats, seconds: Floats, expected_s: Floats) -> Adjusted:
    """The mean of `failures` per life, corrected for the time that the lives spent in states.

    `seconds` has a row for each life and a column for each state, `expected_s` the seconds expected of each.
    """
    lives = len(failures)
    mean = float(failures.mean())
    if lives < 2:
        return Adjusted(mean, np.nan, 0, 0)
    varies = np.flatnonzero(seconds.std(axis=0) > 0)[: min(MOST, max(0, lives // 8))]
    plain = Adjusted(mean, float(failures.var(ddof=1)) / lives, lives - 1, 0)
    if not len(varies) or not plain.variance > 0:
        return plain
    x = seconds[:, varies]
    centred = x - x.mean(axis=0)
    beta, *_ = np.linalg.lstsq(centred, failures - mean, rcond=None)
    residual = failures - mean - centred @ beta
    freedom = lives - 1 - len(varies)
    off = x.mean(axis=0) - expected_s[varies]
    # The slopes are estimated too: how far the lives were off adds its part (Cochran 1977, 7.3).
    spread = 1 / lives + float(off @ np.linalg.pinv(centred.T @ centred) @ off)
    variance = float(residual @ residual) / freedom * spread
    return Adjusted(mean - float(beta @ off), variance, freedom, len(varies))
