"""Strata: units that are alike in what overlaps, so that a few windows stand for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from simsla.analysis.windows.lives import Life, States

__all__ = ["Population", "Stratum", "stratify"]

FEWEST: Final = 30
"""Units below which a stratum is united with other rare ones."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Stratum:
    """Units that are alike.

    A window of a head is the whole head; all heads of a stratum are equally likely to be drawn. A window of
    an interior is a cell of at most `cell_s`, as likely as it is long. `size` is the number of
    heads, or the seconds of all interiors; `seconds` is the time in either. `state` is the one that its units
    have in common, None where rare ones are united.
    """

    name: str
    is_head: bool
    state: int | None
    rows: Ints
    size: float
    seconds: float
    cells: int


@dataclass(frozen=True, slots=True)
class Population:
    """All units of all lives, in columns, and their strata. `stratum` is the stratum of each unit."""

    life: Ints
    start_s: Floats
    end_s: Floats
    state: npt.NDArray[np.uint64]
    trouble_s: Floats
    stratum: Ints
    strata: tuple[Stratum, ...]
    memory_s: float
    cell_s: float

    @property
    def length_s(self) -> Floats:
        """The length of each unit."""
        return self.end_s - self.start_s

    def by_life(self, lives: int) -> Floats:
        """The size of each stratum in each life: a row for each life."""
        heads = np.array([stratum.is_head for stratum in self.strata])
        size = np.where(heads[self.stratum], 1.0, self.length_s)
        cell = self.life * len(self.strata) + self.stratum
        summed = np.bincount(cell, weights=size, minlength=lives * len(self.strata))
        result: Floats = summed.reshape(lives, -1).astype(np.float64)
        return result


def stratify(
    lives: Sequence[Life], states: States, memory_s: float, most: int, cell_s: float | None = None
) -> Population:
    """The strata of the units of all lives: at most about `most`, the rarest united.

    Rare ones are united by how many faults are active, how many were together within the router's memory, and
    whether they are heads; never with units that differ in that. Interiors are cut into cells of `cell_s`, by
    default the router's memory.
    """
    cell_s = memory_s if cell_s is None else cell_s
    life = np.repeat([each.number for each in lives], [len(each.key) for each in lives])
    start_s, end_s = (np.concatenate([getattr(each, n) for each in lives]) for n in COLUMNS)
    state, key = (np.concatenate([getattr(each, n) for each in lives]) for n in ("state", "key"))
    trouble_s = np.concatenate([each.trouble_s for each in lives])
    is_head = np.concatenate([each.is_head for each in lives])
    before = np.concatenate([each.before for each in lives])
    _, first, of, count = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
    level = np.array([states.level(each) for each in state[first].tolist()])
    ranked = np.argsort(-count, kind="stable")
    own = np.zeros(len(first), dtype=bool)
    own[ranked[:most]] = True
    own &= count >= FEWEST
    own |= ~is_head[first] & (level == 0)  # always a quiet stratum
    group = np.where(
        own, -1, (np.minimum(level, 99) * 100 + np.minimum(before[first], 99)) * 2 + is_head[first]
    )
    names: list[tuple[str, bool, int | None]] = []
    number = np.zeros(len(first), dtype=np.int64)
    for i in ranked[own[ranked]]:
        number[i] = len(names)
        what = int(state[first[i]])
        names.append(
            (
                _named(states, what, bool(is_head[first[i]]), int(before[first[i]])),
                bool(is_head[first[i]]),
                what,
            )
        )
    for code in np.unique(group[~own]):
        number[group == code] = len(names)
        now, seen, head = code // 200, code // 2 % 100, bool(code % 2)
        text = f"rare: {_faults(now)}" + (f", soon after {_faults(seen)}" if head else "")
        names.append((text, head, None))
    stratum = number[of.reshape(-1)]
    order = np.argsort(stratum, kind="stable")
    bounds = np.searchsorted(stratum[order], np.arange(len(names) + 1))
    length_s = end_s - start_s
    strata = []
    for i, (name, head, alone) in enumerate(_apart(names)):
        rows = order[bounds[i] : bounds[i + 1]]
        seconds = float(length_s[rows].sum())
        cells = len(rows) if head else int(np.ceil(length_s[rows] / cell_s).sum())
        strata.append(Stratum(name, head, alone, rows, float(len(rows)) if head else seconds, seconds, cells))
    return Population(life, start_s, end_s, state, trouble_s, stratum, tuple(strata), memory_s, cell_s)


COLUMNS: Final = ("unit_start_s", "unit_end_s")


def _named(states: States, state: int, is_head: bool, before: int) -> str:
    now = states.name(state)
    if not is_head:
        return now
    return f"{now}, soon after {_faults(before)}"


def _faults(count: int) -> str:
    return "quiet" if count == 0 else f"{count} fault" + ("s" if count > 1 else "")


def _apart(names: list[tuple[str, bool, int | None]]) -> list[tuple[str, bool, int | None]]:
    """The same, with numbers where histories differ and words do not."""
    seen: dict[str, int] = {}
    result = []
    for name, head, state in names:
        seen[name] = nth = seen.get(name, 0) + 1
        result.append((name if nth == 1 else f"{name} ({nth})", head, state))
    return result
