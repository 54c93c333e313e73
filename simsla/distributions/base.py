"""What every distribution can do."""

from __future__ import annotations

import math
import numbers
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self, cast

import numpy as np
import numpy.typing as npt

from simsla.distributions.errors import DistributionError, nearest

__all__ = ["UNITS", "Distribution", "FloatArray", "finite", "no_second_unit", "positive"]

FloatArray = npt.NDArray[np.float64]

UNITS: dict[str, float] = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
"""Factors on the outcome. `s` leaves it plain, so token counts and shares need no unit."""


def finite(value: object, path: str) -> float:
    """`value` as a float; a boolean, a text, a NaN or an infinity is not a number."""
    if isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_):
        number = float(value)
        if math.isfinite(number):
            return number
    raise DistributionError(path, "a finite number", value)


def positive(value: object, path: str) -> float:
    """`value` as a float above zero."""
    number = finite(value, path)
    if number <= 0:
        raise DistributionError(path, "a number above 0", value)
    return number


@dataclass(frozen=True, repr=False)
class Distribution(ABC):
    """A distribution sampled by its inverse: equal uniforms give equal outcomes.

    Objects are immutable, hashable, picklable and equal by value. `unit` multiplies the outcome (see
    `UNITS`); parameters stay as they were written.
    """

    kind: ClassVar[str]
    forms: ClassVar[tuple[tuple[str, ...], ...]]
    """The sets of parameters by which this kind can be written, the usual one first."""

    unit: str = field(default="s", kw_only=True)
    written: tuple[tuple[str, float], ...] = field(default=(), kw_only=True, compare=False)
    """The parameters as they were given, where these are not the canonical ones."""

    def __post_init__(self) -> None:
        if not isinstance(self.unit, str) or self.unit not in UNITS:
            raise DistributionError(
                "unit", f"one of {', '.join(UNITS)}", self.unit, nearest(self.unit, UNITS)
            )

    @classmethod
    def of(cls, *, unit: str = "s", **given: float) -> Self:
        """The distribution by any one of its forms, e.g. `LogNormal.of(mean=1.2, p99=3.4)`.

        Raises DistributionError when the numbers are impossible or are no complete form.
        """
        if set(given) != set(cls.forms[0]):
            raise DistributionError("", cls.expected_forms(), ", ".join(sorted(given)) or "nothing")
        made: Self = cast(Any, cls)(**given, unit=unit)
        return made

    @classmethod
    def expected_forms(cls) -> str:
        """What `of` accepts, in words."""
        return ", or ".join(" and ".join(form) for form in cls.forms)

    def ppf(self, u: FloatArray) -> FloatArray:
        """Outcomes at the uniforms `u` in [0, 1), as a new array; non-decreasing in u up to rounding."""
        x = self._ppf(u)
        return x if self.unit == "s" else x * UNITS[self.unit]

    def quantile(self, p: float) -> float:
        """The outcome not exceeded with probability p, 0 <= p < 1, by the exact inverse."""
        if not 0 <= p < 1:
            raise ValueError(f"a quantile needs 0 <= p < 1, got {p!r}")
        return float(self.inverse(np.array([p], dtype=np.float64))[0])

    def inverse(self, u: FloatArray) -> FloatArray:
        """As `ppf`, never by a table: exact and, for some kinds, slow."""
        return self._inverse(u) * UNITS[self.unit]

    def mean(self) -> float:
        """The expected outcome; infinite where the integral diverges or overflows."""
        return self._mean() * UNITS[self.unit]

    def cdf(self, x: FloatArray) -> FloatArray:
        """The probability of an outcome of at most x."""
        return self._cdf(np.asarray(x, dtype=np.float64) / UNITS[self.unit])

    def sf(self, x: FloatArray) -> FloatArray:
        """The probability of an outcome above x, accurate in the far tail."""
        return self._sf(np.asarray(x, dtype=np.float64) / UNITS[self.unit])

    def support(self) -> tuple[float, float]:
        """The least and the greatest possible outcome (the latter may be infinite)."""
        low, high = self._support()
        return low * UNITS[self.unit], high * UNITS[self.unit]

    def sample(self, rng: np.random.Generator | int | None, size: int | tuple[int, ...]) -> FloatArray:
        """Outcomes drawn with a generator or a seed."""
        return self.ppf(np.random.default_rng(rng).random(size))

    def to_spec(self) -> dict[str, Any]:
        """The plain mapping that `from_spec` reads back to an equal distribution."""
        spec: dict[str, Any] = {"kind": self.kind, **self.parameters()}
        if self.unit != "s":
            spec["unit"] = self.unit
        return spec

    def parameters(self) -> dict[str, Any]:
        """The parameters as they were written, JSON-able."""
        return dict(self.written) or {name: getattr(self, name) for name in self.forms[0]}

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.parameters().items())
        unit = "" if self.unit == "s" else f" {self.unit}"
        return f"{self.kind}({inside}){unit}"

    def __getstate__(self) -> dict[str, Any]:
        # Tables live in __dict__ beside the fields and are cheaper to rebuild than to ship to a worker.
        return {f.name: self.__dict__[f.name] for f in fields(self)}

    @abstractmethod
    def _ppf(self, u: FloatArray) -> FloatArray: ...

    def _inverse(self, u: FloatArray) -> FloatArray:
        return self._ppf(u)

    @abstractmethod
    def _mean(self) -> float: ...

    @abstractmethod
    def _cdf(self, x: FloatArray) -> FloatArray: ...

    @abstractmethod
    def _sf(self, x: FloatArray) -> FloatArray: ...

    @abstractmethod
    def _support(self) -> tuple[float, float]: ...


def no_second_unit(unit: str, parts: Sequence[tuple[str, Distribution]]) -> None:
    """A unit on a composed distribution and on a part would multiply twice: refuse it."""
    if unit == "s":
        return
    for path, part in parts:
        if part.unit != "s":
            raise DistributionError(
                f"{path}.unit", "a unit on the whole or on its parts, not on both", part.unit
            )
