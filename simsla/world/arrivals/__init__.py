"""Arrival processes in time: one file each, all of them read window by window (see `cells.Arrivals`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simsla.scenario.arrivals import GammaArrivals, MmppArrivals, PoissonArrivals
from simsla.scenario.arrivals_trace import TraceArrivals
from simsla.world.arrivals.cells import Arrivals
from simsla.world.arrivals.clock import OperationalClock, WarpedArrivals
from simsla.world.arrivals.factors import Modulation, ProfileFactor, SurgeFactor
from simsla.world.arrivals.gamma import GammaProcess
from simsla.world.arrivals.modulated import Factor, ModulatedPoisson
from simsla.world.arrivals.poisson import PoissonProcess
from simsla.world.arrivals.replay import Replay
from simsla.world.streams import Stream

if TYPE_CHECKING:
    from simsla.scenario.traffic import Arrivals as Spec

__all__ = ["Arrivals", "arrivals_of"]


def arrivals_of(spec: Spec, request_class: str, seed: int, replication: int, start_s: float) -> Arrivals:
    """The process that a class of this name has in a run; absolute time 0 is `start_s` after a Monday's 0:00.

    For users in sessions, who make their own time, see `sessions`.
    """

    def stream(name: str) -> Stream:
        return Stream(seed, replication, "traffic", request_class, name)

    if isinstance(spec, TraceArrivals):
        # Shared by all classes: it divides the rows of a trace between them.
        return Replay(spec, Stream(seed, replication, "traffic", "trace", "assignment"))
    assert isinstance(spec, PoissonArrivals | MmppArrivals | GammaArrivals)
    surges = [SurgeFactor(surge) for surge in spec.surges]
    profile = None if spec.profile is None else ProfileFactor(spec.profile, start_s)
    if isinstance(spec, GammaArrivals):
        gamma = GammaProcess(spec.rate_per_s, spec.cv, stream("arrivals"))
        return gamma if spec.steady else WarpedArrivals(gamma, OperationalClock(profile, surges))
    factors: list[Factor] = [*surges, *(() if profile is None else (profile,))]
    phases = spec.phases()
    if phases:
        factors.append(Modulation(phases, stream("phases")))
    rate_per_s = spec.mean_rate_per_s()
    if factors:
        return ModulatedPoisson(rate_per_s, factors, stream("arrivals"))
    return PoissonProcess(rate_per_s, stream("arrivals"))
