"""Distributions sampled by their inverse, described by plain mappings.

Everything random in a scenario is one of these. One uniform gives one outcome, so equal uniforms give
equal luck whatever asks for it.
"""

from __future__ import annotations

from simsla.distributions.base import UNITS, Distribution
from simsla.distributions.closed_form import Constant, Exponential, LogNormal, Uniform, Weibull
from simsla.distributions.composed import Mixture, Shifted
from simsla.distributions.empirical import Empirical
from simsla.distributions.errors import DistributionError, nearest
from simsla.distributions.gamma import Gamma
from simsla.distributions.spec import KINDS, from_spec, spec_schema

__all__ = [
    "KINDS",
    "UNITS",
    "Constant",
    "Distribution",
    "DistributionError",
    "Empirical",
    "Exponential",
    "Gamma",
    "LogNormal",
    "Mixture",
    "Shifted",
    "Uniform",
    "Weibull",
    "from_spec",
    "nearest",
    "spec_schema",
]
