"""Which requests are poison, drawn by their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from simsla.records import ATTEMPT_OUTCOMES
from simsla.world.streams import BLOCK, Stream

if TYPE_CHECKING:
    from simsla.scenario.poison import Poison
    from simsla.world.traffic import Block

POISON: Final = -1
"""In the place of the length of an answer that no deployment will ever give."""

_OUTCOME_OF_STATUS: Final = {
    400: ATTEMPT_OUTCOMES.index("bad_request"),
    500: ATTEMPT_OUTCOMES.index("server_error"),
}


class PoisonDraws:
    """The poison requests of a class."""

    def __init__(self, spec: Poison, request_class: str, seed: int, replication: int) -> None:
        self._spec = spec
        self._stream = Stream(seed, replication, "traffic", request_class, "poison")

    def add_to(self, block: Block) -> None:
        """Poison some requests of a block whose lengths are known."""
        drawn = self._stream.uniforms(BLOCK, block.index)[: len(block.output_tokens)]
        block.poison_outcome = _OUTCOME_OF_STATUS[self._spec.status]
        for place in np.flatnonzero(drawn < self._spec.share).tolist():
            block.output_tokens[place] = POISON
