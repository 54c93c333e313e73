"""The Router: a policy's parts around the loop of attempts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from simsla.routing.errors import ConfigError, RoutingError
from simsla.routing.production.openai_transport import OpenAITransport
from simsla.routing.production.policy_file import read_policy
from simsla.routing.progress import Progress
from simsla.routing.protocols import Stage
from simsla.routing.router import assembly
from simsla.routing.router.attempts import Attempts
from simsla.routing.router.backends import Backends
from simsla.routing.router.calls import Call, Calls
from simsla.routing.router.chaos import ChaosTransport
from simsla.routing.router.clock import LoopClock
from simsla.routing.router.delivery import Delivery
from simsla.routing.router.guard import Guard
from simsla.routing.router.hedging import hedged
from simsla.routing.router.live import LiveStream
from simsla.routing.router.notes import explained, finished
from simsla.routing.router.reply_stream import ReplyStream
from simsla.routing.router.streaming import Streams
from simsla.routing.streaming.policy import StreamingPolicy
from simsla.routing.transport import Transport
from simsla.routing.types import Reply, Request

if TYPE_CHECKING:
    from simsla.routing.policy import RoutingPolicy

NO_BACKENDS: Final = Backends()


class Router:
    """Answers requests over a transport, as the policy says.

    It belongs to the event loop on which it handles its first request. Raises `ConfigError` where the
    policy names a deployment that the transport does not have.
    """

    def __init__(self, policy: RoutingPolicy, transport: Transport, backends: Backends = NO_BACKENDS) -> None:
        policy.check(transport.deployments)
        if policy.chaos is not None:
            transport = ChaosTransport(policy.chaos, transport)
        self._clock = LoopClock()
        self._deadline_s = policy.deadline_s
        self._explains = policy.explain
        lines = assembly.rate_limit_lines(policy, self._clock)
        bounds = assembly.bounds(policy, transport)
        selector = assembly.selector(policy, transport, bounds, lines)
        self._attempts = Attempts(
            selector,
            assembly.retry_rule(policy),
            None if policy.retry_budget is None else policy.retry_budget.build(),
            policy.when_all_open.build() if lines is None else lines,
            policy.max_attempts,
            self._clock,
            transport,
            policy.deadline_s,
            policy.explain,
        )
        streaming = policy.streaming or StreamingPolicy()
        send: Call[Reply] = Calls(transport, self._clock).send
        self._open: Call[LiveStream] = Streams(transport, self._clock, streaming).open
        if policy.hedge is not None:
            send, self._open = hedged(
                policy.hedge, send, self._open, selector, policy.max_attempts, self._clock
            )
        self._whole = partial(self._attempts.run, call=send)
        self._reads_all = policy.hedge is not None and policy.hedge.on == "first_token"
        self._reads_streams = policy.streaming is not None or self._reads_all
        self._resumes = streaming.resume
        self._own_transport: OpenAITransport | None = None
        self._guard = Guard()
        self._stages = assembly.stages(
            policy,
            transport,
            bounds,
            backends,
            self._guard,
            self._clock,
            lambda request, progress: self._attempts.run(progress, send),
        )
        if not (self._stages or policy.hedge or policy.streaming):
            # Nothing stands around the attempts: the method of this one Router is their loop itself.
            self.handle = self._attempts.answer  # type: ignore[method-assign]

    @classmethod
    def from_file(
        cls, path: str | Path, transport: Transport | None = None, backends: Backends = NO_BACKENDS
    ) -> Self:
        """A Router with the ``routing`` section of a file, the same that a scenario has.

        Without a ``transport`` it calls the file's ``deployments`` through an `OpenAITransport`, which
        `aclose` closes. Raises `ConfigError` with the path of what is wrong (a key that is not set included),
        OSError where the file cannot be read, and ImportError where PyYAML or the openai SDK is missing.
        """
        policy, deployments = read_policy(path)
        if transport is not None:
            return cls(policy, transport, backends)
        if not deployments:
            raise ConfigError(f"{path}: deployments", None, "at least one, where no transport is given")
        own = OpenAITransport(deployments)
        router = cls(policy, own, backends)
        router._own_transport = own
        return router

    async def aclose(self) -> None:
        """Give up what goes on in the background, and close a transport of the Router's own."""
        for stage in self._stages:
            await stage.close()
        if self._own_transport is not None:
            await self._own_transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    @property
    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """What the optional parts around the attempts have counted, by the name of the part."""
        return {stage.part: stage.counts for stage in self._stages}

    @property
    def spent_usd(self) -> Mapping[str, float]:
        """USD spent besides the requests themselves, by what for: "human_review", "automated_check",
        "shadow".
        """
        return {name: usd for stage in self._stages for name, usd in stage.spent_usd.items()}

    @property
    def swallowed(self) -> Mapping[str, int]:
        """How many failures of optional parts (cache, classifier, ...) failed no request, by part."""
        return self._guard.swallowed

    async def handle(self, request: Request) -> Reply:
        """One reply or one error.

        With a ``streaming`` section a request with ``stream`` is answered as by `stream`, read to its end;
        with hedges on the first token, every request is.

        The reply's ``metadata`` stays as the transport made it, unless the answer took more than one
        attempt or is below the tier asked for; then it says so. The ``explanation`` of the reply or of the
        error lists every decision.

        Raises `BadRequest` where the request can succeed nowhere, `NoDeployment` where nothing may be tried,
        `Shed` where it is refused to protect others, `DeadlineExceeded` when its time is over and
        `AllAttemptsFailed` when everything else is used up.
        """
        if self._reads_streams and (request.stream or self._reads_all):
            return await self._answer(request, self._delivery(gives=False).answer)
        return await self._answer(request, self._whole)

    def stream(self, request: Request) -> ReplyStream:
        """The reply in chunks, as they come: ``async for chunk in router.stream(request)``.

        The same stages, attempts, verdicts and explanation as those of `handle`, but once a token has reached
        the caller no other attempt is begun, unless ``streaming.resume`` is on: the error is then raised as
        the `AttemptError` that it is. A reply that did not come in chunks is one chunk.
        """
        return ReplyStream(
            lambda delivery: self._answer(request, delivery.answer), self._delivery(gives=True)
        )

    def _delivery(self, *, gives: bool) -> Delivery:
        return Delivery(self._attempts.run, self._open, resumes=self._resumes, gives=gives)

    async def _answer(self, request: Request, answer: Callable[[Progress], Awaitable[Reply]]) -> Reply:
        """Everything around the attempts, which are ``answer``."""
        deadline = self._clock.now() + self._deadline_s
        if request.deadline is not None and request.deadline < deadline:
            deadline = request.deadline
        progress = Progress(request, deadline, self._explains)
        try:
            if self._stages:
                reply = await self._through_stages(progress, answer)
            else:
                reply = await answer(progress)
        except RoutingError as error:
            explained(error, progress)
            raise
        finally:
            # Each error's traceback refers to a frame and the frame to the errors: undo the cycle.
            if progress.errors:
                progress.errors = ()
        return finished(reply, progress)

    async def _through_stages(
        self, progress: Progress, answer: Callable[[Progress], Awaitable[Reply]]
    ) -> Reply:
        entered: list[tuple[Stage, Request]] = []
        reply = None
        try:
            for stage in self._stages:
                got = await stage.enter(progress.request, progress)
                if isinstance(got, Reply):
                    reply = got
                    return reply
                progress.request = got
                entered.append((stage, got))
            reply = await answer(progress)
            return reply
        finally:
            for stage, request in reversed(entered):
                stage.leave(request, progress, reply)
