"""Slots that are asked for by Poisson traffic: blocked (Erlang B) or made to wait (Erlang C)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from simsla.analysis.closed_forms.arguments import Floats, at_least_zero, plain, stable, whole
from simsla.analysis.closed_forms.formula import formula

__all__ = ["erlang_b", "erlang_c"]


def blocked(servers: int, erlangs: Floats) -> Floats:
    """Erlang B by its recursion over servers, which neither overflows nor cancels."""
    share = np.ones_like(erlangs)
    for k in range(1, servers + 1):
        share = erlangs * share / (k + erlangs * share)
    return share


@formula(
    "Erlang B",
    assumes="Poisson arrivals, service times of any distribution, who finds no free slot is lost",
    source="Erlang 1917",
)
def erlang_b(servers: int, erlangs: npt.ArrayLike) -> Any:
    """The share of arrivals that are turned away by `servers` slots without a queue.

    `erlangs` is the offered load: arrivals per second x mean service in seconds, >= 0. Raises ValueError.
    """
    return plain(blocked(whole(servers, "servers"), at_least_zero(erlangs, "erlangs")))


@formula(
    "Erlang C",
    assumes="Poisson arrivals, exponential service times, one queue without limit",
    source="Erlang 1917",
)
def erlang_c(servers: int, erlangs: npt.ArrayLike) -> Any:
    """The share of arrivals that have to wait for one of `servers` slots (at least 1).

    `erlangs` is the offered load: arrivals per second x mean service in seconds, below `servers`.
    Raises ValueError.
    """
    c, offered = whole(servers, "servers", 1), at_least_zero(erlangs, "erlangs")
    load = stable(offered / c)
    lost = blocked(c, offered)
    return plain(lost / (1 - load * (1 - lost)))
