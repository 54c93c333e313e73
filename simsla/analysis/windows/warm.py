"""Whether windows begin early enough: some are run again with twice the warm-up, and must not change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from simsla.analysis.windows.measuring import Measured

__all__ = ["CHECKED", "changed"]

CHECKED: Final = 6
"""Windows that are run again."""
NOTABLE: Final = 0.05
"""The part of the failures by which they may change."""


def changed(before: Sequence[Measured], after: Sequence[Measured]) -> str:
    """What a longer warm-up changed, in words; empty where that is little, or no more than chance.

    The requests and their luck are the same, so a router that had forgotten everything changes nothing at
    all; one that draws at random changes windows in either direction.
    """
    differences = [b.failed - a.failed for a, b in zip(before, after, strict=True)]
    failures, total = sum(each.failed for each in before), sum(differences)
    chance = 2 * math.sqrt(sum(each * each for each in differences))
    if abs(total) <= max(NOTABLE * failures, chance):
        return ""
    return (
        f"With twice the warm-up, {len(before)} windows had {failures + total:,} failures instead of "
        f"{failures:,}"
    )
