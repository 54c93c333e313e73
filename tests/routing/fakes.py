"""A loop on a fake clock and a transport that plays a script: what the router's tests stand on."""

from __future__ import annotations

import asyncio
import math
import pickle
import random
from contextlib import asynccontextmanager

from simsla.routing import AttemptError, AttemptTimeout, Chunk, Deployment, Reply, RoutingPolicy


class FakeClockLoop(asyncio.SelectorEventLoop):
    """Waiting takes no time: the clock jumps to the next timer."""

    def __init__(self):
        super().__init__()
        self.now_s = 1000.0
        select = self._selector.select

        def jump(timeout):
            assert timeout is not None, "every task waits and no timer is set"
            self.now_s += timeout
            return select(0)

        self._selector.select = jump

    def time(self):
        return self.now_s


def play(coroutine):
    with asyncio.Runner(loop_factory=FakeClockLoop) as runner:
        return runner.run(coroutine)


class Answer:
    """After ``after_s``: an error, or a reply where there is none."""

    def __init__(self, after_s=0.1, error=None):
        self.after_s = after_s
        self.error = error


HANG = Answer(after_s=float("inf"))


class Streamed(Answer):
    """Tokens that come after these seconds each; ``then_s`` after the last the error, if there is one.

    With ``cut`` the stream ends there without its last chunk. `send` gets all of it at its end.
    """

    def __init__(self, *gaps_s, error=None, then_s=0.0, cut=False):
        super().__init__(sum(gaps_s) + then_s, error)
        self.gaps_s = gaps_s
        self.then_s = then_s
        self.cut = cut


def fails(error, after_s=0.1):
    """The error's class, or a function that makes a fresh one."""
    return Answer(after_s, error)


def named(error, deployment):
    if isinstance(error, AttemptError):
        error.deployment = deployment
    return error


def copied(value):
    """The value as another process would see it."""
    return pickle.loads(pickle.dumps(value))


class ScriptedTransport:
    """Plays each deployment's answers in turn, the last one for ever, and records every attempt."""

    def __init__(self, deployments, script=None, seed=1):
        self.deployments = tuple(deployments)
        self.random = random.Random(seed)
        self.script = {name: list(answers) for name, answers in (script or {}).items()}
        self.attempts = []
        self.requests = []
        self.in_flight = {deployment.name: 0 for deployment in deployments}
        self.peak = dict(self.in_flight)

    def _begin(self, request, deployment, timeouts):
        name = deployment.name
        self.attempts.append((name, asyncio.get_running_loop().time(), timeouts))
        self.requests.append(request)
        self.in_flight[name] += 1
        self.peak[name] = max(self.peak[name], self.in_flight[name])
        answers = self.script.get(name, [Answer()])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def send(self, request, deployment, *, timeouts, max_tokens=None):
        loop = asyncio.get_running_loop()
        name = deployment.name
        start = loop.time()
        answer = self._begin(request, deployment, timeouts)
        try:
            if answer.after_s > timeouts.total_s:
                await asyncio.sleep(timeouts.total_s)
                raise AttemptTimeout(deployment=name, phase="total")
            await asyncio.sleep(answer.after_s)
            if answer.error is not None:
                raise named(answer.error(), name)
        finally:
            self.in_flight[name] -= 1
        took_s = loop.time() - start
        return Reply("text", name, deployment.model, request.prompt_tokens, 10, took_s, took_s)

    @asynccontextmanager
    async def stream(self, request, deployment, *, timeouts, max_tokens=None):
        """Each token is the number of its place in the whole answer; an `Answer` has one."""
        answer = self._begin(request, deployment, timeouts)
        if not isinstance(answer, Streamed):
            gaps_s = () if answer.error else (answer.after_s,)
            then_s = answer.after_s if answer.error else 0.0
            answer = Streamed(*gaps_s, error=answer.error, then_s=then_s)
        most = request.max_tokens if max_tokens is None else max_tokens
        chunks = self._chunks(answer, deployment.name, timeouts, request.prefix_tokens, most or math.inf)
        try:
            yield chunks
        finally:
            await chunks.aclose()
            self.in_flight[deployment.name] -= 1

    async def _chunks(self, answer, name, timeouts, prefix, most):
        loop = asyncio.get_running_loop()
        start = last = due = loop.time()

        async def until(due):
            limits = [(start + timeouts.total_s, "total")]
            if last == start:
                limits.append((start + timeouts.first_token_s, "first_token"))
            else:
                limits.append((last + timeouts.idle_s, "idle"))
            limit, phase = min(limits)
            await asyncio.sleep(max(0.0, min(due, limit) - loop.time()))
            if due > limit:
                raise AttemptTimeout(deployment=name, phase=phase)

        for index, gap_s in enumerate(answer.gaps_s):
            due += gap_s
            await until(due)
            last = due
            complete = index + 1 == len(answer.gaps_s) and not (answer.error or answer.cut)
            finish = "length" if index + 1 >= most else "stop" if complete else None
            yield Chunk(f"{prefix + index} ", 1, finish)
            if finish:
                return
        if answer.error:
            await until(due + answer.then_s)
            raise named(answer.error(), name)

    @property
    def called(self):
        return [name for name, _, _ in self.attempts]


def deployment(name, tier="standard", region=None, **more):
    return Deployment(name, "model", tier=tier, region=region, **more)


def policy(**settings):
    """A policy without the chance of a back-off, unless asked for."""
    settings.setdefault("retry", {"max_attempts": 1})
    return RoutingPolicy.from_dict(settings)
