"""The regions that requests come from, told by their numbers: logs need no column for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from simsla.analysis.summary import ClientRegions
from simsla.records.intents import places
from simsla.world.streams import BLOCK
from simsla.world.traffic import ClassTraffic

if TYPE_CHECKING:
    from simsla.scenario import Scenario

__all__ = ["client_regions"]

Ints = npt.NDArray[np.int64]


def client_regions(scenario: Scenario, seed: int, replication: int) -> ClientRegions | None:
    """The regions of the clients in a replication; None where no request class tells where it comes from."""
    names = tuple(dict.fromkeys(name for spec in scenario.traffic.values() for name, _ in spec.region))
    if not names:
        return None
    traffic = {
        code: ClassTraffic(spec, seed, replication, len(scenario.deployments))
        for code, spec in enumerate(scenario.traffic.values())
        if spec.region
    }
    own = {
        code: np.array([names.index(name) for name, _ in each.spec.region], dtype=np.int64)
        for code, each in traffic.items()
    }

    def of(requests: Ints, request_class: npt.NDArray[np.integer[Any]]) -> Ints:
        """What was drawn for each request is drawn again: a pure function of its number."""
        found = np.full(len(requests), -1, dtype=np.int64)
        _, place = places(requests, len(scenario.traffic))
        block, within = np.divmod(place, BLOCK)
        for code, draws in traffic.items():
            rows = np.flatnonzero(request_class == code)
            rows = rows[np.argsort(block[rows], kind="stable")]
            blocks, begins = np.unique(block[rows], return_index=True)
            for index, mine in zip(blocks.tolist(), np.split(rows, begins[1:]), strict=True):
                found[mine] = own[code][draws.region_codes(index)[within[mine]]]
        return found

    return ClientRegions(names, of)
