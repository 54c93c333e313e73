"""Delays between attempts at one deployment: a section per formula, its ``kind`` the name of its origin."""

from __future__ import annotations

import random
from dataclasses import dataclass

from simsla.routing.config import Section, setting

# 2.0 ** 1024 overflows; every cap is reached long before.
_LARGEST_EXPONENT = 1000


@dataclass(frozen=True)
class FullJitter(Section):
    """U(0, min(cap, base 2^n)) with n = 0 for the first retry.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015; the variant with the least work
    and the least synchrony of clients.
    """

    kind = "full"

    base_s: float = setting(0.5, minimum=0.0, unit="s")
    """Seconds; the largest first delay. 0.5 as in the OpenAI SDK."""
    cap_s: float = setting(8.0, minimum=0.0, unit="s")
    """Seconds; the largest delay ever. 8 as in the OpenAI SDK."""

    def delay_s(self, retry: int, waited_s: float, rng: random.Random) -> float:
        """Seconds before retry number ``retry`` (from 0); ``waited_s`` was the delay before the last one."""
        return rng.random() * min(self.cap_s, self.base_s * 2.0 ** min(retry, _LARGEST_EXPONENT))
