"""Whether events that have nothing to do with one another fall on exactly one instant.

Times drawn from continuous distributions never tie but for the resolution of floats. Where they do, a
trace's clock is coarse or latencies are constants on a grid, and a comparison (`<` or `<=`) somewhere decides
the same way every time: a bug that real clocks never show, or that hides one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import pdtrc

from simsla.analysis.warnings import ExactTiesWarning
from simsla.records import ATTEMPT_OUTCOMES, Log

__all__ = ["Ties", "exact_ties", "find_ties"]

SIGNIFICANCE: Final = 1e-3
NOTABLE: Final = 1e-3
"""Ties of a smaller share of the events decide nothing."""
FEWEST: Final = 5
"""Fewer may be the work of one hand-made episode."""
NEAR: Final = 1 << 16
"""So many spacings of floats apart is still a near miss."""
OK: Final = ATTEMPT_OUTCOMES.index("ok")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tally:
    """Of `events` of one kind, `ties` fell on the instant of an unrelated one; `chance` allows so many."""

    ties: int
    chance: float
    events: int

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.ties + other.ties, self.chance + other.chance, self.events + other.events)

    @property
    def notable(self) -> bool:
        """Whether there are more ties than chance allows (at 1e-3), and more than a few."""
        if self.ties < max(FEWEST, NOTABLE * self.events):
            return False
        return float(pdtrc(self.ties - 1, self.chance + 1 / NEAR)) < SIGNIFICANCE


@dataclass(frozen=True, slots=True)
class Ties:
    """The tallies of one replication."""

    arrivals: Tally
    """Requests that arrive together."""
    answers: Tally
    """Successful attempts that end together although they did not start together."""
    mixed: Tally
    """Requests that arrive in the instant in which another one's attempt succeeds."""

    def __add__(self, other: Ties) -> Ties:
        return Ties(self.arrivals + other.arrivals, self.answers + other.answers, self.mixed + other.mixed)


def find_ties(log: Log) -> Ties:
    """The ties in a log, warm-up included; costs two sorts.

    Only what nothing in a run can bring to one instant is compared: what is released together (by a breaker,
    a limit or a slot) starts together, what is cancelled together ends together, and neither is chance.
    """
    arrivals = np.sort(log.requests["arrival_s"])
    answered = log.attempts["outcome"] == OK
    start_s, end_s = log.attempts["start_s"][answered], log.attempts["end_s"][answered]
    order = np.lexsort((start_s, end_s))
    start_s, end_s = start_s[order], end_s[order]
    # Those that start and end together share a cause and a constant: they count once.
    apart = np.concatenate((np.ones(1, np.bool_), (np.diff(start_s) != 0) | (np.diff(end_s) != 0)))
    ends = end_s[apart[: len(end_s)]]
    return Ties(tally(np.diff(arrivals), arrivals), tally(np.diff(ends), ends), between(arrivals, ends))


def tally(gaps: Floats, times: Floats) -> Tally:
    """What the gaps from events to their neighbours say; `times` are ordered.

    Two events tie by chance if they fall into one spacing of floats. How likely that is, bursts included, is
    told by near misses, which are `NEAR` times as many; by the mean density where floats are too coarse.
    """
    if len(times) < 2:
        return Tally(0, 0.0, len(times))
    spacing = float(np.spacing(times[-1]))
    tied = int((gaps == 0).sum())
    near = int((gaps <= NEAR * spacing).sum()) - tied
    density = len(times) / max(float(times[-1] - times[0]), spacing)
    return Tally(tied, max(near / NEAR, len(times) * density * spacing), len(times))


def between(arrivals: Floats, ends: Floats) -> Tally:
    """What the distances from each arrival to the next and the last end say."""
    if not len(ends):
        return Tally(0, 0.0, len(arrivals))
    following = np.searchsorted(ends, arrivals)
    after = np.append(ends, np.inf)[following] - arrivals
    before = arrivals - np.concatenate(([-np.inf], ends))[following]
    return tally(np.minimum(after, before), arrivals)


def exact_ties(found: Sequence[Ties]) -> ExactTiesWarning | None:
    """The warning that the ties of all replications call for, if any: it names the kinds that tie."""
    if not found:
        return None
    total = found[0]
    for more in found[1:]:
        total += more
    told = [
        f"{each.ties:,} of {each.events:,} {what}"
        for each, what in (
            (total.arrivals, "requests arrive together with another (the clock of a trace may be coarse)"),
            (
                total.answers,
                "answers end together with one that started at another time (constant latencies)",
            ),
            (total.mixed, "requests arrive as another one's answer ends (constant latencies on a grid)"),
        )
        if each.notable
    ]
    if not told:
        return None
    return ExactTiesWarning(
        f"Unrelated events fall on exactly one instant, more often than chance allows: {'; '.join(told)}. "
        "Which of them comes first is then decided by the simulator's order, the same way every time."
    )
