"""The two arms: the same test body runs in virtual time on the world, and in real time over HTTP."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeVar

from simsla.routing import Deployment, Transport
from simsla.routing.production import OpenAITransport
from simsla.testing.behaviours import Scripts
from simsla.testing.fault_server import FaultServer
from simsla.testing.simulated import ScriptedWorld
from simsla.virtualtime import SimEventLoop, running_loop_set_aside

T = TypeVar("T")

MakeTransport = Callable[[Sequence[Deployment]], Transport]
"""Makes the transport under test; where it has an ``aclose``, that is awaited at the end."""

KEY_ENV: Final = "SIMSLA_CONFORMANCE_KEY"
"""Where the real arm's deployments have their key, for as long as it runs."""

KEY: Final = "sk-conformance-0123456789"
"""Not a secret: what must not appear in errors."""

_LOOK_S: Final = 0.01
_LOOKS: Final = 300


@dataclass(frozen=True)
class Bench:
    """What a test body works on."""

    transport: Transport
    deployments: Sequence[Deployment]
    in_flight: Callable[[], int]
    """Attempts that the far side still works on."""

    async def quiet(self) -> bool:
        """Whether the far side stops working within a few seconds."""
        for _ in range(_LOOKS):
            if self.in_flight() == 0:
                return True
            await asyncio.sleep(_LOOK_S)
        return False


Body = Callable[[Bench], Awaitable[T]]


class Arm(Protocol):
    """A way to run a test body."""

    @property
    def name(self) -> str: ...

    def run(self, deployments: Sequence[Deployment], scripts: Scripts, body: Body[T], limit_s: float) -> T:
        """What the body returns. Raises AssertionError where it is not over after ``limit_s``."""
        ...


class SimulatedArm:
    """In virtual time, on the world."""

    name = "simulated"

    def run(self, deployments: Sequence[Deployment], scripts: Scripts, body: Body[T], limit_s: float) -> T:
        """See `Arm`."""

        async def main() -> T:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, SimEventLoop)
            placed = [replace(deployment, model=deployment.name) for deployment in deployments]
            world = ScriptedWorld(loop, placed, scripts)
            return await _within(limit_s, body(Bench(world, world.deployments, lambda: world.in_flight)))

        with running_loop_set_aside(), asyncio.Runner(loop_factory=SimEventLoop) as runner:
            return runner.run(main())


class HttpArm:
    """In real time, against a `FaultServer` on loopback."""

    name = "http"

    def __init__(self, make_transport: MakeTransport | None = None) -> None:
        """``make_transport`` is by default that of `OpenAITransport`."""
        self._make = make_transport or OpenAITransport

    def run(self, deployments: Sequence[Deployment], scripts: Scripts, body: Body[T], limit_s: float) -> T:
        """See `Arm`."""

        async def main() -> T:
            async with FaultServer(scripts) as server:
                placed = server.place(deployments, KEY_ENV)
                transport = self._make(placed)
                try:
                    return await _within(limit_s, body(Bench(transport, placed, lambda: server.in_flight)))
                finally:
                    close: Any = getattr(transport, "aclose", None)
                    if close is not None:
                        await close()

        with _loopback(), running_loop_set_aside(), asyncio.Runner() as runner:
            return runner.run(main())


async def _within(limit_s: float, work: Awaitable[T]) -> T:
    limit = asyncio.timeout(limit_s)
    try:
        async with limit:
            return await work
    except TimeoutError as error:
        if limit.expired():
            raise AssertionError(f"not over after {limit_s:g} s") from error
        raise


@contextmanager
def _loopback() -> Iterator[None]:
    """The key, and no proxy between the transport and the server, for the time being."""
    changes = {KEY_ENV: KEY, "NO_PROXY": "*", "no_proxy": "*"}
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
