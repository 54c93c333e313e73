"""The availability of months: whole months of drawn environment, with losses drawn from the windows.

Expected losses are not enough for a target, which is a threshold: what matters is how losses come together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from simsla.analysis.windows.totals import Sampled, failed
from simsla.world.streams import Stream

if TYPE_CHECKING:
    from simsla.analysis.windows.strata import Population

__all__ = ["DRAWS", "Months"]

DRAWS: Final = 100
"""Times that lives and windows are resampled for an interval."""

Floats = npt.NDArray[np.float64]


class Months:
    """Whole months of all lives, and what each could lose."""

    def __init__(
        self,
        population: Population,
        sampled: Sequence[Sampled],
        *,
        lives: int,
        origin_s: float,
        life_s: float,
        month_s: float,
        requests_per_s: float,
        seed: int,
    ) -> None:
        """`origin_s` is where the measured time of every life begins, `requests_per_s` are valid requests."""
        self.lives = lives
        self.per_life = int(life_s / month_s + 1e-9)
        self._month_s = month_s
        self._expected = requests_per_s * month_s
        self._seed = seed
        self._always = 0.0
        self._parts: list[tuple[npt.NDArray[np.int64], Floats, Floats, Floats]] = []
        for stratum, sample in zip(population.strata, sampled, strict=True):
            lost = sample.values(failed)
            if not lost.any():
                continue
            rows = stratum.rows
            if stratum.is_head:
                amount, values, cells = np.ones(len(rows)), lost, np.ones(len(rows))
            else:
                seconds = sample.draws.end_s - sample.draws.start_s
                amount, values = population.length_s[rows], lost / seconds
                cells = np.maximum(amount / population.cell_s, 1.0)
                if stratum.state == 0:
                    # What fails while nothing is at fault is spread over all months.
                    self._always += float(lost.sum() / seconds.sum()) * stratum.seconds / (lives * life_s)
                    continue
            month = ((population.start_s[rows] - origin_s) / month_s).astype(np.int64)
            inside = month < self.per_life
            cell = population.life[rows] * self.per_life + month
            self._parts.append((cell[inside], amount[inside], np.sqrt(cells[inside]), values))

    @property
    def count(self) -> int:
        """How many months there are."""
        return self.lives * self.per_life

    def unavailability(self, draw: int, *, resampled: bool) -> Floats:
        """The unavailability of each month, a row for each life, in one draw of losses.

        With `resampled` the losses come from a resample of the windows, as another study would have seen.
        """
        generator = Stream(self._seed, draw, "months", str(resampled)).generator()
        lost = np.zeros(self.count)
        for cell, amount, root, values in self._parts:
            pool = generator.choice(values, len(values)) if resampled else values
            # An interior is many cells alike: the mean of as many draws has this mean and variance.
            mean = pool.mean()
            drawn = mean + (generator.choice(pool, len(cell)) - mean) / root
            lost += np.bincount(cell, weights=amount * drawn, minlength=self.count)
        always = self._always * self._month_s
        return np.minimum((lost + always) / self._expected, 1.0).reshape(self.lives, self.per_life)

    def missed(self, allowed: float, draws: int = DRAWS) -> tuple[float, Floats]:
        """The share of months with more than `allowed` unavailability, and what resampling makes of it."""
        value = float(
            np.mean([(self.unavailability(i, resampled=False) > allowed).mean() for i in range(10)])
        )
        again = np.empty(draws)
        for i in range(draws):
            by_life = (self.unavailability(i, resampled=True) > allowed).mean(axis=1)
            generator = Stream(self._seed, i, "months", "lives").generator()
            again[i] = generator.choice(by_life, self.lives).mean()
        return value, again
