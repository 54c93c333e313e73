"""A monotone table for an inverse that is slow to compute."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from simsla.distributions.base import FloatArray

__all__ = ["RELATIVE_ERROR", "InverseTable"]

RELATIVE_ERROR = 5e-5
"""Interpolation error at the middle of a cell, relative to the outcome."""

NEGLIGIBLE = 1e-9
"""Absolute error that is let pass everywhere, relative to the mean."""

FINEST = 2.0**-53


class InverseTable:
    """An inverse distribution function by linear interpolation between adaptively placed knots.

    Cells are halved until the middle is within RELATIVE_ERROR twice in succession (once could be chance where
    the inverse has a kink), so the far tails (to the last 53-bit
    uniform) are as accurate as the body. A jump of the inverse (a gap in the support) is enclosed in a
    cell whose share of the probability on its side of the median is below 1e-9.
    """

    def __init__(self, inverse: Callable[[FloatArray], FloatArray], mean: float) -> None:
        floor = NEGLIGIBLE * abs(mean) if math.isfinite(mean) else 0.0
        u = starting_knots()
        x = inverse(u)
        finished_u, finished_x = [u], [x]
        left, right, x_left, x_right = u[:-1], u[1:], x[:-1], x[1:]
        once = np.zeros(len(left), dtype=bool)
        while left.size:
            middle = (left + right) / 2
            x_middle = inverse(middle)
            error = np.abs(x_middle - (x_left + x_right) / 2)
            width = right - left
            # Uniforms are multiples of 2^-53: nothing lies between two of them, nor below the first.
            wide = (
                (width > 1e-9 * np.minimum(middle, 1 - middle))
                & ((middle < 0.5) | (width > FINEST))
                & (right > 2 * FINEST)
            )
            close = error <= RELATIVE_ERROR * np.abs(x_middle) + floor
            split = wide & ~(close & once)
            once = np.tile(close[split], 2)
            left, middle, right = left[split], middle[split], right[split]
            x_left, x_middle, x_right = x_left[split], x_middle[split], x_right[split]
            finished_u.append(middle)
            finished_x.append(x_middle)
            left, right = np.concatenate([left, middle]), np.concatenate([middle, right])
            x_left, x_right = np.concatenate([x_left, x_middle]), np.concatenate([x_middle, x_right])
        order = np.argsort(knots := np.concatenate(finished_u))
        self._u = knots[order]
        # Rounding of the exact inverse must not make the table fall.
        self._x = np.maximum.accumulate(np.concatenate(finished_x)[order])

    def __call__(self, u: FloatArray) -> FloatArray:
        return np.interp(u, self._u, self._x)

    def __len__(self) -> int:
        return len(self._u)


def starting_knots() -> FloatArray:
    tail = 2.0 ** np.arange(-52.0, -8.0)
    return np.concatenate([[0.0], tail, np.arange(1.0, 256.0) / 256, 1 - tail[::-1], [1 - FINEST]])
