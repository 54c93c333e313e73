"""Distributions made of other distributions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from simsla.distributions.base import Distribution, FloatArray, finite, no_second_unit
from simsla.distributions.errors import DistributionError
from simsla.distributions.inverse_table import InverseTable

__all__ = ["Mixture", "Shifted"]


@dataclass(frozen=True, repr=False)
class Shifted(Distribution):
    """`offset` plus an outcome of `base`, e.g. a network round trip under every latency."""

    kind: ClassVar[str] = "shifted"
    forms: ClassVar[tuple[tuple[str, ...], ...]] = (("offset", "base"),)
    offset: float
    base: Distribution

    def __post_init__(self) -> None:
        super().__post_init__()
        finite(self.offset, "offset")
        no_second_unit(self.unit, [("base", self.base)])

    def parameters(self) -> dict[str, Any]:
        """The offset and the base's spec."""
        return {"offset": self.offset, "base": self.base.to_spec()}

    def _ppf(self, u: FloatArray) -> FloatArray:
        return self.offset + self.base.ppf(u)

    def _inverse(self, u: FloatArray) -> FloatArray:
        return self.offset + self.base.inverse(u)

    def _mean(self) -> float:
        return self.offset + self.base.mean()

    def _cdf(self, x: FloatArray) -> FloatArray:
        return self.base.cdf(x - self.offset)

    def _sf(self, x: FloatArray) -> FloatArray:
        return self.base.sf(x - self.offset)

    def _support(self) -> tuple[float, float]:
        low, high = self.base.support()
        return self.offset + low, self.offset + high


@dataclass(frozen=True, repr=False)
class Mixture(Distribution):
    """One of several distributions, each with a relative weight.

    `ppf` interpolates a table of the inverse of the mixed distribution function (relative error below
    1e-4, except in cells of probability below 1e-9 around gaps of the support), so one uniform gives one
    outcome and outcomes are monotone in it; `quantile` and `inverse` bisect to 1e-13. The mean is exact.
    """

    kind: ClassVar[str] = "mixture"
    forms: ClassVar[tuple[tuple[str, ...], ...]] = (("parts",),)
    parts: tuple[tuple[float, Distribution], ...]
    """Pairs of a weight (not negative; they need not add up to 1) and a distribution."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.parts:
            raise DistributionError("parts", "at least one part", [])
        for i, (weight, _) in enumerate(self.parts):
            if finite(weight, f"parts[{i}].weight") < 0:
                raise DistributionError(f"parts[{i}].weight", "a number >= 0", weight)
        if not sum(weight for weight, _ in self.parts) > 0:
            raise DistributionError("parts", "a weight above 0", [weight for weight, _ in self.parts])
        no_second_unit(self.unit, [(f"parts[{i}]", part) for i, (_, part) in enumerate(self.parts)])

    def parameters(self) -> dict[str, Any]:
        """The parts' specs with their weights."""
        return {"parts": [{"weight": weight, **part.to_spec()} for weight, part in self.parts]}

    def _shares(self) -> list[tuple[float, Distribution]]:
        total = sum(weight for weight, _ in self.parts)
        return [(weight / total, part) for weight, part in self.parts if weight > 0]

    def _ppf(self, u: FloatArray) -> FloatArray:
        return mixture_table(self.parts)(u)

    def _inverse(self, u: FloatArray) -> FloatArray:
        inverses = np.array([part.inverse(u) for _, part in self._shares()])
        low, high = inverses.min(axis=0), inverses.max(axis=0)
        upper = u > 0.5
        for _ in range(200):
            if np.all(high - low <= 1e-13 * np.abs(high)):
                break
            middle = (low + high) / 2
            enough = np.where(upper, self._sf(middle) <= 1 - u, self._cdf(middle) >= u)
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return np.asarray(high, dtype=np.float64)

    def _mean(self) -> float:
        return math.fsum(share * part.mean() for share, part in self._shares())

    def _cdf(self, x: FloatArray) -> FloatArray:
        return weighted_sum([(share, part.cdf(x)) for share, part in self._shares()])

    def _sf(self, x: FloatArray) -> FloatArray:
        return weighted_sum([(share, part.sf(x)) for share, part in self._shares()])

    def _support(self) -> tuple[float, float]:
        supports = [part.support() for _, part in self._shares()]
        return min(low for low, _ in supports), max(high for _, high in supports)


def weighted_sum(terms: list[tuple[float, FloatArray]]) -> FloatArray:
    return np.asarray(sum(share * values for share, values in terms), dtype=np.float64)


@lru_cache(maxsize=64)
def mixture_table(parts: tuple[tuple[float, Distribution], ...]) -> InverseTable:
    mixture = Mixture(parts)
    return InverseTable(mixture.inverse, mean=mixture.mean())
