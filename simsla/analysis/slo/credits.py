"""Service credits by published schedules: what a missed promise pays back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from simsla.analysis.closed_forms.arguments import Floats, at_least_zero, plain, probability
from simsla.analysis.estimate import Estimate
from simsla.analysis.intervals import share_interval

__all__ = ["AZURE_OPENAI", "BEDROCK", "GEMINI", "SCHEDULES", "CreditSchedule", "expected_credit"]


@dataclass(frozen=True, slots=True)
class CreditSchedule:
    """Credits by bands: each (bound, credit) gives that share of the bill below that monthly availability.

    Bounds fall and credits rise; the first bound is the promise. `counted` says how the availability is
    counted. Raises ValueError for bands in any other order.
    """

    name: str
    bands: tuple[tuple[float, float], ...]
    counted: str = ""

    def __post_init__(self) -> None:
        bounds, shares = probability(self.bands, "bands").reshape(-1, 2).T
        if len(bounds) == 0 or np.any(np.diff(bounds) >= 0) or np.any(np.diff(shares) <= 0):
            raise ValueError(f"bands: expected bounds that fall and credits that rise, got {self.bands!r}")

    @property
    def promise(self) -> float:
        """The monthly availability below which credits begin."""
        return self.bands[0][0]

    def credit(self, availability: npt.ArrayLike) -> Any:
        """The share of a month's bill that is credited at a monthly availability, or at each of several.

        An availability of nan, a month without requests, has no credit.
        """
        months = np.asarray(availability, dtype=np.float64)
        share: Floats = np.zeros_like(months)
        for bound, credit in self.bands:
            share = np.where(months < bound, credit, share)
        return plain(share)


BEDROCK: Final = CreditSchedule(
    "Amazon Bedrock",
    ((0.999, 0.10), (0.99, 0.25), (0.95, 1.00)),
    "per region; the mean over five-minute intervals of the share of requests without error",
)
AZURE_OPENAI: Final = CreditSchedule(
    "Azure OpenAI",
    ((0.999, 0.10), (0.99, 0.25), (0.95, 1.00)),
    "429s and latency left out",
)
GEMINI: Final = CreditSchedule(
    "Gemini on Google Cloud",
    ((0.995, 0.10), (0.99, 0.25), (0.95, 0.50)),
)
SCHEDULES: Final = {"bedrock": BEDROCK, "azure_openai": AZURE_OPENAI, "gemini": GEMINI}
"""The published schedules by the names that objectives use."""


def expected_credit(
    schedule: CreditSchedule, availabilities: npt.ArrayLike, bill_usd: float | None = None
) -> Estimate:
    """The expected credit of a month, from the availabilities of independent months.

    As a share of the bill, or in USD where the monthly `bill_usd` (>= 0) is given. The interval is taken
    across months; where no month, or every month, had the same extreme it is a bound (rule of three) and not
    zero. Months without requests (nan) are left out. Raises ValueError without a month.
    """
    months = np.asarray(availabilities, dtype=np.float64).reshape(-1)
    months = months[~np.isnan(months)]
    if len(months) == 0:
        raise ValueError("availabilities: expected at least one month")
    each = np.asarray(schedule.credit(months), dtype=np.float64)
    interval = share_interval(each, np.ones(len(months)))
    factor = 1.0 if bill_usd is None else float(at_least_zero(bill_usd, "bill_usd"))
    return Estimate(
        factor * interval.value,
        factor * interval.low,
        factor * interval.high,
        len(months),
        "across months" + (", rule of three" if interval.value in (0.0, 1.0) else ""),
        "share" if bill_usd is None else "usd",
    )
