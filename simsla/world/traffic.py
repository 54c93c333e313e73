"""Arrivals: blocks of consecutive requests of a class, with everything about them drawn in advance.

Request numbers do not depend on where a run begins. A Poisson process is cut into cells of time with a mean
of 768 arrivals each; a cell holds Poisson many, uniformly placed, and owns the 1,024 numbers of one block. So
any window of time can be entered at once, and it meets the requests that a full run would meet there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from simsla.scenario.traffic import PoissonArrivals, TraceArrivals
from simsla.world.streams import BLOCK, Stream
from simsla.world.topics import TopicDraws

if TYPE_CHECKING:
    from simsla.distributions import Distribution
    from simsla.scenario import RequestClass

FloatArray = npt.NDArray[np.float64]

# P(more than 1,024 arrivals in a cell) is below 1e-18: smaller than the spacing of the uniforms.
_MEAN_ARRIVALS_PER_CELL: Final = 768.0

# One row of uniforms per thing that is drawn for a request; new ones are appended, so that no other moves.
_PROMPT, _OUTPUT, _COMPLEXITY, _PATIENCE, _REGION, _ROWS = range(6)


class Block:
    """Up to `BLOCK` consecutive requests of one class; lists, because scalars are read from them.

    `index` is its place among the blocks of the class; position i in it is the request number
    `index * BLOCK + i` of the class. `arrival_s` is on the run's clock. `luck` is where each deployment keeps
    what it drew for the block, by ordinal, and `late_luck` what it last drew for one request alone. Where
    requests are about nothing in particular `topic` is None.
    """

    __slots__ = (
        "arrival_s",
        "complexity",
        "index",
        "late_luck",
        "luck",
        "other_luck",
        "output_tokens",
        "patience_s",
        "prompt_tokens",
        "region",
        "request_class",
        "topic",
        "wording",
        "words",
    )

    def __init__(self, request_class: str, index: int, deployments: int) -> None:
        self.request_class = request_class
        self.index = index
        self.arrival_s: list[float] = []
        self.prompt_tokens: list[int] = []
        self.output_tokens: list[int] = []
        self.complexity: list[float] | None = None
        self.patience_s: list[float] | None = None
        self.region: list[str] | None = None
        self.topic: list[str] | None = None
        # How each is asked about, and in how many words; where there are no topics, nothing reads them.
        self.wording: list[int] = []
        self.words = 0
        self.luck: list[list[tuple[list[float], ...]]] = [[] for _ in range(deployments)]
        self.other_luck: dict[tuple[int, str], list[tuple[list[float], ...]]] = {}
        self.late_luck: dict[tuple[int, str, int], tuple[int, tuple[list[float], ...]]] = {}


class ClassTraffic:
    """The arrivals of one request class within a run."""

    def __init__(self, spec: RequestClass, seed: int, replication: int, deployments: int) -> None:
        self.spec = spec
        self._deployments = deployments
        self._arrivals = Stream(seed, replication, "traffic", spec.name, "arrivals")
        self._traits = Stream(seed, replication, "traffic", spec.name, "traits")
        # Shared by all classes: it divides the rows of a trace between them.
        self._assignment = Stream(seed, replication, "traffic", "trace", "assignment")
        self._topics = None if spec.topics is None else TopicDraws(spec.topics, spec.name, seed, replication)
        regions = [name for name, _ in spec.region]
        weights = np.cumsum([weight for _, weight in spec.region])
        self._regions = regions
        self._region_edges = weights[:-1] / weights[-1] if regions else weights

    def blocks(self, begin_s: float, end_s: float) -> Iterator[tuple[Block, list[int]]]:
        """Blocks with arrivals in [begin_s, end_s) of absolute time, and the positions that arrive then.

        Blocks come in order, and so do the positions. The run's clock is 0 at `begin_s`.
        """
        arrivals = self.spec.arrivals
        if isinstance(arrivals, PoissonArrivals):
            yield from self._poisson(arrivals.rate_per_s, begin_s, end_s)
        else:
            yield from self._trace(arrivals, begin_s, end_s)

    def _poisson(self, rate_per_s: float, begin_s: float, end_s: float) -> Iterator[tuple[Block, list[int]]]:
        if rate_per_s == 0:
            return
        cell_s = _MEAN_ARRIVALS_PER_CELL / rate_per_s
        for index in range(math.floor(begin_s / cell_s), math.ceil(end_s / cell_s)):
            generator = self._arrivals.generator(index)
            count = int(np.searchsorted(_poisson_table(), generator.random(), side="right"))
            places = np.sort(generator.random(count)) * cell_s
            # The cell's own start is subtracted first, so that late windows lose no precision.
            times = (index * cell_s - begin_s) + places
            inside = np.flatnonzero((times >= 0) & (times < end_s - begin_s))
            if len(inside):
                yield self._block(index, times), inside.tolist()

    def _trace(
        self, arrivals: TraceArrivals, begin_s: float, end_s: float
    ) -> Iterator[tuple[Block, list[int]]]:
        trace = arrivals.load()
        low, high = arrivals.share
        for index in range(math.ceil(len(trace) / BLOCK)):
            rows = slice(index * BLOCK, (index + 1) * BLOCK)
            times = trace.arrival_s[rows] - begin_s
            u = self._assignment.uniforms(BLOCK, index)[: len(times)]
            mine = (u >= low) & (u < high)
            inside = np.flatnonzero(mine & (times >= 0) & (times < end_s - begin_s))
            if len(inside):
                block = self._block(index, times)
                block.prompt_tokens = trace.prompt_tokens[rows].tolist()
                block.output_tokens = trace.output_tokens[rows].tolist()
                yield block, inside.tolist()

    def _block(self, index: int, times: FloatArray) -> Block:
        spec = self.spec
        u = self._traits.uniforms((_ROWS, BLOCK), index)
        block = Block(spec.name, index, self._deployments)
        block.arrival_s = times.tolist()
        if spec.prompt_tokens is not None and spec.output_tokens is not None:
            block.prompt_tokens = _tokens(spec.prompt_tokens, u[_PROMPT])
            block.output_tokens = _tokens(spec.output_tokens, u[_OUTPUT])
        if spec.complexity is not None:
            block.complexity = spec.complexity.ppf(u[_COMPLEXITY]).tolist()
        if spec.patience is not None:
            block.patience_s = spec.patience.ppf(u[_PATIENCE]).tolist()
        if self._regions:
            places = np.searchsorted(self._region_edges, u[_REGION], side="right")
            block.region = [self._regions[place] for place in places.tolist()]
        if self._topics is not None:
            self._topics.add_to(block)
        return block


def _tokens(distribution: Distribution, u: FloatArray) -> list[int]:
    """Whole tokens, at least one."""
    tokens: list[int] = np.maximum(np.rint(distribution.ppf(u)), 1).astype(np.int64).tolist()
    return tokens


@cache
def _poisson_table() -> FloatArray:
    """P(N <= k) for k = 0 .. BLOCK - 1: the inverse of a uniform is a search in it."""
    table: FloatArray = stats.poisson.cdf(np.arange(BLOCK), _MEAN_ARRIVALS_PER_CELL)
    return table
