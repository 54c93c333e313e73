"""Power of d choices: join the shortest of d queues picked at random."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from simsla.analysis.closed_forms.arguments import numbers, plain, whole
from simsla.analysis.closed_forms.formula import formula

__all__ = ["power_of_d_mean_sojourn"]

NEGLIGIBLE = 1e-18


@formula(
    "power of d choices",
    assumes="very many single servers, Poisson arrivals, exponential service times",
    source="Vvedenskaya, Dobrushin and Karpelevich 1996; Mitzenmacher 1996",
)
def power_of_d_mean_sojourn(load: npt.ArrayLike, choices: int) -> Any:
    """The mean time from arrival to the end of service, in mean services.

    sum over i >= 1 of load^((d^i - d) / (d - 1)); with one choice 1 / (1 - load). `load` is in [0, 1),
    `choices` d at least 1. Raises ValueError.
    """
    rho = numbers(load, "load", "a load in [0, 1)", lambda x: (x >= 0) & (x < 1))
    d = whole(choices, "choices", 1)
    if d == 1:
        return plain(1 / (1 - rho))
    total, exponent = np.ones_like(rho), float(d)
    # The exponents are 0, d, d + d^2, ...: terms vanish at a doubly exponential rate.
    while np.any((term := rho**exponent) > NEGLIGIBLE):
        total = total + term
        exponent = d + d * exponent
    return plain(total)
