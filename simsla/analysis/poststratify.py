"""Intervals for shares when fault episodes are few: post-stratification by environment state.

A t interval across replications takes the spread it sees for the spread there is. With a handful of fault
episodes the spread it sees is mostly that of how much fault time the replications happened to get, and one
that met no episode shows none. But how much time the environment spends in each state is known
(`EnvironmentLaw`), so what remains to be estimated is only u_S, the share of requests with the outcome
given the state S; the long-run share is the sum of pi_S u_S.

- u_S is a ratio over clusters: replications for the quiet state and for states met often in each, else
  spells (stretches without quiet time between), which share no fault.
- The interval of u_S is the exact binomial one for as many independent requests as would have the error that
  the clusters show, fewer still for few degrees of freedom (Korn and Graubard 1998); for the quiet state,
  whose clusters are the replications, it is the plain one.
- A state met in fewer than `ENOUGH_SPELLS` spells, or with no spread at all, may hide what was not seen.
  Stretches of a state longer apart than `MEMORY_S` are independent of each other given the state, and by
  the rule of three (`unseen_share`) a share of the state's time behaves in any way at all.
- A state never met contributes anything from nothing to the whole of pi_S.
- States expected less than once in all the simulated time form one stratum. They differ, so there the rule
  of three counts spells, not stretches.
- Independent errors combine as the root of the sum of squares of the distances from the estimate to the
  ends (Zou and Donner 2008); unmet states add up without that mercy.

The pooled ratio stays the value: the interval is widened to hold it where it does not.

Assumed: arrivals do not depend on the environment, and a state acts through what a router remembers. Where
failures build up over hours of one episode (a backlog), few episodes are covered no better than by t.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv, expit, logit

from simsla.analysis.grouping import group_sums
from simsla.analysis.intervals import AGREEMENT, TAIL, Interval, contain, t_quantile, unseen_share
from simsla.analysis.law import EnvironmentLaw
from simsla.analysis.states import QUIET

__all__ = ["ENOUGH_SPELLS", "MEMORY_S", "Cells", "PostStratification"]

ENOUGH_SPELLS: Final = 30
"""Spells from which the spread between the spells met is taken for the spread there is."""
MEMORY_S: Final = 900.0
"""Longer than a router remembers: cool-downs, Retry-After, deadlines."""
SPELLS_PER_REPLICATION: Final = 10
"""From here on replications are the clusters, since spells in quick succession may share a memory."""
NOTABLE: Final = 0.25
"""Warned about: states met too seldom that could hold more than this part of what is counted."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cells:
    """Where measured time was spent in one replication: a row for each state of each spell.

    `stretches` counts the pieces of at most `MEMORY_S` that the visits of a row consist of.
    """

    state: npt.NDArray[np.uint64]
    spell: Ints
    seconds: Floats
    stretches: Floats


def binomial_ends(share: Floats, trials: Floats) -> tuple[Floats, Floats]:
    """The ends of the exact binomial interval, where successes and trials need not be whole."""
    k, n = share * trials, trials
    return (
        np.where(k > 0, betaincinv(k, n - k + 1, TAIL), 0),
        np.where(k < n, betaincinv(k + 1, n - k, 1 - TAIL), 1),
    )


class Strata(NamedTuple):
    """A share in each stratum with the ends of its interval, and how many clusters and spells it rests on."""

    share: Floats
    low: Floats
    high: Floats
    clusters: Floats
    spells: Floats


