"""Sums by group."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["group_sums"]


def group_sums(group: npt.NDArray[Any], values: npt.NDArray[Any], groups: int) -> npt.NDArray[np.float64]:
    """The sum of the values of each group, from 0 to `groups` - 1."""
    return np.bincount(group, values, groups).astype(np.float64, copy=False)
