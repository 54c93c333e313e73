"""What an attempt costs where it takes more than two numbers to say: by date, by hour, by what is cached."""

from __future__ import annotations

import math
from collections.abc import Hashable
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from simsla.scenario.instants import DAY_S

if TYPE_CHECKING:
    from simsla.routing import Request
    from simsla.scenario.prices import Price, PromptCache

_MTOK: Final = 1e6

# Attempts that began so long ago may still be billed.
_LONGEST_ATTEMPT_S: Final = 3600.0


class Tariff:
    """The price of one deployment during one run."""

    def __init__(self, price: Price, start: datetime, begin_s: float) -> None:
        """`start` is the moment of absolute second 0; the run's clock is 0 at the absolute time `begin_s`."""
        self._midnight = start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self._first_s = (start - self._midnight).total_seconds() + begin_s
        self._price = price
        self._day: date | None = None
        self._usd_in = self._usd_out = 0.0
        self._day_ends_s = 0.0
        cache = price.prompt_cache
        self._discount = 0.0 if cache is None else cache.discount * cache.share
        self._cache = None if cache is None or cache.by is None else PromptCacheState(cache)

    def cost_usd(
        self, request: Request, start_s: float, now: float, tokens_in: int, tokens_out: int
    ) -> float:
        """What an attempt costs that began at `start_s` and ends now, with so many tokens billed.

        It is to be asked once for each attempt, in order of their ends: billed prompts fill the cache.
        """
        factor = self._look_up(now)
        cost_in = tokens_in * self._usd_in
        if tokens_in and (self._cache is None or self._cache.hits(request, start_s, now)):
            cost_in *= 1.0 - self._discount
        return factor * (cost_in + tokens_out * self._usd_out) / _MTOK

    def _look_up(self, now: float) -> float:
        """Find the price of the day; the factor of the hour."""
        since_midnight_s = self._first_s + now
        if self._day is None or since_midnight_s >= self._day_ends_s:
            days = since_midnight_s // DAY_S
            try:
                self._day = (self._midnight + timedelta(days=days)).date()
            except OverflowError:
                # Beyond the calendar, in an environment of ten thousand years: the last price holds.
                self._day = date.max
            self._day_ends_s = (days + 1) * DAY_S
            self._usd_in, self._usd_out = self._price.at(self._day)
        second = since_midnight_s % DAY_S
        return next((hours.factor for hours in self._price.hours if second in hours), 1.0)


class PromptCacheState:
    """Which prompts a deployment has read lately, by session or topic."""

    def __init__(self, spec: PromptCache) -> None:
        self._by = spec.by
        self._ttl_s = spec.ttl_s
        # When each was first read, and when last; the ones last read longest ago come first.
        self._read: dict[Hashable, tuple[float, float]] = {}

    def hits(self, request: Request, start_s: float, now: float) -> bool:
        """Whether the prompt of an attempt that began at `start_s` was there then; from now on it is."""
        key = request.session if self._by == "session" else request.topic
        if key is None:
            return False
        first_s, last_s = self._read.pop(key, (now, -math.inf))
        hit = first_s <= start_s <= last_s + self._ttl_s
        # One that has been forgotten is read anew.
        self._read[key] = (first_s if start_s <= last_s + self._ttl_s else now, now)
        oldest = next(iter(self._read))
        if self._read[oldest][1] + self._ttl_s + _LONGEST_ATTEMPT_S < now:
            del self._read[oldest]
        return hit
