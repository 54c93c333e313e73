"""How long a round trip takes, for each attempt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from simsla.distributions import Constant
from simsla.world.streams import BLOCK, Stream

if TYPE_CHECKING:
    from simsla.distributions import Distribution
    from simsla.world.traffic import Block

__all__ = ["RoundTrips"]

# Calls by one request to one deployment whose round trips are drawn with those of its whole block.
_CALLS_BY_BLOCK: Final = 16


class RoundTrips:
    """Seconds of travel: luck by request, deployment and call, as all luck is.

    A deployment that is slow to reach for a request is so from wherever it comes: pairs of regions share the
    uniforms, and each has its own distribution of them.
    """

    def __init__(self, rtt: Mapping[str, Mapping[str, Distribution]], seed: int, replication: int) -> None:
        """`rtt` by the clients' region and the deployments'."""
        self._fixed_s: dict[tuple[str, str], float] = {}
        self._drawn: dict[tuple[str, str], Distribution] = {}
        for source, targets in rtt.items():
            for target, law in targets.items():
                if isinstance(law, Constant):
                    self._fixed_s[source, target] = law.mean()
                else:
                    self._drawn[source, target] = law
        self._address = (seed, replication, "network", "rtt")

    def of(
        self,
        regions: tuple[str, str],
        block: Block,
        place: int,
        deployment: tuple[int, str],
        purpose: str,
        ordinal: int,
    ) -> float:
        """Between the client's region and the deployment's, for the call of this ordinal by the request at a
        place of a block; the deployment by index and name.
        """
        law = self._drawn.get(regions)
        if law is None:
            return self._fixed_s.get(regions, 0.0)
        index, name = deployment
        stream = (*self._address, name, purpose, block.request_class)
        if ordinal >= _CALLS_BY_BLOCK:
            u = Stream(*stream, "late").uniforms(1, block.index * BLOCK + place, ordinal)
            return float(law.ppf(u)[0])
        drawn = block.other_luck.setdefault((index, f"rtt {regions[0]} {purpose}"), [])
        while len(drawn) <= ordinal:
            drawn.append((law.ppf(Stream(*stream).uniforms(BLOCK, block.index, len(drawn))).tolist(),))
        return drawn[ordinal][0][place]
