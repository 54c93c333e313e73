"""The simulated arm: the world of `simsla.world`, made to treat each attempt as a script says."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from simsla.records import ColumnRecorder
from simsla.routing import (
    AttemptError,
    AuthenticationFailed,
    Chunk,
    ContentFiltered,
    Deployment,
    NotFound,
    Reply,
    Request,
    Timeouts,
)
from simsla.scenario import Scenario
from simsla.testing.behaviours import Behaviour, Player, Scripts
from simsla.world.faults import draw_environment
from simsla.world.server import Server
from simsla.world.transport import SimTransport

if TYPE_CHECKING:
    from simsla.virtualtime import SimEventLoop

_HORIZON_S: Final = 86_400.0

_NEVER_S: Final = 86_400.0

# A scenario has some; here all requests are made by hand.
_NOBODY: Final = {
    "arrivals": {"kind": "poisson", "rate": 1.0},
    "prompt_tokens": 1,
    "output_tokens": 1,
}

_ERRORS: Final[dict[str, str]] = {
    "hang": "hang",
    "cut": "cut",
    "malformed": "malformed",
    "server_error": "500",
    "unavailable": "503",
    "rate_limited": "429",
    "bad_request": "400",
    "content_filter": "400",
    "unauthorized": "400",
    "not_found": "400",
    "refused": "connect",
    "unreachable": "connect",
}
"""Behaviour -> the kind of error of a deployment in a scenario."""

_RENAMED: Final[dict[str, type[AttemptError]]] = {
    "content_filter": ContentFiltered,
    "unauthorized": AuthenticationFailed,
    "not_found": NotFound,
}
"""What the world, which has one kind of refusal, gets another name for."""


class ScriptedWorld:
    """A `Transport` over the simulated world in which each attempt meets the next step of a script.

    Behind each deployment stands one of the world for each step, which does always the same.
    """

    def __init__(self, loop: SimEventLoop, deployments: Sequence[Deployment], scripts: Scripts) -> None:
        self.deployments = tuple(deployments)
        self.random = random.Random(1)
        self._player = Player(scripts)
        steps = {
            f"{name}/{at}": _deployment(behaviour)
            for name, script in scripts.items()
            for at, behaviour in enumerate(script)
        }
        scenario = Scenario.from_dict(
            {
                "name": "conformance",
                "horizon": _HORIZON_S,
                "deployments": steps,
                "traffic": {"nobody": _NOBODY},
            }
        )
        environment = draw_environment(scenario, 1, 0, _HORIZON_S)
        specs = list(scenario.deployments.values())
        servers = [Server(spec, code, environment, 1, 0, 0.0, _HORIZON_S) for code, spec in enumerate(specs)]
        behind = [spec.to_deployment() for spec in specs]
        self._behind = {each.name: each for each in behind}
        self._world = SimTransport(loop, behind, servers, ColumnRecorder(), random.Random(1))

    @property
    def in_flight(self) -> int:
        """Attempts that have begun and not ended."""
        return self._world.in_flight

    async def send(
        self, request: Request, deployment: Deployment, *, timeouts: Timeouts, max_tokens: int | None = None
    ) -> Reply:
        """The whole reply."""
        behind, behaviour = self._step(deployment)
        try:
            reply = await self._world.send(request, behind, timeouts=timeouts, max_tokens=max_tokens)
        except AttemptError as error:
            failed = _failed(error, deployment, behaviour)
        else:
            reply.deployment, reply.model = deployment.name, deployment.model
            return reply
        try:
            raise failed
        finally:
            del failed

    @asynccontextmanager
    async def stream(
        self, request: Request, deployment: Deployment, *, timeouts: Timeouts, max_tokens: int | None = None
    ) -> AsyncGenerator[AsyncIterator[Chunk]]:
        """The reply in pieces."""
        behind, behaviour = self._step(deployment)
        async with (
            self._world.stream(request, behind, timeouts=timeouts, max_tokens=max_tokens) as chunks,
            aclosing(_chunks(chunks, deployment, behaviour)) as named,
        ):
            yield named

    def _step(self, deployment: Deployment) -> tuple[Deployment, Behaviour]:
        name = deployment.name
        at = self._player.step(name)
        return self._behind[f"{name}/{at}"], self._player.scripts[name][at]


async def _chunks(
    chunks: AsyncIterator[Chunk], deployment: Deployment, behaviour: Behaviour
) -> AsyncGenerator[Chunk]:
    try:
        async for chunk in chunks:
            yield chunk
    except AttemptError as error:
        failed = _failed(error, deployment, behaviour)
    else:
        return
    try:
        raise failed
    finally:
        del failed


def _failed(error: AttemptError, deployment: Deployment, behaviour: Behaviour) -> AttemptError:
    renamed = _RENAMED.get(behaviour.kind)
    if renamed is not None and error.status == 400:
        return renamed(deployment=deployment.name)
    error.deployment = deployment.name
    return error


def _deployment(behaviour: Behaviour) -> dict[str, Any]:
    """A deployment of a scenario that always behaves so."""
    kind = behaviour.kind
    per_token_s = _NEVER_S if kind == "stall" else behaviour.per_token_s
    spec: dict[str, Any] = {
        "model": "scripted",
        "latency": {"first_token": behaviour.after_s, "per_token": per_token_s},
        "error_latency": _NEVER_S if kind == "unreachable" else behaviour.after_s,
    }
    if kind in _ERRORS:
        spec["errors"] = {_ERRORS[kind]: 1.0}
    if kind == "context_length":
        spec["context_window"] = 1
    if behaviour.retry_after_s is not None:
        spec["retry_after"] = behaviour.retry_after_s
    return spec
