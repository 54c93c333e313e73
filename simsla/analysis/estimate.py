"""An estimate: a value with its interval, its n and its method."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from typing import Final

__all__ = ["Estimate"]

MAX_DECIMALS: Final = 12
SUFFIXES: Final = {"share": " %", "s": " s", "usd": " USD"}

BEYOND: Final = ", upper end beyond the largest value"
"""How the method of an interval ends whose upper end was not seen."""


@dataclass(frozen=True, slots=True, repr=False)
class Estimate:
    """A value with a 95 % interval.

    `n` is the number of replications the interval is taken across, `method` says how in words, and `unit`
    is "share" (a number in [0, 1], printed in per cent), "s", "usd" or "". An interval that cannot be
    given is nan at both ends; a value is nan where nothing was measured.
    """

    value: float
    ci_low: float
    ci_high: float
    n: int
    method: str = ""
    unit: str = ""

    @property
    def open_above(self) -> bool:
        """Whether the upper end is only the largest value that was seen, beyond which the true end lies."""
        return self.method.endswith(BEYOND)

    @property
    def half_width(self) -> float:
        """Half the length of the interval; nan without one, infinite where it is open above."""
        return math.inf if self.open_above else (self.ci_high - self.ci_low) / 2

    def to_dict(self) -> dict[str, float | int | str | None]:
        """Value, interval, n and method; None for what is not a finite number, which JSON cannot hold."""
        return {
            "value": finite_or_none(self.value),
            "ci_low": finite_or_none(self.ci_low),
            "ci_high": finite_or_none(self.ci_high),
            "n": self.n,
            "method": self.method,
        }

    def __str__(self) -> str:
        return self._text(None)

    def __format__(self, spec: str) -> str:
        """A number's format (`.3f`) sets the digits of all three numbers; any other pads the text."""
        if spec and spec[-1] in "eEfFgG":
            return self._text(spec)
        return format(str(self), spec)

    def __repr__(self) -> str:
        method = f", {self.method}" if self.method else ""
        return f"Estimate({self}, n={self.n}{method})"

    def _repr_html_(self) -> str:
        title = html.escape(f"n = {self.n}" + (f"; {self.method}" if self.method else ""))
        return f'<span title="{title}">{html.escape(str(self))}</span>'

    def _text(self, spec: str | None) -> str:
        suffix = SUFFIXES.get(self.unit, f" {self.unit}" if self.unit else "")
        if math.isnan(self.value):
            return "undefined"
        is_share = self.unit == "share"
        scale = 100.0 if is_share else 1.0
        half_width = (self.ci_high - self.ci_low) / 2
        digits = decimals(scale * self.value, scale * half_width, is_share)

        def number(value: float, places: int) -> str:
            if spec is not None:
                return format(scale * value, spec)
            return percent(value, places) if is_share else plain(value, places)

        text = number(self.value, digits + 1)
        if math.isnan(half_width):
            reason = "one replication" if self.n == 1 else f"{self.n} replications"
            return f"{text}{suffix}, no interval ({reason})"
        coarse = digits if half_width > 0 else digits + 1
        low, high = number(self.ci_low, coarse), number(self.ci_high, coarse)
        # Rounding must not show an end on the wrong side of the value; rounded alike, they keep their order.
        if as_number(low) > as_number(text):
            low = number(self.ci_low, digits + 1)
        if as_number(high) < as_number(text):
            high = number(self.ci_high, digits + 1)
        return f"{text}{suffix} [{low}, {'> ' if self.open_above else ''}{high}]"


def as_number(text: str) -> float:
    return float(text.replace(",", ""))


def finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def decimals(value: float, half_width: float, is_share: bool) -> int:
    """Decimals of the interval's ends, down to the first digit of its half-width; the value has one more.

    Without a width the value has four digits; a share has two of its distance from 0 or 100 %. Quantities
    other than shares never have more than six.
    """
    size = min(abs(value), abs(100 - value)) if is_share else abs(value)
    if not math.isfinite(size) or size == 0:
        size = half_width
    if math.isfinite(half_width) and half_width > 0:
        wanted = -math.floor(math.log10(half_width))
        return within(wanted if is_share else min(wanted, 4 - math.floor(math.log10(size))))
    if not math.isfinite(size) or size == 0:
        return 0
    return within((0 if is_share else 2) - math.floor(math.log10(size)))


def within(places: int) -> int:
    return min(max(places, 0), MAX_DECIMALS)


def percent(share: float, places: int) -> str:
    """A share in per cent; never 0 or 100 unless it is, however few decimals were asked for."""
    if share in (0.0, 1.0) or not math.isfinite(share):
        return f"{100 * share:.0f}"
    while places < MAX_DECIMALS and float(f"{100 * share:.{places}f}") in (0.0, 100.0):
        places += 1
    return f"{100 * share:.{places}f}"


def plain(value: float, places: int) -> str:
    return f"{value:,.{within(places)}f}" if value else "0"
