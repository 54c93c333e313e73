"""How many pods one metric asks for: the first half of the Kubernetes horizontal pod autoscaler.

Source: "Horizontal Pod Autoscaling, Algorithm details" (kubernetes.io), and `pkg/controller/podautoscaler`
of Kubernetes where the text leaves something open.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from simsla.scenario.gateway import Autoscaler, ScalingMetric

__all__ = ["PodReading", "Reading", "demand", "set_aside"]


class PodReading(NamedTuple):
    """One pod as the autoscaler sees it.

    `value` of the metric, None while there is none; `ready`; `pending`: its containers do not run yet;
    `started_s` and `changed_s`: when it was started and when it last became ready or unready; `measured_s`:
    how long the time is that the value was measured over, up to now.
    """

    value: float | None
    ready: bool = True
    pending: bool = False
    started_s: float = -math.inf
    changed_s: float = -math.inf
    measured_s: float = 0.0


Reading = float | None | list[PodReading]
"""A metric: of the gateway as a whole (None: there is no value), or of each pod."""


def demand(metric: ScalingMetric, reading: Reading, now: float, ready: int, rules: Autoscaler) -> int | None:
    """The pods that a metric asks for; None where it has no value. -1 stands for no change.

    `ready` counts the pods that are ready: a metric of the whole is the work of those.
    """
    if isinstance(reading, list):
        return _of_pods(metric, reading, now, rules)
    if reading is None:
        return None
    ratio = reading / metric.target
    return _UNCHANGED if _close_to_1(ratio, rules) else math.ceil(ratio * ready)


_UNCHANGED = -1


def set_aside(metric: ScalingMetric, pod: PodReading, now: float, rules: Autoscaler) -> bool:
    """Whether a pod is not ready yet, so that its value says nothing.

    A pending pod is; for CPU alone also a pod that has never been ready, or whose value was measured in part
    before it was.
    """
    if pod.pending:
        return True
    if metric.metric != "cpu" or pod.value is None:
        return False
    if now < pod.started_s + rules.cpu_initialisation_s:
        return not pod.ready or now - pod.measured_s < pod.changed_s
    return not pod.ready and pod.changed_s < pod.started_s + rules.readiness_delay_s


def _of_pods(metric: ScalingMetric, pods: Sequence[PodReading], now: float, rules: Autoscaler) -> int | None:
    """The average over the pods that can be judged, and a cautious guess for the others."""
    values: list[float] = []
    missing = not_yet_ready = 0
    only_cpu = metric.metric == "cpu"
    for pod in pods:
        value = pod.value
        if (only_cpu or pod.pending) and set_aside(metric, pod, now, rules):
            not_yet_ready += 1
        elif value is None:
            missing += 1
        else:
            values.append(value)
    if not values:
        return None
    ratio = math.fsum(values) / len(values) / metric.target
    if not missing and not (not_yet_ready and ratio > 1):
        return _UNCHANGED if _close_to_1(ratio, rules) else math.ceil(ratio * len(values))
    # In doubt against any change: all of the target where there would be fewer, nothing where more.
    values += [metric.target if ratio < 1 else 0.0] * missing
    if ratio > 1:
        values += [0.0] * not_yet_ready
    again = math.fsum(values) / len(values) / metric.target
    if _close_to_1(again, rules) or (ratio < 1) != (again < 1):
        return _UNCHANGED
    wanted = math.ceil(again * len(values))
    # The pods that were counted may not be all there are: what would be a change to the other side is none.
    reverses = wanted > len(pods) if again < 1 else wanted < len(pods)
    return _UNCHANGED if reverses else wanted


def _close_to_1(ratio: float, rules: Autoscaler) -> bool:
    return 1.0 - rules.scale_down.tolerance <= ratio <= 1.0 + rules.scale_up.tolerance
