"""The Kubernetes horizontal pod autoscaler, as a state machine that takes the time and the metrics.

Each look at the metrics: what each asks for (`demand`), the largest of these, the most cautious of what was
wanted within the stabilisation windows, and at most the change that the policies allow. Source: "Horizontal
Pod Autoscaling" (kubernetes.io); tolerances by direction: KEP-4951.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from simsla.world.gateway.demand import Reading, demand

if TYPE_CHECKING:
    from simsla.scenario.gateway import Autoscaler, ScalingPolicy, ScalingRules

__all__ = ["HorizontalAutoscaler"]

# Looks come at equal distances, which windows and periods may equal but for the rounding of sums.
_ROUNDING_S: Final = 1e-6


class HorizontalAutoscaler:
    """The number of pods over time. No clock of its own; times must not go back."""

    def __init__(self, rules: Autoscaler) -> None:
        self.rules = rules
        self._wanted: deque[tuple[float, int]] = deque()
        self._changes: list[tuple[float, int]] = []

    def look(self, now: float, current: int, ready: int, readings: Sequence[Reading]) -> int:
        """The number of pods there shall be, of `current` now, of which `ready` are ready.

        `readings` belong to the metrics of the rules, in order. It is taken to be obeyed at once.
        """
        rules = self.rules
        if not self._wanted:
            self._wanted.append((now, current))
        if not rules.min <= current <= rules.max:
            chosen = min(max(current, rules.min), rules.max)
        else:
            wanted = self._largest(now, current, ready, readings)
            if wanted is None:
                return current
            chosen = self._limited(now, current, self._stabilised(now, current, wanted))
        if chosen != current:
            longest_s = max(p.period_s for p in (*rules.scale_up.policies, *rules.scale_down.policies))
            self._changes = [c for c in self._changes if _within(c[0], now, longest_s)]
            self._changes.append((now, chosen - current))
        return chosen

    def _largest(self, now: float, current: int, ready: int, readings: Sequence[Reading]) -> int | None:
        """What the metrics ask for together; None if that cannot be said."""
        asked = [
            demand(metric, reading, now, ready, self.rules)
            for metric, reading in zip(self.rules.metrics, readings, strict=True)
        ]
        known = [current if pods < 0 else pods for pods in asked if pods is not None]
        # One that is not known could ask for more than the others, so there are no fewer pods without it.
        if not known or (len(known) < len(asked) and max(known) < current):
            return None
        return max(known)

    def _stabilised(self, now: float, current: int, wanted: int) -> int:
        """As near to the current number as what was wanted lately demands."""
        up_s = now - self.rules.scale_up.stabilisation_s + _ROUNDING_S
        down_s = now - self.rules.scale_down.stabilisation_s + _ROUNDING_S
        while self._wanted and self._wanted[0][0] <= min(up_s, down_s):
            self._wanted.popleft()
        least = most = wanted
        for time, pods in self._wanted:
            if pods < least and time > up_s:
                least = pods
            if pods > most and time > down_s:
                most = pods
        self._wanted.append((now, wanted))
        return min(max(current, least), most)

    def _limited(self, now: float, current: int, wanted: int) -> int:
        """No more of a change than the policies allow, and within the bounds."""
        rules = self.rules
        if wanted == current:
            return current
        if wanted > current:
            limit = self._limit(now, current, rules.scale_up, up=True)
            return min(wanted, max(limit, current), rules.max)
        limit = self._limit(now, current, rules.scale_down, up=False)
        return max(wanted, min(limit, current), rules.min)

    def _limit(self, now: float, current: int, rules: ScalingRules, *, up: bool) -> int:
        if rules.select == "disabled":
            return current
        limits = [self._allowed(now, current, policy, up=up) for policy in rules.policies]
        return max(limits) if up == (rules.select == "max") else min(limits)

    def _allowed(self, now: float, current: int, policy: ScalingPolicy, *, up: bool) -> int:
        """How many pods a policy lets there be: counted from the number at the start of its period."""
        before = current - sum(
            change for time, change in self._changes if _within(time, now, policy.period_s)
        )
        if policy.pods is not None:
            return before + policy.pods if up else before - policy.pods
        assert policy.percent is not None
        # Rounded to the larger change, or one pod could never become two.
        return (
            math.ceil(before * (1 + policy.percent / 100))
            if up
            else math.floor(before * (1 - policy.percent / 100))
        )


def _within(time: float, now: float, window_s: float) -> bool:
    return time > now - window_s + _ROUNDING_S
