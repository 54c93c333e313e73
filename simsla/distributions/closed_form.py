"""Distributions whose inverse has a closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from scipy.special import ndtr, ndtri

from simsla.distributions.base import Distribution, FloatArray, finite, positive
from simsla.distributions.errors import DistributionError

__all__ = ["Constant", "Exponential", "LogNormal", "Uniform", "Weibull"]

Z99 = float(ndtri(0.99))


@dataclass(frozen=True, repr=False)
class Constant(Distribution):
    """Always `value`."""

    kind: ClassVar[str] = "constant"
    forms: ClassVar[tuple[tuple[str, ...], ...]] = (("value",),)
    value: float

    def __post_init__(self) -> None:
        super().__post_init__()
        finite(self.value, "value")

    def _ppf(self, u: FloatArray) -> FloatArray:
        return np.full(np.shape(u), self.value, dtype=np.float64)

    def _mean(self) -> float:
        return self.value

    def _cdf(self, x: FloatArray) -> FloatArray:
        return np.where(x >= self.value, 1.0, 0.0)

    def _sf(self, x: FloatArray) -> FloatArray:
        return np.where(x >= self.value, 0.0, 1.0)

    def _support(self) -> tuple[float, float]:
        return self.value, self.value


@dataclass(frozen=True, repr=False)
class Uniform(Distribution):
    """Uniform between `low` and `high`."""

    kind: ClassVar[str] = "uniform"
    forms: ClassVar[tuple[tuple[str, ...], ...]] = (("low", "high"),)
    low: float
    high: float

    def __post_init__(self) -> None:
        super().__post_init__()
        finite(self.low, "low")
        if finite(self.high, "high") <= self.low:
            raise DistributionError("high", f"a number above low ({self.low!r})", self.high)

    def _ppf(self, u: FloatArray) -> FloatArray:
        return self.low + (self.high - self.low) * u

    def _mean(self) -> float:
        return (self.low + self.high) / 2

    def _cdf(self, x: FloatArray) -> FloatArray:
        return np.clip((x - self.low) / (self.high - self.low), 0.0, 1.0)

    def _sf(self, x: FloatArray) -> FloatArray:
        return np.clip((self.high - x) / (self.high - self.low), 0.0, 1.0)

    def _support(self) -> tuple[float, float]:
        return self.low, self.high


@dataclass(frozen=True, repr=False)
class Exponential(Distribution):
    """Exponential with mean `scale`; written as `mean` or as `rate` = 1 / mean."""

    kind: ClassVar[str] = "exponential"
    forms: ClassVar[tuple[tuple[str, ...], ...]] = (("mean",), ("rate",))
    scale: float

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self.scale, "mean")

    @classmethod
    def of(cls, *, unit: str = "s", **given: float) -> Self:
        """By `mean` or by `rate`."""
        written = tuple(given.items())
        match given:
            case {"mean": mean, **rest} if not rest:
                return cls(mean, unit=unit, written=written)
            case {"rate": rate, **rest} if not rest:
                return cls(1 / positive(rate, "rate"), unit=unit, written=written)
        raise DistributionError("", cls.expected_forms(), ", ".join(sorted(given)) or "nothing")

    def parameters(self) -> dict[str, float]:
        """The mean, or the rate where that was written."""
        return dict(self.written) or {"mean": self.scale}

    def _ppf(self, u: FloatArray) -> FloatArray:
        return -self.scale * np.log1p(-u)

    def _mean(self) -> float:
        return self.scale

    def _cdf(self, x: FloatArray) -> FloatArray:
        return -np.expm1(-np.maximum(x, 0.0) / self.scale)

    def _sf(self, x: FloatArray) -> FloatArray:
        return np.exp(-np.maximum(x, 0.0) / self.scale)

    def _support(self) -> tuple[float, float]:
        return 0.0, math.inf


@dataclass(frozen=True, repr=False)
class Weibull(Distribution):
    """Weibull: P(X > x) = exp(-(x / scale) ** shape); shape below 1 means clustered renewals."""

    kind: ClassVar[str] = "weibull"
    forms: ClassVar[tuple[tuple[str, ...], ...]] = (("shape", "scale"),)
    shape: float
    scale: float

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self.shape, "shape")
        positive(self.scale, "scale")

    def _ppf(self, u: FloatArray) -> FloatArray:
        x: FloatArray = self.scale * (-np.log1p(-u)) ** (1 / self.shape)
        return x

    def _mean(self) -> float:
        try:
            return self.scale * math.gamma(1 + 1 / self.shape)
        except OverflowError:
            return math.inf

    def _cdf(self, x: FloatArray) -> FloatArray:
        return -np.expm1(-((np.maximum(x, 0.0) / self.scale) ** self.shape))

    def _sf(self, x: FloatArray) -> FloatArray:
        return np.exp(-((np.maximum(x, 0.0) / self.scale) ** self.shape))

    def _support(self) -> tuple[float, float]:
        return 0.0, math.inf


@dataclass(frozen=True, repr=False)
class LogNormal(Distribution):
    """Log-normal: ln X is normal with mean `mu` and standard deviation `sigma`.

    Written as mu and sigma, mean and p99, mean and sigma, median and sigma, or median and p99. With
    z = ndtri(0.99), ln(p99 / mean) = sigma z - sigma^2 / 2 has two roots; the smaller one,
    sigma = z - sqrt(z^2 - 2 ln(p99 / mean)), is meant (the larger one puts the mean above most of the
    body). No log-normal has p99 / mean above exp(z^2 / 2) = 14.97.
    """

    kind: ClassVar[str] = "lognormal"
    forms: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("mu", "sigma"),
        ("mean", "p99"),
        ("mean", "sigma"),
        ("median", "sigma"),
        ("median", "p99"),
    )
    mu: float
    sigma: float

    def __post_init__(self) -> None:
        super().__post_init__()
        finite(self.mu, "mu")
        positive(self.sigma, "sigma")

    @classmethod
    def of(cls, *, unit: str = "s", **given: float) -> Self:
        """By mu and sigma, mean and p99, mean and sigma, median and sigma, or median and p99."""
        written = tuple(given.items())
        match given:
            case {"mu": mu, "sigma": sigma, **rest} if not rest:
                return cls(mu, sigma, unit=unit)
            case {"mean": mean, "p99": p99, **rest} if not rest:
                sigma = sigma_of(mean, p99)
                return cls(math.log(mean) - sigma**2 / 2, sigma, unit=unit, written=written)
            case {"mean": mean, "sigma": sigma, **rest} if not rest:
                mu = math.log(positive(mean, "mean")) - positive(sigma, "sigma") ** 2 / 2
                return cls(mu, sigma, unit=unit, written=written)
            case {"median": median, "sigma": sigma, **rest} if not rest:
                return cls(math.log(positive(median, "median")), sigma, unit=unit, written=written)
            case {"median": median, "p99": p99, **rest} if not rest:
                if positive(p99, "p99") <= positive(median, "median"):
                    raise DistributionError("p99", f"a number above the median ({median!r})", p99)
                sigma = math.log(p99 / median) / Z99
                return cls(math.log(median), sigma, unit=unit, written=written)
        raise DistributionError("", cls.expected_forms(), ", ".join(sorted(given)) or "nothing")

    def _ppf(self, u: FloatArray) -> FloatArray:
        x = np.asarray(ndtri(u), dtype=np.float64)
        x *= self.sigma
        x += self.mu
        return np.exp(x, out=x)

    def _mean(self) -> float:
        try:
            return math.exp(self.mu + self.sigma**2 / 2)
        except OverflowError:
            return math.inf

    def _z(self, x: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore"):
            z: FloatArray = (np.log(np.maximum(x, 0.0)) - self.mu) / self.sigma
        return z

    def _cdf(self, x: FloatArray) -> FloatArray:
        return np.asarray(ndtr(self._z(x)), dtype=np.float64)

    def _sf(self, x: FloatArray) -> FloatArray:
        return np.asarray(ndtr(-self._z(x)), dtype=np.float64)

    def _support(self) -> tuple[float, float]:
        return 0.0, math.inf


def sigma_of(mean: float, p99: float) -> float:
    if positive(p99, "p99") <= positive(mean, "mean"):
        raise DistributionError("p99", f"a number above the mean ({mean!r})", p99)
    discriminant = Z99**2 - 2 * math.log(p99 / mean)
    if discriminant < 0:
        largest = math.exp(Z99**2 / 2)
        raise DistributionError(
            "p99",
            f"at most {largest:.4g} times the mean, i.e. {largest * mean:.6g} "
            "(no log-normal has a larger p99 / mean; use a mixture or empirical values)",
            p99,
        )
    return Z99 - math.sqrt(discriminant)
