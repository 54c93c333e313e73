"""Queues whose service times have any distribution."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from simsla.analysis.closed_forms.arguments import above_zero, at_least_zero, plain, stable
from simsla.analysis.closed_forms.formula import formula
from simsla.analysis.closed_forms.mmc import mmc_mean_sojourn_s

__all__ = ["mg1_mean_wait_s", "mgc_ps_mean_sojourn_s"]


@formula(
    "Pollaczek-Khinchine",
    assumes="Poisson arrivals, independent service times, one server, no limit on the queue",
    source="Pollaczek 1930; Khinchine 1932",
)
def mg1_mean_wait_s(
    arrivals_per_s: npt.ArrayLike, service_s: npt.ArrayLike, cv_squared: npt.ArrayLike
) -> Any:
    """The mean wait in M/G/1, in seconds: rho ES (1 + cs^2) / (2 (1 - rho)).

    Arrivals per second and the mean service in seconds, both above 0, at a load below 1; `cv_squared` is the
    variance of the service time over its squared mean (>= 0): 0 deterministic, 1 exponential,
    exp(sigma^2) - 1 lognormal. Raises ValueError.
    """
    rate, service = above_zero(arrivals_per_s, "arrivals_per_s"), above_zero(service_s, "service_s")
    load = stable(rate * service)
    return plain(load * service * (1 + at_least_zero(cv_squared, "cv_squared")) / (2 * (1 - load)))


@formula(
    "M/G/c processor sharing",
    assumes="Poisson arrivals, all are served at once, n of them at the speed min(1, c / n) each",
    source="Cohen 1979",
)
def mgc_ps_mean_sojourn_s(
    servers: int, arrivals_per_s: npt.ArrayLike, service_s: npt.ArrayLike, work_s: npt.ArrayLike | None = None
) -> Any:
    """The mean time, in seconds, from arrival to the end in M/G/c with processor sharing.

    Exact whatever the distribution of the work: it depends on its mean alone and equals that of M/M/c; with
    one server it is ES / (1 - rho). `work_s` gives the mean for a job of that much work (seconds at full
    speed, >= 0) instead: it is in proportion. `servers` is the number of jobs served at full speed (at least
    1), `service_s` the mean work; arrivals per second at a load below 1. Raises ValueError.
    """
    mean = mmc_mean_sojourn_s(servers, arrivals_per_s, service_s)
    if work_s is None:
        return plain(mean)
    return plain(mean * at_least_zero(work_s, "work_s") / above_zero(service_s, "service_s"))
