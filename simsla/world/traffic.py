"""Traffic: blocks of consecutive requests of a class, with everything about them drawn in advance.

When they come is said by `arrivals`, which also numbers them: no number depends on where a run begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from simsla.scenario.arrivals import SessionArrivals
from simsla.scenario.instants import DAY_S
from simsla.world.arrivals import arrivals_of
from simsla.world.arrivals.sessions import SessionUsers
from simsla.world.lengths import lengths_of
from simsla.world.poison import PoisonDraws
from simsla.world.streams import BLOCK, Stream
from simsla.world.topics import TopicDraws

if TYPE_CHECKING:
    from datetime import datetime

    from simsla.scenario import RequestClass

# One row of uniforms per thing that is drawn for a request; new ones are appended, so that no other moves.
_PROMPT, _OUTPUT, _COMPLEXITY, _PATIENCE, _REGION, _ROWS = range(6)


class Block:
    """Up to `BLOCK` consecutive requests of one class; lists, because scalars are read from them.

    `index` is its place among the blocks of the class; position i in it is the request number
    `index * BLOCK + i` of the class. `arrival_s` is on the run's clock. `luck` is where each deployment keeps
    what it drew for the block, by ordinal, and `late_luck` what it last drew for one request alone. Where
    requests are about nothing in particular `topic` is None. `tries` is what clients drew for each of their
    tries, by its ordinal (see `ClassTraffic.client_luck`).
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
        "poison_outcome",
        "prompt_tokens",
        "region",
        "request_class",
        "topic",
        "tries",
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
        self.poison_outcome = -1
        """How attempts fail for the requests that are poison, whose lengths say so (see `poison`)."""
        self.topic: list[str] | None = None
        # How each is asked about, and in how many words; where there are no topics, nothing reads them.
        self.wording: list[int] = []
        self.words = 0
        self.luck: list[list[tuple[list[float], ...]]] = [[] for _ in range(deployments)]
        self.other_luck: dict[tuple[int, str], list[tuple[list[float], ...]]] = {}
        self.tries: list[tuple[list[float], list[float]]] = []
        self.late_luck: dict[tuple[int, str, int], tuple[int, tuple[list[float], ...]]] = {}


class ClassTraffic:
    """The arrivals of one request class within a run."""

    def __init__(
        self, spec: RequestClass, seed: int, replication: int, deployments: int, start_s: float = 0.0
    ) -> None:
        """Absolute time 0 is `start_s` seconds after the midnight of a Monday."""
        self.spec = spec
        self._deployments = deployments
        self._traits = Stream(seed, replication, "traffic", spec.name, "traits")
        self._client = Stream(seed, replication, "traffic", spec.name, "client")
        self._lengths = lengths_of(spec)
        self._poison = None if spec.poison is None else PoisonDraws(spec.poison, spec.name, seed, replication)
        self.users: SessionUsers | None = None
        """Who asks, where requests come in sessions: they make their own time, and there are no `blocks`."""
        if isinstance(spec.arrivals, SessionArrivals):
            sessions = Stream(seed, replication, "traffic", spec.name, "sessions")
            self.users = SessionUsers(spec.arrivals, sessions, self._block)
        else:
            self._arrivals = arrivals_of(spec.arrivals, spec.name, seed, replication, start_s)
        self._topics = None if spec.topics is None else TopicDraws(spec.topics, spec.name, seed, replication)
        regions = [name for name, _ in spec.region]
        weights = np.cumsum([weight for _, weight in spec.region])
        self._regions = regions
        self._region_edges = weights[:-1] / weights[-1] if regions else weights

    def blocks(self, begin_s: float, end_s: float) -> Iterator[tuple[Block, list[int]]]:
        """Blocks with arrivals in [begin_s, end_s) of absolute time, and the positions that arrive then.

        Blocks come in order, and so do the positions. The run's clock is 0 at `begin_s`.
        """
        for cell in self._arrivals.cells(begin_s, end_s):
            block = self._block(cell.block)
            block.arrival_s = cell.times_s.tolist()
            yield block, cell.inside.tolist()

    def client_luck(self, block: Block, ordinal: int) -> tuple[list[float], list[float]]:
        """What clients drew for their tries of this ordinal (0: the first), by the place of their requests.

        Seconds until they stop waiting, and the uniforms of their back-off after it.
        """
        while len(block.tries) <= ordinal:
            patience, backoff = self._client.uniforms((2, BLOCK), block.index, len(block.tries))
            client = self.spec.client
            timeout = None if client is None else client.timeout
            timeouts = np.full(BLOCK, np.inf) if timeout is None else timeout.ppf(patience)
            block.tries.append((timeouts.tolist(), backoff.tolist()))
        return block.tries[ordinal]

    def region_codes(self, index: int) -> npt.NDArray[np.intp]:
        """Where the requests of a block come from: codes into the regions of their class, if it has any."""
        return self._region_codes(self._traits.uniforms((_ROWS, BLOCK), index))

    def _region_codes(self, u: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
        codes: npt.NDArray[np.intp] = np.searchsorted(self._region_edges, u[_REGION], side="right")
        return codes

    def _block(self, index: int) -> Block:
        spec = self.spec
        u = self._traits.uniforms((_ROWS, BLOCK), index)
        block = Block(spec.name, index, self._deployments)
        self._lengths.add_to(block, u[_PROMPT], u[_OUTPUT])
        if self._poison is not None:
            self._poison.add_to(block)
        if spec.complexity is not None:
            block.complexity = spec.complexity.ppf(u[_COMPLEXITY]).tolist()
        if spec.patience is not None:
            block.patience_s = spec.patience.ppf(u[_PATIENCE]).tolist()
        if self._regions:
            block.region = [self._regions[code] for code in self._region_codes(u).tolist()]
        if self._topics is not None:
            self._topics.add_to(block)
        return block


def since_monday_s(moment: datetime) -> float:
    """Seconds from the last midnight of a Monday to the moment, in its own time zone."""
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return moment.weekday() * DAY_S + (moment - midnight).total_seconds()
