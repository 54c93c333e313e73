"""Which windows are run: systematic samples of the units of a stratum.

Heads are drawn with equal probability, cells of interiors in proportion to their length. A systematic sample
(Madow 1949) takes every so-manieth from a random start in order of time: each unit has exactly the
probability wanted, and the windows are spread over lives and episodes.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from simsla.analysis.windows.strata import Population
from simsla.world.streams import Stream

__all__ = ["Draws", "draw_windows"]


LATELY: Final = 3
"""Memories for which it is remembered when trouble began."""


class Draws(NamedTuple):
    """Windows of one stratum: the unit each is of, where it begins and ends, how likely it was drawn.

    `warmup_s` is how long before it the router begins.
    """

    unit: npt.NDArray[np.int64]
    start_s: npt.NDArray[np.float64]
    end_s: npt.NDArray[np.float64]
    probability: npt.NDArray[np.float64]
    warmup_s: npt.NDArray[np.float64]


def draw_windows(population: Population, stratum: int, wanted: int, seed: int, phase: str) -> Draws:
    """`wanted` windows of a stratum, or all of them where there are no more."""
    chosen = population.strata[stratum]
    rows, memory_s, cell_s = chosen.rows, population.memory_s, population.cell_s
    length_s = population.length_s[rows]
    cells = np.ones(len(rows), np.int64) if chosen.is_head else np.ceil(length_s / cell_s).astype(np.int64)
    u = float(Stream(seed, 0, "windows", phase, chosen.name).uniforms(1)[0])
    if by_length := not chosen.is_head and wanted < chosen.cells and wanted * cell_s <= chosen.size:
        # In proportion to length: no cell is likelier than 1.
        reach = np.cumsum(length_s)
        points = (u + np.arange(wanted)) * (reach[-1] / wanted)
        of = np.minimum(np.searchsorted(reach, points, side="right"), len(rows) - 1)
        nth = np.floor((points - (reach[of] - length_s[of])) / cell_s).astype(np.int64)
        nth = np.clip(nth, 0, cells[of] - 1)
    else:
        reach = np.cumsum(cells)
        count = min(wanted, chosen.cells)
        taken = np.floor((u + np.arange(count)) * (chosen.cells / count)).astype(np.int64)
        taken = np.minimum(taken, chosen.cells - 1)
        of = np.searchsorted(reach, taken, side="right")
        nth = taken - (reach[of] - cells[of])
    start_s = population.start_s[rows[of]] + nth * cell_s
    end_s = population.end_s[rows[of]]
    if not chosen.is_head:
        end_s = np.minimum(start_s + cell_s, end_s)
    if by_length:
        probability = wanted * (end_s - start_s) / chosen.size
    else:
        probability = np.full(len(of), min(wanted / chosen.cells, 1.0))
    extra = Stream(seed, 0, "windows", phase, chosen.name, "warm-up").uniforms(len(of))
    warmup_s = _warmups(population.trouble_s[rows[of]], start_s, memory_s, extra)
    return Draws(rows[of], start_s, end_s, probability, warmup_s)


def _warmups(
    trouble_s: npt.NDArray[np.float64],
    start_s: npt.NDArray[np.float64],
    memory_s: float,
    u: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """How long before its start each window is entered: a memory, and longer in times of trouble.

    Trouble that began not long ago is met from its beginning. Where it began long ago the router has fallen
    into a rhythm, such as a probe every 30 s, whose phase it never forgets: a fixed warm-up would always meet
    the same one, so its length is uniform between one and two memories.
    """
    ago_s = start_s - trouble_s
    with np.errstate(invalid="ignore"):
        lately = ago_s <= LATELY * memory_s
    return np.where(np.isnan(ago_s), memory_s, np.where(lately, ago_s + memory_s, memory_s * (1 + u)))
