"""The harness: requests arrive, a policy answers them, and each ends in exactly one outcome.

It stands outside the policy. It calls `handle` for each request in a task of its own, keeps the client's
patience and the class's deadline, and decides the outcome, so that a policy needs no instrumentation.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from simsla.records import CACHE_HITS, OUTCOMES, Recorder
from simsla.routing import TIERS, DeadlineExceeded, Reply, Request, Shed
from simsla.simulation.policies import exited
from simsla.virtualtime.tasks import SimTask
from simsla.world.poison import POISON
from simsla.world.requests import OpenRequest, SimRequest
from simsla.world.streams import BLOCK
from simsla.world.traffic import Block, ClassTraffic

if TYPE_CHECKING:
    from simsla.routing import Deployment
    from simsla.simulation.policies import Handle
    from simsla.virtualtime import SimEventLoop
    from simsla.virtualtime.handles import SimTimerHandle
    from simsla.world.transport import SimTransport

OK, DEGRADED, CACHED, ERROR, TIMEOUT, SHED, ABANDONED = range(len(OUTCOMES))
_INF = float("inf")
NO_HIT, UNKNOWN_HIT, TRUE_HIT, FALSE_HIT = range(len(CACHE_HITS))


class Failures(NamedTuple):
    """How many times a policy raised an error of one type, and what the first one said."""

    times: int
    first: str

    def plus(self, more: int) -> Failures:
        """As many, and `more`."""
        return Failures(self.times + more, self.first)


class Harness:
    """All request classes of one run."""

    def __init__(
        self,
        loop: SimEventLoop,
        transport: SimTransport,
        recorder: Recorder,
        handle: Handle,
        traffic: Sequence[ClassTraffic],
        source_kind: Callable[[ClassTraffic], type[Source]] | None = None,
    ) -> None:
        """`source_kind` says how the requests of a class come; by default from outside, and each once."""
        self.loop = loop
        self.transport = transport
        self.recorder = recorder
        self.handle = handle
        self.failures: dict[str, Failures] = {}
        """What `handle` raised, by the name of its type."""
        self.tier_ranks = [TIERS.index(deployment.tier) for deployment in transport.deployments]
        self.codes = {deployment.name: code for code, deployment in enumerate(transport.deployments)}
        self.largest_window = _largest_window(transport.deployments)
        self.waiting = 0
        """How many clients will ask again although no request of theirs is open."""
        self._sources = [
            (Source if source_kind is None else source_kind(spec))(self, spec, code, len(traffic))
            for code, spec in enumerate(traffic)
        ]
        self._running = len(self._sources)
        self.draining = not self._running
        """Whether all requests have arrived, so that the last one to end ends the run."""
        self._done: asyncio.Future[None] = loop.create_future()

    async def run(self, begin_s: float, end_s: float) -> None:
        """Let requests arrive during [begin_s, end_s) of absolute time, and wait until the last one ended."""
        for source in self._sources:
            source.start(begin_s, end_s)
        await self._done
        for source in self._sources:
            source.stop()

    def source_ended(self) -> None:
        """No more requests of one class will arrive."""
        self._running -= 1
        if not self._running:
            self.draining = True
            self.end_if_drained()

    def end_if_drained(self) -> None:
        """End the run if no request is open; called when one has ended while draining."""
        if not self.transport.open and not self.waiting and not self._done.done():
            self._done.set_result(None)

    def count_failure(self, error: BaseException) -> None:
        """The policy raised for a request."""
        name = type(error).__name__
        known = self.failures.get(name)
        self.failures[name] = Failures(1, str(error)) if known is None else known.plus(1)

    def fail(self, error: BaseException) -> None:
        """End the run with an error of the simulator's own."""
        if not self._done.done():
            self._done.set_exception(error)


