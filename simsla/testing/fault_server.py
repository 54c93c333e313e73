"""`FaultServer`: a server on loopback that speaks the OpenAI chat protocol and fails as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Coroutine, Iterable
from dataclasses import replace
from typing import Any, Final, NamedTuple, Self

from simsla.routing import Deployment
from simsla.testing import http_messages as http
from simsla.testing.behaviours import WITHOUT_CONNECTION, Behaviour, Player, Scripts
from simsla.testing.http_messages import Asked
from simsla.testing.responses import respond, send_error

_HOST: Final = "127.0.0.1"

# How often it is looked whether the client is still there.
_LOOK_S: Final = 0.005


class Call(NamedTuple):
    """One call that reached the server: which model it asked, and what it met there."""

    model: str
    behaviour: Behaviour
    streamed: bool


class FaultServer:
    """Serves ``/v1/chat/completions``, whole and streamed, on a free port of 127.0.0.1.

    ``scripts`` says for each model what becomes of the calls in turn; the last behaviour stays. Use it as
    ``async with FaultServer({"model": [SERVER_ERROR, OK]}) as server``. A model that has no script does not
    exist (404). It needs nothing but the standard library.
    """

    def __init__(self, scripts: Scripts) -> None:
        self.calls: list[Call] = []
        """The calls that came, in order."""
        self.in_flight = 0
        """Calls that have neither been answered nor given up by their client."""
        self._player = Player(scripts)
        self._connections: set[asyncio.Task[Any]] = set()
        self._sockets: list[socket.socket] = []
        self._deaf: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connection, _HOST, 0)
        self._port: int = self._server.sockets[0].getsockname()[1]
        for name, script in self._player.scripts.items():
            kind = script[0].kind
            if kind in WITHOUT_CONNECTION:
                self._deaf[name] = self._refuse() if kind == "refused" else self._ignore()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        for each in self._sockets:
            each.close()

    def url(self, model: str) -> str:
        """The address of the model's API, to give to a client as its base URL."""
        return f"http://{_HOST}:{self._deaf.get(model, self._port)}/v1"

    def place(self, deployments: Iterable[Deployment], api_key_env: str | None = None) -> list[Deployment]:
        """The deployments, served here: each one's name is its model."""
        return [
            replace(each, model=each.name, base_url=self.url(each.name), api_key_env=api_key_env)
            for each in deployments
        ]

    def _refuse(self) -> int:
        """A port where nobody listens. It stays taken, so that nobody else will."""
        taken = socket.socket()
        self._sockets.append(taken)
        taken.bind((_HOST, 0))
        return int(taken.getsockname()[1])

    def _ignore(self) -> int:
        """A port whose queue of connections is full, so that attempts to connect are ignored."""
        full = socket.socket()
        full.bind((_HOST, 0))
        full.listen(0)
        self._sockets.append(full)
        for _ in range(4):
            caller = socket.socket()
            caller.setblocking(False)
            self._sockets.append(caller)
            with contextlib.suppress(BlockingIOError):
                caller.connect(full.getsockname())
        return int(full.getsockname()[1])

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while (asked := await http.read_request(reader)) is not None:
                self.in_flight += 1
                try:
                    if not await self._while_connected(reader, self._respond(asked, writer)):
                        break
                finally:
                    self.in_flight -= 1
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client is gone, or the server goes
        except (ValueError, IndexError, asyncio.LimitOverrunError):
            pass  # it is no HTTP
        finally:
            self._connections.discard(task)
            writer.close()

    async def _while_connected(
        self, reader: asyncio.StreamReader, response: Coroutine[Any, Any, bool]
    ) -> bool:
        """Respond until the client goes away. Whether the connection may be used again."""
        task = asyncio.create_task(response)
        try:
            while not task.done():
                if reader.at_eof() or reader.exception() is not None:
                    return False
                await asyncio.wait({task}, timeout=_LOOK_S)
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _respond(self, asked: Asked, writer: asyncio.StreamWriter) -> bool:
        """Do as the script says. Whether the connection may be used again."""
        if not asked.path.endswith("/chat/completions") or asked.model not in self._player.scripts:
            return await send_error(asked, writer, Behaviour("not_found", after_s=0.0))
        behaviour = self._player.play(asked.model)
        self.calls.append(Call(asked.model, behaviour, asked.streams))
        return await respond(asked, writer, behaviour)
