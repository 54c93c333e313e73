"""The episodes of one fault: from its process or its schedule, on and off, until they are repaired."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from simsla.world.streams import BLOCK, Stream

if TYPE_CHECKING:
    from simsla.scenario.faults import Episode, Fault, Flapping

FloatArray = npt.NDArray[np.float64]

Address = tuple[int, int, str, str, str]
"""Seed, replication, component, kind of fault, and which fault of that kind: the names of its streams."""

CYCLES_BEFORE_START: Final = 50
"""A renewal process starts this many mean cycles before time 0, at a random phase, so that the run meets it
in its long-run state and not just after an episode."""

# A share of repairs beyond which longer ones are neglected at time 0.
_LONGEST_REPAIR: Final = 0.9999

# Fixed, because the rounding of a cumulative sum depends on where it begins: a longer run must meet the
# very same episodes first.
_EPISODES_PER_CHUNK: Final = 1024

# So many goings on and off of one episode are drawn at once.
_FLAPS_AT_ONCE: Final = 16


class Episodes(NamedTuple):
    """Episodes in columns. `number` names an episode within its fault, however long the run is."""

    number: npt.NDArray[np.int64]
    start_s: FloatArray
    end_s: FloatArray
    severity: FloatArray

    def select(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Episodes:
        """Some of them."""
        return Episodes(self.number[rows], self.start_s[rows], self.end_s[rows], self.severity[rows])


def episodes_of(fault: Fault, address: Address, until_s: float) -> Episodes:
    """The whole episodes of a fault that overlap [0, until_s), as they are before anybody repairs them."""
    found = _planned(fault, address, until_s) if fault.schedule else _drawn(fault, address, until_s)
    return found.select((found.end_s > 0) & (found.start_s < until_s))


def repaired(episodes: Episodes, repairs_s: FloatArray) -> Episodes:
    """Episodes that end with the first repair (ordered times) after they began, if not before."""
    first = np.searchsorted(repairs_s, episodes.start_s, side="right")
    return episodes._replace(end_s=np.minimum(episodes.end_s, np.append(repairs_s, np.inf)[first]))


def flapping(how: Flapping, address: Address, episodes: Episodes, until_s: float) -> Episodes:
    """What is left of episodes that go on and off: down first, then up, and so on, until they end.

    Those of one episode are drawn by its number alone, so a repair or a longer run moves none of them.
    """
    stream = Stream(*address, "flapping")
    rows, starts, ends = [], [], []
    blocks = episodes.number // BLOCK
    order = np.argsort(blocks, kind="stable")
    for together in np.split(order, np.flatnonzero(np.diff(blocks[order])) + 1):
        lasting, at, drawn = together, episodes.start_s[together], 0
        while len(lasting):
            u = stream.generator(int(blocks[lasting[0]]), drawn).random((BLOCK, _FLAPS_AT_ONCE, 2))
            down, up = np.moveaxis(u[episodes.number[lasting] % BLOCK], 2, 0)
            down_s = how.down.ppf(down)
            resumes = at[:, np.newaxis] + np.cumsum(down_s + how.up.ppf(up), axis=1)
            start = np.column_stack((at, resumes[:, :-1]))
            rows.append(np.repeat(lasting, _FLAPS_AT_ONCE))
            starts.append(start.ravel())
            ends.append(np.minimum(start + down_s, episodes.end_s[lasting, np.newaxis]).ravel())
            going_on = resumes[:, -1] < np.minimum(episodes.end_s[lasting], until_s)
            lasting, at, drawn = lasting[going_on], resumes[going_on, -1], drawn + 1
    if not rows:
        return episodes
    start_s, end_s = np.concatenate(starts), np.concatenate(ends)
    strikes = (start_s < end_s) & (end_s > 0) & (start_s < until_s)
    every = episodes.select(np.concatenate(rows))._replace(start_s=start_s, end_s=end_s)
    return every.select(strikes)


# From a schedule


def _planned(fault: Fault, address: Address, until_s: float) -> Episodes:
    """Episodes at appointed times, and windows that come again and again."""
    parts = [_windows(fault, episode, i, address, until_s) for i, episode in enumerate(fault.schedule)]
    together = Episodes(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    return together.select(np.argsort(together.start_s, kind="stable"))


def _windows(fault: Fault, episode: Episode, i: int, address: Address, until_s: float) -> Episodes:
    times = 1
    if episode.every_s is not None:
        times = max(0, int(np.ceil((until_s - episode.start_s) / episode.every_s)))
    start_s = np.asarray(episode.start_s + np.arange(times) * (episode.every_s or 0.0), dtype=np.float64)
    number = np.arange(times) + (i << 40)
    severity = np.full(times, episode.severity)
    if fault.rollback is None:
        lasts_s = np.inf if episode.duration_s is None else episode.duration_s
        return Episodes(number, start_s, start_s + lasts_s, severity)
    end_s = start_s + fault.rollback.noticed.ppf(Stream(*address, "noticed").generator(i).random(times))
    if episode.every_s is not None:
        # The next release takes the place of a bad one that nobody has noticed.
        end_s = np.minimum(end_s, start_s + episode.every_s)
    bad = Stream(*address, "bad").generator(i).random(times) < fault.rollback.bad
    return Episodes(number, start_s, end_s, severity).select(bad)


# From a process


def _drawn(fault: Fault, address: Address, until_s: float) -> Episodes:
    """The episodes of a renewal process in its long-run state.

    `gap` runs from start to start, and episodes that overlap are united; `uptime` from an end to the next
    start, so that they cannot.
    """
    between, lasts = fault.between, fault.lasts
    assert between is not None
    assert lasts is not None
    alternating = fault.gap is None
    waits = Stream(*address, "between").generator()
    repairs = Stream(*address, "repair").generator()
    cycle_s = between.mean() + (lasts.mean() if alternating else 0.0)
    before_s = CYCLES_BEFORE_START * cycle_s
    if not alternating:
        # Episodes may last many gaps: those that still last at time 0 must have had the time to begin.
        before_s = max(before_s, lasts.quantile(_LONGEST_REPAIR))
    at = -before_s - float(Stream(*address, "phase").uniforms(1)[0]) * cycle_s
    starts, ends = [], []
    while at < until_s:
        wait = between.ppf(waits.random(_EPISODES_PER_CHUNK))
        repair = lasts.ppf(repairs.random(_EPISODES_PER_CHUNK))
        if alternating:
            end = at + np.cumsum(wait + repair)
            start = end - repair
            at = float(end[-1])
        else:
            start = at + np.cumsum(wait)
            end = start + repair
            at = float(start[-1])
        starts.append(start)
        ends.append(end)
    start, end = np.concatenate(starts), np.concatenate(ends)
    if fault.rollback is not None and fault.rollback.bad < 1:
        bad = Stream(*address, "bad").generator().random(len(start)) < fault.rollback.bad
        start, end = start[bad], end[bad]
    if not alternating:
        start, end = united(start, end)
    return Episodes(np.arange(len(start)), start, end, np.full(len(start), fault.severity))


def united(starts: FloatArray, ends: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Intervals ordered by start, with those that overlap made one."""
    reach = np.maximum.accumulate(ends)
    first = np.concatenate(([True], starts[1:] > reach[:-1]))[: len(starts)]
    last = np.concatenate((first[1:], [True]))[: len(starts)]
    return starts[first], reach[last]
