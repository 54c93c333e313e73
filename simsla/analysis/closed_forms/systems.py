"""Systems of independent parts: in series, in parallel, k of n."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from simsla.analysis.closed_forms.arguments import plain, probability, whole
from simsla.analysis.closed_forms.formula import formula

__all__ = ["k_of_n", "parallel", "series"]

BLOCKS = "Barlow and Proschan 1965"


@formula("parts in series", assumes="parts fail independently; all are needed", source=BLOCKS)
def series(availabilities: npt.ArrayLike) -> Any:
    """The availability of a system that needs all its parts: the product of theirs.

    `availabilities` are shares in [0, 1], one per part along the last axis. Raises ValueError.
    """
    return plain(probability(availabilities, "availabilities").prod(axis=-1))


@formula("parts in parallel", assumes="parts fail independently; any one is enough", source=BLOCKS)
def parallel(availabilities: npt.ArrayLike) -> Any:
    """The availability of a system that any one of its parts keeps up: 1 - the product of 1 - theirs.

    `availabilities` are shares in [0, 1], one per part along the last axis. Raises ValueError.
    """
    return plain(1 - (1 - probability(availabilities, "availabilities")).prod(axis=-1))


@formula("k of n parts", assumes="parts fail independently; any k are enough", source=BLOCKS)
def k_of_n(k: int, availabilities: npt.ArrayLike) -> Any:
    """The availability of a system that needs any `k` of its parts, which may differ.

    `availabilities` are shares in [0, 1], one per part along the last axis; k lies between 0 and their
    number. Raises ValueError.
    """
    each = np.atleast_1d(probability(availabilities, "availabilities"))
    n = each.shape[-1]
    if whole(k, "k") > n:
        raise ValueError(f"k: expected at most {n}, the number of parts, got {k}")
    # The distribution of the number of parts that are down, one part after another.
    down = np.zeros((*each.shape[:-1], n + 1))
    down[..., 0] = 1.0
    for part in range(n):
        up = each[..., part, None]
        fewer = np.concatenate((np.zeros_like(down[..., :1]), down[..., :-1]), axis=-1)
        down = down * up + fewer * (1 - up)
    # 1 - the small tail keeps many nines where a sum of the large terms would round them away.
    return plain(np.clip(1 - down[..., n - k + 1 :].sum(axis=-1), 0.0, 1.0))
