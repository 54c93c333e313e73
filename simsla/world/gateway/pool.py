"""The pods of the gateway: which one a request comes to, and how they come, crash and go."""

from __future__ import annotations

import contextvars
import math
from typing import TYPE_CHECKING

from simsla.world.gateway.autoscaler import HorizontalAutoscaler
from simsla.world.gateway.draws import ServiceTimes, crashes
from simsla.world.gateway.meter import Meter, mean
from simsla.world.gateway.pods import Pod
from simsla.world.gateway.usage import GatewayUsage
from simsla.world.streams import Stream

if TYPE_CHECKING:
    from simsla.scenario.gateway import Gateway
    from simsla.virtualtime import SimEventLoop

__all__ = ["Pool"]


class Pool:
    """The pods of one run, driven by timers on its loop until the run's end.

    A run begins with `pods` of them, all ready but those that a crash has taken, and with an autoscaler that
    remembers nothing: as with a router's memory, a warm-up is for that.
    """

    def __init__(
        self, spec: Gateway, loop: SimEventLoop, seed: int, replication: int, begin_s: float, end_s: float
    ) -> None:
        """`begin_s` and `end_s` bound the run in absolute time; the run's clock is 0 at `begin_s`."""
        self.spec = spec
        self.limit = math.inf if spec.concurrency is None else spec.concurrency
        self.queue_limit = math.inf if spec.queue_limit is None else spec.queue_limit
        self.service = ServiceTimes(spec.service, seed, replication)
        self._loop = loop
        self._address = (seed, replication)
        self._begin_s = begin_s
        self._end_s = end_s - begin_s
        self._context = contextvars.Context()
        self._pods: list[Pod] = []
        self._ready: list[Pod] = []
        self._leaving = 0
        self._next = 0
        self._starts: dict[int, int] = {}
        self._rows: list[tuple[float, int, int, int]] = []
        self._looks: list[tuple[float, ...]] = []
        self._even = spec.balancing == "round_robin"
        for _ in range(spec.pods):
            self._begin_ready(self._new_pod(0.0))
        self._write(0.0)
        rules = spec.autoscaler
        self.meter: Meter | None = None
        """Told how long requests take, where the autoscaler wants to know."""
        if rules is not None:
            self._scaler = HorizontalAutoscaler(rules)
            self._measure = Meter(rules.metrics)
            if self._measure.timed:
                self.meter = self._measure
            # Looks are at moments of absolute time that no other event falls on by design.
            phase = float(Stream(seed, replication, "gateway", "sync").uniforms(1)[0])
            self._looks_before = math.ceil(begin_s / rules.sync_s - phase)
            self._phase = phase
            self._at(self._look_s(rules.sync_s), self._look)

    # What the transport asks for

    def choose(self) -> Pod | None:
        """The pod that a request comes to; None if none is ready."""
        ready = self._ready
        count = len(ready)
        if not count:
            return None
        # Every other pod in turn is the first to be looked at, so that equal ones take turns.
        self._next = start = (self._next + 1) % count
        best = ready[start]
        least = best.held
        if least and not self._even:
            least += len(best.waiting)
            for at in range(start - count + 1, start):
                pod = ready[at]
                load = pod.held + len(pod.waiting)
                if load < least:
                    best, least = pod, load
                    if not load:
                        break
        best.came += 1
        return best

    def left(self, pod: Pod, now: float) -> None:
        """A request gave its place back, or its turn, in a pod that is leaving."""
        if not pod.held and not pod.waiting:
            self._leaving -= 1
            self._write(now)

    def usage(self) -> GatewayUsage:
        """What there is to tell of the run so far."""
        rules = self.spec.autoscaler
        metrics = () if rules is None else tuple(metric.metric for metric in rules.metrics)
        return GatewayUsage.of(self.spec.usd_per_pod_hour, self._rows, metrics, self._looks)

    # The life of pods

    def _new_pod(self, now: float) -> Pod:
        used = {pod.slot for pod in self._pods}
        slot = next(slot for slot in range(len(used) + 1) if slot not in used)
        episodes = crashes(self.spec.crash, *self._address, slot, self._begin_s)
        pod = Pod(slot, now, self.spec.workers, episodes)
        self._pods.append(pod)
        return pod

    def _begin_ready(self, pod: Pod) -> None:
        """A pod that was there before the run: it may be gone just now."""
        start_s, end_s = next((each for each in pod.crashes if each[1] > 0), (math.inf, math.inf))
        if start_s > 0:
            self._take_in(pod, 0.0, (start_s, end_s))
        else:
            pod.started = True
            self._at(end_s, self._becomes_ready, pod)

    def _start(self, now: float) -> None:
        pod = self._new_pod(now)
        nth = self._starts[pod.slot] = self._starts.get(pod.slot, -1) + 1
        stream = Stream(*self._address, "gateway", "pod", str(pod.slot), "start_up")
        self._at(now + float(self.spec.start_up.ppf(stream.uniforms(1, nth))[0]), self._becomes_ready, pod)

    def _becomes_ready(self, pod: Pod) -> None:
        """A pod is ready, for the first time or again."""
        if not pod.leaving:
            now = self._loop.time()
            self._take_in(pod, now, pod.next_crash(now))
            self._write(now)

    def _take_in(self, pod: Pod, now: float, crash: tuple[float, float]) -> None:
        pod.become_ready(now)
        self._ready.append(pod)
        pod.crash_s, until_s = crash
        if pod.crash_s < math.inf:
            self._at(pod.crash_s, self._crash, pod, until_s)

    def _crash(self, pod: Pod, until_s: float) -> None:
        """A pod is gone: what it held ends by itself, for it was known; the others learn it now."""
        now = self._loop.time()
        for share in list(pod.sharers.values()):
            share.break_off()
        while pod.waiting:
            turn = pod.waiting.popleft()
            if not turn.done():
                turn.set_result(False)
        if pod.ready:
            pod.become_unready(now)
            self._ready.remove(pod)
            self._at(until_s, self._becomes_ready, pod)
            self._write(now)

    def _remove(self, pod: Pod, now: float) -> None:
        """A pod takes no more requests, and ends with the last that it holds."""
        self._pods.remove(pod)
        pod.leaving = True
        if pod.ready:
            pod.become_unready(now)
            self._ready.remove(pod)
        if pod.held or pod.waiting:
            self._leaving += 1

    def _scale(self, wanted: int, now: float) -> None:
        while len(self._pods) < wanted:
            self._start(now)
        if len(self._pods) > wanted:
            # Those that are not ready go first, then the youngest: the order of Kubernetes' controllers.
            by_worth = sorted(self._pods, key=lambda pod: (not pod.ready, pod.started_s, pod.slot))
            for pod in reversed(by_worth[wanted:]):
                self._remove(pod, now)

    def _look(self) -> None:
        """The autoscaler looks at the metrics, and is obeyed."""
        now = self._loop.time()
        readings = self._measure.read(now, self._pods)
        self._looks.append((now, *(mean(reading) for reading in readings)))
        wanted = self._scaler.look(now, len(self._pods), len(self._ready), readings)
        if wanted != len(self._pods):
            self._scale(wanted, now)
            self._write(now)
        self._looks_before += 1
        self._at(self._look_s(self._scaler.rules.sync_s), self._look)

    def _look_s(self, sync_s: float) -> float:
        return (self._looks_before + self._phase) * sync_s - self._begin_s

    def _at(self, when_s: float, callback: object, *args: object) -> None:
        """A timer, unless it is for after the run's end."""
        if when_s < self._end_s:
            # Callback and arguments belong together; a bare Callable and a tuple cannot say so.
            self._loop.call_at(when_s, callback, *args, context=self._context)  # type: ignore[arg-type]

    def _write(self, now: float) -> None:
        if self._rows and self._rows[-1][0] == now:
            self._rows.pop()  # several pods change at once, and only what comes of it lasts
        self._rows.append((now, len(self._pods) + self._leaving, len(self._ready), len(self._pods)))
