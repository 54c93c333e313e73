"""What the autoscaler is told: metrics of what passed through the pods within a window."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from simsla.world.gateway.demand import PodReading, Reading

if TYPE_CHECKING:
    from simsla.scenario.gateway import ScalingMetric
    from simsla.world.gateway.pods import Pod

__all__ = ["Meter"]


class Meter:
    """Measures the metrics of an autoscaler."""

    def __init__(self, metrics: Sequence[ScalingMetric]) -> None:
        self._metrics = metrics
        self._longest_s = max(metric.window_s for metric in metrics)
        self._of_pods = any(metric.per_pod for metric in metrics)
        self.timed = any(not metric.per_pod for metric in metrics)
        """Whether it wants to know how long requests took."""
        self._ended: deque[tuple[float, float]] = deque()

    def ended(self, now: float, took_s: float) -> None:
        """A request ended that came `took_s` before."""
        self._ended.append((now, took_s))

    def read(self, now: float, pods: Sequence[Pod]) -> list[Reading]:
        """The metrics at this moment, in order; `pods` are those that are not leaving."""
        while self._ended and self._ended[0][0] <= now - self._longest_s:
            self._ended.popleft()
        if self._of_pods:
            long_ago_s = now - self._longest_s
            for pod in pods:
                if pod.ready:
                    marks = pod.marks
                    marks.append(pod.mark(now))
                    while marks[1][0] <= long_ago_s:
                        marks.popleft()
        return [
            [self._of_pod(metric, pod, now) for pod in pods]
            if metric.per_pod
            else self._quantile(metric, now)
            for metric in self._metrics
        ]

    def _quantile(self, metric: ScalingMetric, now: float) -> float | None:
        took = sorted(took_s for time_s, took_s in self._ended if time_s > now - metric.window_s)
        return took[math.ceil(metric.quantile * len(took)) - 1] if took else None

    def _of_pod(self, metric: ScalingMetric, pod: Pod, now: float) -> PodReading:
        return PodReading(
            self._value(metric, pod, now) if pod.ready else None,
            pod.ready,
            not pod.started,
            pod.started_s,
            pod.changed_s,
            metric.window_s,
        )

    def _value(self, metric: ScalingMetric, pod: Pod, now: float) -> float | None:
        # From the latest mark at least a window ago, or else from all that is known.
        first = pod.marks[0]
        if metric.window_s < self._longest_s:
            for mark in pod.marks:
                if mark[0] > now - metric.window_s:
                    break
                first = mark
        since_s, held_s, worked_s, came = first
        until_s, held_until_s, worked_until_s, came_until = pod.marks[-1]
        span_s = until_s - since_s
        if span_s <= 0:
            return None
        if metric.metric == "concurrency":
            return (held_until_s - held_s) / span_s
        if metric.metric == "rate":
            return (came_until - came) / span_s
        return (worked_until_s - worked_s) / (span_s * pod.workers)


def mean(reading: Reading) -> float:
    """One number of a reading; nan where there is none."""
    if isinstance(reading, list):
        values = [pod.value for pod in reading if pod.value is not None]
        return math.fsum(values) / len(values) if values else math.nan
    return math.nan if reading is None else reading
