"""`OpenAITransport`: the seam over the openai SDK, whose own retries are off."""

from __future__ import annotations

import asyncio
import random as random_module
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any, Final, NamedTuple, Self

from simsla.routing.errors import (
    AttemptError,
    AttemptTimeout,
    ConfigError,
    ContentFiltered,
    NotFound,
    StreamInterrupted,
    nearest,
)
from simsla.routing.production.answers import Answer, Piece
from simsla.routing.production.keys import Scrubber, read_keys
from simsla.routing.production.sdk_errors import in_band, of_network, of_status
from simsla.routing.production.waits import Wait
from simsla.routing.types import Chunk, Deployment, Reply, Request, Timeouts

Options = Callable[[Request, Deployment], Mapping[str, Any]]
"""Further arguments of ``chat.completions.create`` for a request."""

_NO_TIMEOUTS: Final = Timeouts()


class OpenAITransport:
    """`Transport` over HTTP: any server that speaks the OpenAI chat protocol.

    Each deployment is called at its ``base_url`` (OpenAI's own where it has none) with the key in the
    environment variable that its ``api_key_env`` names. A key is in no repr, log line or error: texts of
    servers are scrubbed, and the SDK's errors, which hold the request with its key, are not chained.

    Nothing is retried here: that is the Router's part. ``max_tokens`` is sent as ``max_completion_tokens`` to
    OpenAI itself, whose newer models take no other, and as ``max_tokens`` elsewhere. Where a server does not
    count tokens, the prompt counts what the request says and the answer a token for each four characters,
    or for each event of a stream.

    Use it as ``async with OpenAITransport(...)``, or call `aclose`. It belongs to the event loop of its
    first call.
    """

    def __init__(
        self,
        deployments: Sequence[Deployment],
        *,
        random: random_module.Random | None = None,
        options: Options | None = None,
        http_client: Callable[[], Any] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Read the keys and make one client for each address and key.

        ``random`` is what the Router draws from, by default the system's. What ``options`` returns, such as a
        temperature, is passed to the SDK with each attempt and replaces what this class would pass.
        ``http_client`` makes the HTTP client of each SDK client, an ``AsyncClient`` of the library that the
        SDK stands on; by default it is the SDK's own. ``environ`` stands in for the environment.

        Raises `ConfigError` for two deployments of one name and for a key that is not set, and ImportError
        where the SDK is not installed.
        """
        self.deployments = tuple(deployments)
        self.random = random_module.SystemRandom() if random is None else random
        names = [deployment.name for deployment in deployments]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError("deployments", name, "each name once")
        keys = read_keys(deployments, environ)
        self._openai = _sdk()
        self._scrub = Scrubber(keys.values())
        self._options = options
        shared: dict[tuple[str | None, str], Any] = {}
        for deployment in deployments:
            address = (deployment.base_url, keys[deployment.name])
            if address not in shared:
                shared[address] = self._openai.AsyncOpenAI(
                    base_url=deployment.base_url,
                    api_key=keys[deployment.name],
                    max_retries=0,
                    http_client=None if http_client is None else http_client(),
                )
        self._clients = tuple(shared.values())
        self._calls = {
            deployment.name: _Calls.of(shared[deployment.base_url, keys[deployment.name]])
            for deployment in deployments
        }

    def __repr__(self) -> str:
        return f"<OpenAITransport to {', '.join(self._calls) or 'nothing'}>"

    async def aclose(self) -> None:
        """Close all connections."""
        for client in self._clients:
            await client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def send(
        self,
        request: Request,
        deployment: Deployment,
        *,
        timeouts: Timeouts = _NO_TIMEOUTS,
        max_tokens: int | None = None,
    ) -> Reply:
        """The whole reply; see `simsla.routing.Transport`."""
        name = deployment.name
        open_answer = self._calls_of(name).open_answer
        arguments = self._arguments(request, deployment, timeouts, max_tokens)
        loop = asyncio.get_running_loop()
        start = loop.time()
        answering = False
        found: Answer | Exception
        limit = asyncio.timeout(timeouts.total_s)
        try:
            async with limit, open_answer(**arguments) as response:
                answering = True
                found = Answer.read(await response.read(), name, self._scrub)
        except Exception as error:
            found = self._error(error, name, answering, "total" if limit.expired() else None)
        # Raised only here, so that the SDK's error, which holds the key, is not its context.
        if isinstance(found, Exception):
            try:
                raise found
            finally:
                del found  # the name would tie the error to its own traceback
        # All of it comes at once: when its first token came is not known.
        total_s = loop.time() - start
        tokens_in = request.prompt_tokens if found.tokens_in is None else found.tokens_in
        return Reply(
            found.text,
            name,
            deployment.model,
            tokens_in,
            found.tokens_out,
            total_s,
            total_s,
            found.finish_reason,
        )

    @asynccontextmanager
    async def stream(
        self,
        request: Request,
        deployment: Deployment,
        *,
        timeouts: Timeouts = _NO_TIMEOUTS,
        max_tokens: int | None = None,
    ) -> AsyncGenerator[AsyncIterator[Chunk]]:
        """The reply in pieces; see `simsla.routing.Transport`. Leaving it early closes the connection."""
        chunks = self._chunks(request, deployment, timeouts, max_tokens)
        try:
            yield chunks
        finally:
            await chunks.aclose()

    async def _chunks(
        self, request: Request, deployment: Deployment, timeouts: Timeouts, max_tokens: int | None
    ) -> AsyncGenerator[Chunk]:
        """The pieces of an answer as they come; the last one, and no other, has the finish reason."""
        name = deployment.name
        open_stream = self._calls_of(name).open_stream
        arguments = self._arguments(request, deployment, timeouts, max_tokens)
        arguments = {"stream": True, "stream_options": {"include_usage": True}} | arguments
        wait = Wait(timeouts)
        events = await self._next(lambda: open_stream(**arguments), name, wait, answering=False)
        unseen = seen = 0  # tokens that no chunk has shown yet, and that some have
        text = False
        finish_reason = None
        counted = None
        try:
            while (event := await self._next(lambda: anext(events, None), name, wait)) is not None:
                piece = Piece.read(event, name)
                counted = counted if piece.tokens_out is None else piece.tokens_out
                finish_reason = piece.finish_reason or finish_reason
                if piece.alive:
                    wait.token()
                    unseen += 1
                if piece.text:
                    seen, shown, unseen, text = seen + unseen, unseen, 0, True
                    yield Chunk(piece.text, shown)
                    wait.token()  # the reader may have been busy; what came meanwhile is there
        except AttemptError:
            # The answer is whole: only its count, or the end of the stream, is missing.
            if finish_reason is None:
                raise
        finally:
            await events.close()
        if finish_reason is None:
            raise StreamInterrupted("the stream ended before its last chunk", deployment=name)
        if finish_reason == "content_filter" and not text:
            raise ContentFiltered("the answer was withheld", deployment=name)
        # The count comes after the last piece of text, and may say that an event held more than a token.
        yield Chunk("", unseen if counted is None else max(0, counted - seen), finish_reason)

    async def _next(self, step: Callable[[], Any], name: str, wait: Wait, answering: bool = True) -> Any:
        """What a step of the stream gives, within its limits of time. Raises `AttemptError`."""
        when, phase = wait.until()
        limit = asyncio.timeout_at(when)
        try:
            async with limit:
                return await step()
        except Exception as error:
            found = self._error(error, name, answering, phase if limit.expired() else None)
        try:
            raise found
        finally:
            del found

    def _calls_of(self, name: str) -> _Calls:
        calls = self._calls.get(name)
        if calls is None:
            hint = nearest(name, self._calls)
            meant = f"; did you mean {hint!r}?" if hint else ""
            raise NotFound(f"the transport has no such deployment{meant}", deployment=name)
        return calls

    def _arguments(
        self, request: Request, deployment: Deployment, timeouts: Timeouts, max_tokens: int | None
    ) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "model": deployment.model,
            "messages": list(request.messages),
            # Only the connection is left to the SDK: it knows no total, and takes a pause for one.
            "timeout": self._openai.Timeout(None, connect=timeouts.connect_s),
        }
        most = request.max_tokens if max_tokens is None else max_tokens
        if most is not None:
            arguments["max_completion_tokens" if deployment.base_url is None else "max_tokens"] = most
        if self._options is not None:
            arguments |= self._options(request, deployment)
        return arguments

    def _error(self, error: Exception, name: str, answering: bool, expired: str | None) -> Exception:
        """Ours for the SDK's. What no server and no network can cause, such as a wrong argument, stays."""
        openai = self._openai
        if expired is not None:
            return AttemptTimeout(f"no answer within its {expired} limit", phase=expired, deployment=name)
        if isinstance(error, openai.APIStatusError):
            return of_status(error.status_code, error.body, error.response.headers, name, self._scrub)
        told = isinstance(error, openai.APIError) and not isinstance(
            error, openai.APIConnectionError | openai.APIResponseValidationError
        )
        body = getattr(error, "body", None)
        return in_band(body, name, self._scrub) if told else of_network(error, name, answering)


class _Calls(NamedTuple):
    """The two calls of one client: finding them costs more than keeping them."""

    open_answer: Callable[..., Any]
    open_stream: Callable[..., Any]

    @classmethod
    def of(cls, client: Any) -> _Calls:
        completions = client.chat.completions
        return cls(completions.with_streaming_response.create, completions.create)


def _sdk() -> ModuleType:
    try:
        import openai
    except ImportError as error:
        raise ImportError(
            "OpenAITransport needs the openai SDK: pip install 'simsla[openai]'", name="openai"
        ) from error
    return openai
