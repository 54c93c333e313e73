"""The conformance cases on both arms, and that they find what is wrong."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from simsla.routing import AttemptError, Chunk, ServerError, Timeouts
from simsla.routing.production import OpenAITransport
from simsla.testing import CONFORMANCE_CASES, check_transport

BY_NAME = {case.name: case for case in CONFORMANCE_CASES}


def test_every_case_has_a_name_of_its_own():
    assert len(BY_NAME) == len(CONFORMANCE_CASES) > 40


@pytest.mark.parametrize("case", CONFORMANCE_CASES, ids=lambda case: case.name)
def test_the_openai_transport_over_http(case):
    check_transport(OpenAITransport, [case])


def test_the_simulated_transport():
    check_transport()


def test_in_a_running_loop_as_in_a_notebook():
    async def cell():
        check_transport(cases=[BY_NAME["answers"]])
        check_transport(OpenAITransport, [BY_NAME["answers"], BY_NAME["send: hang"]])

    asyncio.run(cell())


# Transports that do one thing wrong


class Wrapped:
    """A transport that does everything as the real one does."""

    def __init__(self, deployments):
        self.inner = OpenAITransport(deployments)
        self.deployments = self.inner.deployments
        self.random = self.inner.random

    async def aclose(self):
        await self.inner.aclose()

    async def send(self, request, deployment, *, timeouts, max_tokens=None):
        return await self.inner.send(request, deployment, timeouts=timeouts, max_tokens=max_tokens)

    def stream(self, request, deployment, *, timeouts, max_tokens=None):
        return self.inner.stream(request, deployment, timeouts=timeouts, max_tokens=max_tokens)


class Deaf(Wrapped):
    """It has limits of its own."""

    async def send(self, request, deployment, *, timeouts, max_tokens=None):
        return await self.inner.send(request, deployment, timeouts=Timeouts(total_s=0.5))


class Vague(Wrapped):
    """Every error is one of the server."""

    async def send(self, request, deployment, *, timeouts, max_tokens=None):
        try:
            return await super().send(request, deployment, timeouts=timeouts, max_tokens=max_tokens)
        except AttemptError as error:
            raise ServerError(deployment=deployment.name) from error


class Stubborn(Wrapped):
    """Cancelling it leaves the attempt running."""

    async def send(self, request, deployment, *, timeouts, max_tokens=None):
        self.task = asyncio.ensure_future(super().send(request, deployment, timeouts=timeouts))
        return await asyncio.shield(self.task)

    async def aclose(self):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await super().aclose()


class Unfinished(Wrapped):
    """Its streams end without a finish reason."""

    @asynccontextmanager
    async def stream(self, request, deployment, *, timeouts, max_tokens=None):
        async def chunks():
            async for chunk in source:
                yield Chunk(chunk.text, chunk.tokens)

        async with super().stream(request, deployment, timeouts=timeouts, max_tokens=max_tokens) as source:
            yield chunks()


class Talkative(Wrapped):
    """It chains the SDK's own error, which holds the request with the key."""

    async def send(self, request, deployment, *, timeouts, max_tokens=None):
        try:
            return await super().send(request, deployment, timeouts=timeouts, max_tokens=max_tokens)
        except AttemptError as error:
            raise error from RuntimeError("Authorization: Bearer sk-conformance-0123456789")


class Serial(Wrapped):
    """One attempt at a time."""

    def __init__(self, deployments):
        super().__init__(deployments)
        self.lock = asyncio.Lock()

    async def send(self, request, deployment, *, timeouts, max_tokens=None):
        async with self.lock:
            return await super().send(request, deployment, timeouts=Timeouts(total_s=0.3))


class Careless(Wrapped):
    """What it raises is no error of ours."""

    async def send(self, request, deployment, *, timeouts, max_tokens=None):
        try:
            return await super().send(request, deployment, timeouts=timeouts, max_tokens=max_tokens)
        except AttemptError:
            raise KeyError("choices") from None


@pytest.mark.parametrize(
    ("transport", "case"),
    [
        (Deaf, "send: no connection"),
        (Deaf, "answers within max_tokens"),
        (Vague, "send: 429"),
        (Vague, "send: cut answer"),
        (Stubborn, "cancelling send ends it"),
        (Unfinished, "streams"),
        (Talkative, "keeps the key to itself"),
        (Serial, "attempts do not wait for one another"),
        (Careless, "send: malformed answer"),
        (Careless, "send: refused connection"),
    ],
)
def test_a_mistake_is_found_and_named(transport, case):
    if case not in BY_NAME:
        pytest.skip("not a case on this system")
    with pytest.raises(AssertionError) as caught:
        check_transport(transport, [BY_NAME["streams within max_tokens"], BY_NAME[case]])
    lines = str(caught.value).splitlines()
    assert any(line.startswith(f"{case} [http]: ") for line in lines)


def test_one_mistake_does_not_hide_another():
    with pytest.raises(AssertionError) as caught:
        check_transport(Careless, [BY_NAME[name] for name in ("send: 429", "answers", "send: 500")])
    assert [line.partition(" [")[0] for line in str(caught.value).splitlines()] == ["send: 429", "send: 500"]
