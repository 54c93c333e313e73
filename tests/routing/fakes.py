"""A loop on a fake clock and a transport that plays a script: what the router's tests stand on."""

from __future__ import annotations

import asyncio
import pickle
import random

from simsla.routing import AttemptError, AttemptTimeout, Deployment, Reply, RoutingPolicy


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
        self.in_flight = {deployment.name: 0 for deployment in deployments}
        self.peak = dict(self.in_flight)

    async def send(self, request, deployment, *, timeouts, max_tokens=None):
        loop = asyncio.get_running_loop()
        name = deployment.name
        start = loop.time()
        self.attempts.append((name, start, timeouts))
        answers = self.script.get(name, [Answer()])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        self.in_flight[name] += 1
        self.peak[name] = max(self.peak[name], self.in_flight[name])
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

    def stream(self, request, deployment, *, timeouts, max_tokens=None):
        raise NotImplementedError

    @property
    def called(self):
        return [name for name, _, _ in self.attempts]


def deployment(name, tier="standard", region=None, **more):
    return Deployment(name, "model", tier=tier, region=region, **more)


def policy(**settings):
    """A policy without the chance of a back-off, unless asked for."""
    settings.setdefault("retry", {"max_attempts": 1})
    return RoutingPolicy.from_dict(settings)
