"""What is drawn for the gateway's pods: their crashes, and their work on each attempt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from simsla.world.streams import BLOCK, Stream

if TYPE_CHECKING:
    from simsla.distributions import Distribution
    from simsla.scenario.gateway import Crash
    from simsla.world.traffic import Block

__all__ = ["ServiceTimes", "crashes"]

# A renewal process starts this many mean cycles before time 0, so that time 0 finds it in its long-run state.
_CYCLES_BEFORE_START: Final = 50

_CRASHES_PER_CHUNK: Final = 64

# Calls by one request to one deployment whose service times are drawn with those of its whole block.
_CALLS_BY_BLOCK: Final = 16


def crashes(
    crash: Crash | None, seed: int, replication: int, slot: int, begin_s: float
) -> Iterator[tuple[float, float]]:
    """The episodes in which the pod of a place is gone, on the clock of a run that begins at `begin_s`.

    They are an alternating renewal process of the place, on absolute time: no pod's history moves them, and
    all windows meet the same.
    """
    if crash is None:
        return
    names = ("gateway", "pod", str(slot))
    up = Stream(seed, replication, *names, "uptime").generator()
    down = Stream(seed, replication, *names, "repair").generator()
    cycle_s = crash.uptime.mean() + crash.repair.mean()
    phase = float(Stream(seed, replication, *names, "phase").uniforms(1)[0])
    at = -(_CYCLES_BEFORE_START + phase) * cycle_s
    while True:
        repairs = crash.repair.ppf(down.random(_CRASHES_PER_CHUNK))
        ends = at + np.cumsum(crash.uptime.ppf(up.random(_CRASHES_PER_CHUNK)) + repairs)
        at = float(ends[-1])
        if at > begin_s:
            yield from zip((ends - repairs - begin_s).tolist(), (ends - begin_s).tolist(), strict=True)


class ServiceTimes:
    """Seconds of a pod's work on each attempt: luck by request, deployment and call, as all luck is."""

    def __init__(self, service: Distribution, seed: int, replication: int) -> None:
        self._service = service
        self._address = (seed, replication, "gateway", "service")

    def of(self, block: Block, place: int, deployment: tuple[int, str], purpose: str, ordinal: int) -> float:
        """For the call of this ordinal by the request at a place; the deployment by index and name."""
        index, name = deployment
        key = (index, "gateway " + purpose)
        drawn = block.other_luck.setdefault(key, [])
        if ordinal >= _CALLS_BY_BLOCK:
            stream = Stream(*self._address, name, purpose, "late", block.request_class)
            u = stream.uniforms(1, block.index * BLOCK + place, ordinal)
            return float(self._service.ppf(u)[0])
        while len(drawn) <= ordinal:
            stream = Stream(*self._address, name, purpose, block.request_class)
            drawn.append((self._service.ppf(stream.uniforms(BLOCK, block.index, len(drawn))).tolist(),))
        return drawn[ordinal][0][place]