class Source:
    """The requests of one class: their arrival, their limits of time and their end."""

    def __init__(self, harness: Harness, traffic: ClassTraffic, code: int, classes: int) -> None:
        self._harness = harness
        self._loop = harness.loop
        self._traffic = traffic
        self._spec = traffic.spec
        self._code = code
        self._classes = classes
        self._name = traffic.spec.name
        self._deadline_s = traffic.spec.deadline_s
        self._poisonous = traffic.spec.poison is not None
        self._asked_rank = -1 if traffic.spec.tier is None else TIERS.index(traffic.spec.tier)
        # Timers of the harness run in a context of their own, and so does the task of each request begin.
        self._context = contextvars.Context()
        # Requests of a class share a deadline, so they expire in the order in which they came: one timer,
        # for the oldest, is enough.
        self._oldest: deque[tuple[float, OpenRequest]] = deque()
        self._watch: SimTimerHandle | None = None
        self._open = harness.transport.open
        self._open_request = harness.recorder.open_request
        self._close_request = harness.recorder.close_request
        self._env = harness.loop.env
        self._block: Block
        self._places: list[int] = []
        self._next = 0

    def start(self, begin_s: float, end_s: float) -> None:
        self._blocks = self._traffic.blocks(begin_s, end_s)
        self._schedule()

    def stop(self) -> None:
        """Leave no timer behind."""
        if self._watch is not None:
            self._watch.cancel()

    def _schedule(self) -> None:
        """The timer of the next arrival."""
        self._next += 1
        if self._next >= len(self._places):
            following = next(self._blocks, None)
            if following is None:
                self._harness.source_ended()
                return
            self._block, self._places = following
            self._next = 0
        when = self._block.arrival_s[self._places[self._next]]
        self._loop.call_at(when, self._arrive, context=self._context)

    def _arrive(self) -> None:
        try:
            block, place = self._block, self._places[self._next]
            number = (block.index * BLOCK + place) * self._classes + self._code
            self._admit(block, place, number, _INF if block.patience_s is None else block.patience_s[place])
            self._schedule()
        except BaseException as error:
            self._harness.fail(error)

    def _admit(self, block: Block, place: int, number: int, patience_s: float) -> SimRequest:
        """A request arrives, whose client waits for at most `patience_s`."""
        now = self._env._now
        whose = OpenRequest(number, block, place)
        request = SimRequest(
            whose,
            self._spec,
            now + self._deadline_s,
            None if block.complexity is None else block.complexity[place],
            None if block.region is None else block.region[place],
        )
        self._open_request(number, self._code, now)
        self._open[number] = whose
        # Not `create_task`: a task factory that a policy sets is for the policy's tasks.
        whose.task = SimTask(
            self._answer(request, whose), loop=self._loop, name=self._name, context=contextvars.Context()
        )
        self._oldest.append((now, whose))
        if self._watch is None:
            self._watch = self._loop.call_at(now + self._deadline_s, self._expire, context=self._context)
        if patience_s <= self._deadline_s:
            whose.patience = self._loop.call_later(
                patience_s, self._abandon, request, whose, now, context=self._context
            )
        return request

    async def _answer(self, request: Request, whose: OpenRequest) -> None:
        arrival_s = self._env._now
        try:
            answer = await self._harness.handle(request)
        except Shed:
            outcome, answer = SHED, None
        except (TimeoutError, DeadlineExceeded):
            outcome, answer = TIMEOUT, None
        except asyncio.CancelledError:
            # By the harness, which has closed the request; or by the policy itself, which is its failure.
            outcome, answer = ERROR, None
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except SystemExit as error:
            self._harness.fail(exited(error))
            return
        except BaseException as error:
            outcome, answer = ERROR, None
            self._harness.count_failure(error)
        else:
            outcome = OK
        if not whose.closed:
            self._close(request.prompt_tokens, whose, arrival_s, outcome, answer)
        # Whoever remembers the request, as its own context may, would keep its task alive.
        del whose.task

    def _close(
        self, prompt_tokens: int, whose: OpenRequest, arrival_s: float, outcome: int, answer: Any = None
    ) -> int:
        """The one place where a request ends; its outcome."""
        harness = self._harness
        whose.closed = True
        if whose.patience is not None:
            whose.patience.cancel()
        deployment, first_token_s, output_tokens, cache_hit = -1, float("nan"), 0, NO_HIT
        if outcome == OK:
            deployment = whose.answered_by
            if deployment < 0:
                outcome, cache_hit = CACHED, _cache_hit(answer, whose)
            else:
                first_token_s, output_tokens = whose.first_token_s, whose.output_tokens
                if isinstance(answer, Reply):
                    deployment = harness.codes.get(answer.deployment, deployment)
                if harness.tier_ranks[deployment] < self._asked_rank:
                    outcome = DEGRADED
        del self._open[whose.number]
        try:
            self._close_request(
                whose.number,
                self._code,
                arrival_s,
                self._env._now,
                outcome,
                deployment,
                first_token_s,
                prompt_tokens,
                output_tokens,
                self._deadline_s,
                prompt_tokens < harness.largest_window
                and not (self._poisonous and whose.block.output_tokens[whose.place] == POISON),
                cache_hit,
            )
        except Exception as error:
            # The recorder's mistake: raised here it would be taken for the policy's.
            harness.fail(error)
        if harness.draining:
            harness.end_if_drained()
        return outcome

    def _abandon(self, request: Request, whose: OpenRequest, arrival_s: float) -> None:
        """The client's patience ends."""
        if not whose.closed:
            self._close(request.prompt_tokens, whose, arrival_s, ABANDONED)
            whose.task.cancel()

    def _expire(self) -> None:
        """The deadline of the oldest request has come: end what is due, and watch the next."""
        now = self._env._now
        oldest = self._oldest
        while oldest:
            arrival_s, whose = oldest[0]
            if not whose.closed:
                if arrival_s + self._deadline_s > now:
                    self._watch = self._loop.call_at(
                        arrival_s + self._deadline_s, self._expire, context=self._context
                    )
                    return
                # A timer of patience that still runs is due in this very instant, and patience comes first.
                outcome = TIMEOUT if whose.patience is None else ABANDONED
                self._close(whose.block.prompt_tokens[whose.place], whose, arrival_s, outcome)
                whose.task.cancel()
            oldest.popleft()
        self._watch = None


def _cache_hit(answer: object, whose: OpenRequest) -> int:
    """What is known of an answer out of a cache, which its metadata tell under `cache`.

    There `topic` is what the answer was first given to, which the world compares with the true topic of the
    request; where either is missing, the policy's own `true_hit` (True, False, None) is believed.
    """
    metadata = answer.metadata if isinstance(answer, Reply) else None
    told = metadata.get("cache") if isinstance(metadata, Mapping) else None
    if not isinstance(told, Mapping):
        return UNKNOWN_HIT
    topic, topics = told.get("topic"), whose.block.topic
    hit = told.get("true_hit") if topic is None or topics is None else topic == topics[whose.place]
    return TRUE_HIT if hit is True else FALSE_HIT if hit is False else UNKNOWN_HIT


def _largest_window(deployments: Sequence[Deployment]) -> float:
    """A prompt of so many tokens, or more, fits nowhere."""
    return max(
        float("inf") if deployment.context_window is None else deployment.context_window
        for deployment in deployments
    )
