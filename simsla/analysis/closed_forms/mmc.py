"""M/M/c, and with one server M/M/1: waits and sojourns, their means and quantiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from simsla.analysis.closed_forms.arguments import Floats, above_zero, numbers, plain, stable, whole
from simsla.analysis.closed_forms.erlang import erlang_c
from simsla.analysis.closed_forms.formula import formula

__all__ = [
    "mmc_mean_sojourn_s",
    "mmc_mean_wait_s",
    "mmc_sojourn_quantile_s",
    "mmc_sojourn_survival",
    "mmc_wait_probability",
    "mmc_wait_quantile_s",
]

MMC = "Poisson arrivals, exponential service times, one queue without limit, first come first served"
SOURCE = "Erlang 1917; Kleinrock 1975"

BISECTIONS = 100


def queue(
    servers: int, arrivals_per_s: npt.ArrayLike, service_s: npt.ArrayLike
) -> tuple[Any, Floats, Floats]:
    """P(wait), the rate at which the backlog drains (capacity - arrivals) and the rate of one server."""
    c = whole(servers, "servers", 1)
    rate, service = above_zero(arrivals_per_s, "arrivals_per_s"), above_zero(service_s, "service_s")
    stable(rate * service / c)
    return erlang_c(c, rate * service), c / service - rate, 1 / service


def level(p: npt.ArrayLike) -> Floats:
    return numbers(p, "p", "a number in [0, 1)", lambda x: (x >= 0) & (x < 1))


@formula("M/M/c P(wait)", assumes=MMC, source=SOURCE)
def mmc_wait_probability(servers: int, arrivals_per_s: npt.ArrayLike, service_s: npt.ArrayLike) -> Any:
    """The share of arrivals that wait at all.

    `servers` of them (at least 1), arrivals per second and the mean service in seconds, both above 0, at a
    load below 1. Raises ValueError.
    """
    return plain(queue(servers, arrivals_per_s, service_s)[0])


@formula("M/M/c mean wait", assumes=MMC, source=SOURCE)
def mmc_mean_wait_s(servers: int, arrivals_per_s: npt.ArrayLike, service_s: npt.ArrayLike) -> Any:
    """The mean wait before service, in seconds, of all arrivals; arguments as `mmc_wait_probability`."""
    waits, drain, _ = queue(servers, arrivals_per_s, service_s)
    return plain(waits / drain)


@formula("M/M/c mean sojourn", assumes=MMC, source=SOURCE)
def mmc_mean_sojourn_s(servers: int, arrivals_per_s: npt.ArrayLike, service_s: npt.ArrayLike) -> Any:
    """The mean time from arrival to the end of service, in seconds; arguments as `mmc_wait_probability`."""
    waits, drain, server = queue(servers, arrivals_per_s, service_s)
    return plain(waits / drain + 1 / server)


@formula("M/M/c wait quantile", assumes=MMC, source=SOURCE)
def mmc_wait_quantile_s(
    p: npt.ArrayLike, servers: int, arrivals_per_s: npt.ArrayLike, service_s: npt.ArrayLike
) -> Any:
    """The wait, in seconds, that a share `p` (in [0, 1)) of all arrivals does not exceed; 0 for many.

    Other arguments as `mmc_wait_probability`.
    """
    waits, drain, _ = queue(servers, arrivals_per_s, service_s)
    return plain(np.maximum(np.log(waits / (1 - level(p))), 0.0) / drain)


@formula("M/M/c sojourn beyond t", assumes=MMC, source=SOURCE)
def mmc_sojourn_survival(
    t_s: npt.ArrayLike, servers: int, arrivals_per_s: npt.ArrayLike, service_s: npt.ArrayLike
) -> Any:
    """The share of arrivals whose time from arrival to the end of service exceeds `t_s` seconds (>= 0).

    Other arguments as `mmc_wait_probability`.
    """
    t = numbers(t_s, "t_s", "a number >= 0", lambda x: x >= 0)
    return plain(survival(t, *queue(servers, arrivals_per_s, service_s)))


def survival(t: Floats, waits: Any, drain: Floats, server: Floats) -> Floats:
    # exp(-server t) + waits x server x (exp(-slow t) - exp(-fast t)) / (fast - slow), in a form that holds
    # where the two rates are equal.
    slow, gap = np.minimum(drain, server), np.abs(drain - server) * t
    shape = np.where(gap > 0, -np.expm1(-gap) / np.where(gap > 0, gap, 1.0), 1.0)
    return np.asarray(np.exp(-server * t) + waits * server * t * np.exp(-slow * t) * shape, dtype=np.float64)


@formula("M/M/c sojourn quantile", assumes=MMC, source=SOURCE)
def mmc_sojourn_quantile_s(
    p: npt.ArrayLike, servers: int, arrivals_per_s: npt.ArrayLike, service_s: npt.ArrayLike
) -> Any:
    """The time from arrival to the end of service, in seconds, that a share `p` (in [0, 1)) does not exceed.

    Found by bisection of `mmc_sojourn_survival`, to the last digits. Other arguments as
    `mmc_wait_probability`.
    """
    above = 1 - level(p)
    waits, drain, server = queue(servers, arrivals_per_s, service_s)
    above, waits, drain, server = np.broadcast_arrays(above, waits, drain, server)
    low = np.zeros_like(above)
    high = np.full_like(above, 1.0) / server
    while np.any(beyond := survival(high, waits, drain, server) > above):
        high = np.where(beyond, 2 * high, high)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        beyond = survival(middle, waits, drain, server) > above
        low, high = np.where(beyond, middle, low), np.where(beyond, high, middle)
    return plain(high)