class PostStratification:
    """The design by which shares observed per cell become a long-run share with an interval."""

    def __init__(self, replications: Sequence[Cells], law: EnvironmentLaw) -> None:
        """Assigns the cells of all replications to strata and clusters; the law says what each weighs."""
        state = np.concatenate([cells.state for cells in replications])
        spell = np.concatenate([cells.spell for cells in replications])
        sizes = [len(cells.state) for cells in replications]
        replication = np.repeat(np.arange(len(replications)), sizes)
        seconds = np.concatenate([cells.seconds for cells in replications])
        self._stretches = np.concatenate([cells.stretches for cells in replications])

        expected = law.visits_per_s * seconds.sum() + law.shares * len(replications)
        own = (expected >= 1) | (law.states == QUIET)
        count = int(own.sum())
        stratum_of_state = np.where(own, np.cumsum(own) - 1, count)
        place = np.minimum(np.searchsorted(law.states, state), len(law.states) - 1)
        stratum = np.where(law.states[place] == state, stratum_of_state[place], count)

        self._batch_shares = np.stack(
            [group_sums(stratum_of_state, shares, count + 1) for shares in law.batch_shares]
        )
        self._shares = self._batch_shares.mean(axis=0)
        self._is_rare = np.arange(count + 1) == count
        self._is_quiet = np.arange(count + 1) == 0
        self._names = [
            *(name for name, keep in zip(law.names, own, strict=True) if keep),
            "rare combinations",
        ]

        spells, self._spell = np.unique(np.stack((stratum, replication, spell)), axis=1, return_inverse=True)
        self._stratum_of_spell = spells[0]
        often = np.bincount(spells[0], minlength=count + 1) >= SPELLS_PER_REPLICATION * len(replications)
        by_replication = (often | self._is_quiet)[stratum]
        clusters, self._cluster = np.unique(
            np.stack((stratum, replication, np.where(by_replication, -1, spell))), axis=1, return_inverse=True
        )
        self._stratum_of_cluster = clusters[0]
        self._has_spread = len(replications) > 1
        self.spells = int(np.unique(np.stack((replication, spell))[:, spell >= 0], axis=1).shape[1])
        """Spells of faults met in all replications."""

    def interval(self, successes: Floats, trials: Floats) -> Interval:
        """The pooled share of `successes` among `trials` (a number per cell) with its interval."""
        total = float(trials.sum())
        if total == 0:
            return Interval(math.nan, math.nan, math.nan)
        pooled = float(successes.sum()) / total
        strata = self._strata(successes, trials)
        if not self._has_spread or strata.clusters[0] == 1:
            return Interval(pooled, math.nan, math.nan)
        seen = strata.clusters > 0
        pi = np.where(seen, self._shares, 0)
        share = np.where(seen, strata.share, 0)
        estimate = float(pi @ share)
        law = self._law_error(share)
        below = math.sqrt(float(np.sum((pi * (share - strata.low)) ** 2)) + law**2)
        above = math.sqrt(float(np.sum((pi * (strata.high - share)) ** 2)) + law**2)
        unmet = float(self._shares[~seen].sum())
        return contain(pooled, max(estimate - below, 0.0), min(estimate + above + unmet, 1.0))

    def weighted_share(self, successes: Floats, trials: Floats) -> float:
        """The share with each state weighed by its long-run share of time, states never met left out."""
        strata = self._strata(successes, trials)
        seen = strata.clusters > 0
        pi = self._shares[seen]
        return float(pi @ strata.share[seen] / pi.sum()) if pi.sum() > 0 else math.nan

    def weak_states(self, successes: Floats, trials: Floats) -> list[tuple[str, float, int]]:
        """States met too seldom, where they could account for a quarter of the successes.

        A row of name, share of time and spells for each, the heaviest first.
        """
        strata = self._strata(successes, trials)
        weak = (strata.spells < ENOUGH_SPELLS) & ~self._is_quiet & (self._shares > 0)
        possible = self._shares * strata.high
        if possible[weak].sum() <= NOTABLE * self.interval(successes, trials).high:
            return []
        ranked = sorted(np.flatnonzero(weak), key=lambda s: -possible[s])
        return [(self._names[s], float(self._shares[s]), int(strata.spells[s])) for s in ranked]

    def _strata(self, successes: Floats, trials: Floats) -> Strata:
        """The share of successes in each stratum by itself; from 0 to 1 where it was never met."""
        count = len(self._shares)

        def summed(values: npt.NDArray[Any]) -> Floats:
            return group_sums(self._stratum_of_cluster, values, count)

        y = group_sums(self._cluster, successes, len(self._stratum_of_cluster))
        x = group_sums(self._cluster, trials, len(self._stratum_of_cluster))
        clusters, trials_in = summed(x > 0), summed(x)
        with np.errstate(divide="ignore", invalid="ignore"):
            # As in `ratio_spread` and `share_interval`, for all strata at once.
            share = np.clip(summed(y) / trials_in, 0, 1)
            part = np.where(x > 0, x / trials_in[self._stratum_of_cluster], 0)
            residual = np.where(
                (x > 0) & (part < 1), (y - share[self._stratum_of_cluster] * x) / (1 - part), 0
            )
            error = np.sqrt((clusters - 1) / clusters * summed(residual**2)) / trials_in
            effective = 1 / summed(part**2)
            binomial = share * (1 - share)
            agree = error <= AGREEMENT * binomial
            error = np.where(agree, np.sqrt(binomial / trials_in), error)
            t = t_quantile(np.where(agree, trials_in, effective - 1))
            spread = (binomial > 0) & (clusters > 1)
            worth = np.where(spread, binomial / error**2 * (t_quantile(np.inf) / t) ** 2, 1)
            low, high = binomial_ends(share, np.minimum(worth, trials_in))
            half = t * error / binomial
            low = np.where(self._is_quiet, expit(logit(share) - half), low)
            high = np.where(self._is_quiet, expit(logit(share) + half), high)
            low = np.where(spread, np.minimum(low, share), share)
            high = np.where(spread, np.maximum(high, share), share)

        stretches = summed(group_sums(self._cluster, self._stretches * (trials > 0), len(x)))
        met = group_sums(self._spell, trials, len(self._stratum_of_spell)) > 0
        spells = group_sums(self._stratum_of_spell, met, count)
        draws = np.where(self._is_quiet, trials_in, np.where(self._is_rare, effective, stretches))
        hidden = ~spread | ((spells < ENOUGH_SPELLS) & ~self._is_quiet)
        unseen = np.where(hidden, unseen_share(draws), 0)
        seen = clusters > 0
        return Strata(
            share=share,
            low=np.where(seen, (1 - unseen) * low, 0),
            high=np.where(seen, high + unseen * (1 - high), 1),
            clusters=clusters,
            spells=spells,
        )

    def _law_error(self, share: Floats) -> float:
        """Half an interval's width for the error with which the long draw knows the shares of time."""
        batches = self._batch_shares @ share
        n = len(batches)
        return float(t_quantile(n - 1) * batches.std(ddof=1) / math.sqrt(n))
