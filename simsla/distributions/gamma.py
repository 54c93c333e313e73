"""The gamma distribution, by a table shared between all gammas of one shape."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Self

import numpy as np
from scipy.special import gammainc, gammaincc, gammainccinv, gammaincinv, gammaln

from simsla.distributions.base import Distribution, FloatArray, positive
from simsla.distributions.errors import DistributionError
from simsla.distributions.inverse_table import InverseTable

__all__ = ["Gamma"]


@dataclass(frozen=True, repr=False)
class Gamma(Distribution):
    """Gamma with mean shape x scale; written as shape and scale, or as mean and cv = shape ** -0.5.

    `ppf` interpolates a table (relative error below 1e-4); `quantile` and `inverse` are exact.
    """

    kind: ClassVar[str] = "gamma"
    forms: ClassVar[tuple[tuple[str, ...], ...]] = (("shape", "scale"), ("mean", "cv"))
    shape: float
    scale: float

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self.shape, "shape")
        positive(self.scale, "scale")

    @classmethod
    def of(cls, *, unit: str = "s", **given: float) -> Self:
        """By shape and scale, or by mean and coefficient of variation."""
        match given:
            case {"shape": shape, "scale": scale, **rest} if not rest:
                return cls(shape, scale, unit=unit)
            case {"mean": mean, "cv": cv, **rest} if not rest:
                variance = positive(cv, "cv") ** 2
                scale = positive(mean, "mean") * variance
                return cls(1 / variance, scale, unit=unit, written=tuple(given.items()))
        raise DistributionError("", cls.expected_forms(), ", ".join(sorted(given)) or "nothing")

    def _ppf(self, u: FloatArray) -> FloatArray:
        return self.scale * standard_table(self.shape)(u)

    def _inverse(self, u: FloatArray) -> FloatArray:
        return self.scale * standard_inverse(self.shape, u)

    def _mean(self) -> float:
        return self.shape * self.scale

    def _cdf(self, x: FloatArray) -> FloatArray:
        return np.asarray(gammainc(self.shape, np.maximum(x, 0.0) / self.scale), dtype=np.float64)

    def _sf(self, x: FloatArray) -> FloatArray:
        return np.asarray(gammaincc(self.shape, np.maximum(x, 0.0) / self.scale), dtype=np.float64)

    def _support(self) -> tuple[float, float]:
        return 0.0, math.inf


@lru_cache(maxsize=64)
def standard_table(shape: float) -> InverseTable:
    return InverseTable(lambda u: standard_inverse(shape, u), mean=shape)


def standard_inverse(shape: float, u: FloatArray) -> FloatArray:
    upper = np.where(u > 0.5, gammainccinv(shape, 1 - u), gammaincinv(shape, u))
    # Near zero P(X <= x) = x^shape / Gamma(shape + 1), where the library's iteration underflows.
    with np.errstate(divide="ignore", over="ignore"):
        lower = np.exp((np.log(u) + gammaln(shape + 1)) / shape)
    return np.asarray(np.where(lower < 1e-12, lower, upper), dtype=np.float64)
