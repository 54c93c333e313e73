"""`Endpoint`: the world as the servers that a policy's HTTP clients call."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from simsla.routing.errors import (
    AttemptError,
    AttemptTimeout,
    ConnectError,
    MalformedReply,
    StreamInterrupted,
)
from simsla.routing.types import Request, Timeouts
from simsla.virtualtime.http import Answer, Call, ExchangeError, close_at_once
from simsla.virtualtime.identity import CURRENT
from simsla.world.endpoint.addresses import Addresses, Refused, Target, UnknownAddress
from simsla.world.endpoint.bodies import EVENTS, JSON, Asked, Voice, error_body, of_error
from simsla.world.endpoint.marked import MARK, MarkedRequest
from simsla.world.endpoint.streams import EventStream, broken_down

if TYPE_CHECKING:
    from simsla.routing import Deployment, Transport
    from simsla.scenario.deployments import DeploymentSpec
    from simsla.world.requests import SimRequest

# So many requests are remembered, open or not, for the calls that tell theirs by its mark.
_REMEMBERED: Final = 50_000

# How many targets and kinds of complaint are kept.
_MANY: Final = 1_000


class Endpoint:
    """The world's deployments as OpenAI-compatible servers; see `simsla.virtualtime.http.HttpWorld`.

    A call of chat/completions is an attempt at the deployment that its base URL, model and key mean, made
    through the transport's public `send` and `stream`. It belongs to the request whose mark is in its body,
    else to the one for which the calling code runs (`simsla.virtualtime.identity`), else to nobody. A call of
    /models, which some code probes health with, is an attempt of one token with the purpose `check`.

    What reaches no deployment, an unknown address among them, is answered as the network or a server would,
    and counted in `complaints`.
    """

    def __init__(
        self,
        transport: Transport,
        specs: Sequence[DeploymentSpec] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """`specs` have the keys that stand in the scenario; the others are read from `environ`, now."""
        self._transport = transport
        self._addresses = Addresses(transport.deployments, specs, environ)
        self._voices = {deployment.name: Voice(deployment) for deployment in transport.deployments}
        self._targets: dict[str, Target] = {}
        self._known: dict[int | str, SimRequest] = {}
        self._streams: dict[int | str, list[EventStream]] = {}
        self.calls = 0
        """Calls of chat/completions so far that reached a deployment."""
        self.sdk_retries = 0
        """Those of them that an SDK made by itself, because its last one had failed."""
        self.complaints: dict[str, int] = {}
        """What was wrong with calls that reached no deployment: how often, by what was said."""

    def __repr__(self) -> str:
        return f"<Endpoint for {', '.join(self._voices)}: {self.calls:,} calls>"

    def identified(self, handle: Callable[[SimRequest], Awaitable[Any]]) -> Callable[[SimRequest], Any]:
        """`handle`, so that the endpoint knows which calls are made for which request.

        Streams that it leaves without closing them are ended when it returns, unless somebody waits for their
        next piece: otherwise the garbage collector would, some time.
        """

        async def identified(request: SimRequest) -> Any:
            marked = MarkedRequest.of(request)
            known = self._known
            known[request.id] = marked
            if len(known) > _REMEMBERED:
                del known[next(iter(known))]
            CURRENT.set(marked)
            streams: list[EventStream] = []
            self._streams[request.id] = streams
            try:
                return await handle(marked)
            finally:
                del self._streams[request.id]
                for stream in streams:
                    if stream.idle:
                        close_at_once(stream)

        return identified

    async def answer(self, call: Call) -> Answer:
        """The answer to a call. Raises ExchangeError where the connection, or the answer, does not come."""
        try:
            target = self._target(call.url)
            if target.kind == "chat":
                return await self._chat(call, target)
            if target.kind == "models":
                return await self._models(call, target)
            raise Refused(
                404,
                "unknown_url",
                f"{target.place.url} has chat/completions and models, but no {target.path or 'page'!r}",
            )
        except UnknownAddress as error:
            refused: Exception = ExchangeError("connect", self._complain(str(error)))
        except Refused as error:
            kind = "invalid_request_error"
            body = error_body(kind, error.code, self._complain(str(error)))
            return Answer(error.status, [JSON, _length(body)], body)
        raise refused

    def _target(self, url: str) -> Target:
        target = self._targets.get(url)
        if target is None:
            target = self._addresses.target(url)
            if len(self._targets) < _MANY:
                self._targets[url] = target
        return target

    def _complain(self, what: str) -> str:
        if what in self.complaints or len(self.complaints) < _MANY:
            self.complaints[what] = self.complaints.get(what, 0) + 1
        return what

    async def _chat(self, call: Call, target: Target) -> Answer:
        if call.method != "POST":
            raise Refused(405, "method_not_allowed", f"{call.method} of chat/completions, which takes POST")
        try:
            asked = Asked(call.body)
        except ValueError as error:
            raise Refused(400, "invalid_body", f"chat/completions: {error}") from None
        model = target.model or asked.model
        if model is None:
            raise Refused(400, "invalid_body", "chat/completions: the body names no 'model'")
        headers = call.headers
        deployment = self._addresses.deployment(target.place, model, _key(headers))
        self.calls += 1
        if headers.get("x-stainless-retry-count", "0") != "0":
            self.sdk_retries += 1
        request = self._request(call, asked)
        number = f"{request.id}-{self.calls}"
        if asked.stream:
            return await self._streamed(call, request, deployment, asked, number)
        limits = Timeouts(connect_s=call.connect_s, total_s=_after(call.read_s))
        try:
            reply = await self._transport.send(
                request, deployment, timeouts=limits, max_tokens=asked.max_tokens
            )
        except AttemptError as error:
            failed = error
        else:
            body = self._voices[deployment.name].completion(
                number,
                int(time.time()),
                (reply.tokens_in, reply.tokens_out),
                reply.finish_reason,
                asked.json_object,
            )
            told = [JSON, _length(body), ("x-request-id", number)]
            if reply.metadata is not None:
                told += reply.metadata.get("headers", {}).items()
            return Answer(200, told, body)
        return self._failed(failed, deployment, number, asked)

    def _failed(self, error: AttemptError, deployment: Deployment, number: str, asked: Asked) -> Answer:
        """The answer that tells of a failed attempt. Raises ExchangeError where there is none."""
        if isinstance(error, ConnectError | AttemptTimeout):
            raise broken_down(error) from None
        if isinstance(error, MalformedReply | StreamInterrupted):
            body = self._voices[deployment.name].completion(
                number, int(time.time()), (asked.prompt_tokens, 1), "stop", asked.json_object
            )
            cut = len(body) // 2
            if isinstance(error, MalformedReply):
                return Answer(200, [JSON, _length(body[:cut])], body[:cut])
            return Answer(200, [JSON, _length(body)], body, cut_at=cut)
        status, headers, body = of_error(error)
        return Answer(status, [*headers, _length(body), ("x-request-id", number)], body)

    async def _streamed(
        self, call: Call, request: Request, deployment: Deployment, asked: Asked, number: str
    ) -> Answer:
        """The head comes with the first piece: before it, nobody knows whether there will be an answer."""
        limits = Timeouts(
            connect_s=call.connect_s, first_token_s=_after(call.read_s), idle_s=_after(call.read_s)
        )
        opened = self._transport.stream(request, deployment, timeouts=limits, max_tokens=asked.max_tokens)
        chunks = await opened.__aenter__()
        try:
            first = await anext(chunks)
        except AttemptError as error:
            failed = error
        except BaseException:
            await opened.__aexit__(None, None, None)
            raise
        else:
            voice = self._voices[deployment.name]
            pieces = EventStream(opened, chunks, first, voice, number, int(time.time()), asked)
            root = request.id if request.parent_id is None else request.parent_id
            if (streams := self._streams.get(root)) is not None:
                streams.append(pieces)
            return Answer(200, [EVENTS, ("x-request-id", number)], pieces)
        await opened.__aexit__(None, None, None)
        return self._failed(failed, deployment, number, asked)

    def _request(self, call: Call, asked: Asked) -> Request:
        """The request to which a call belongs, as it is asked here."""
        request: Request | None = None
        mark = MARK.search(call.body)
        if mark is not None:
            request = self._known.get(int(mark[1]))
            if request is not None and mark[2] is not None:
                request = request.derive(purpose=mark[2].decode())
        if request is None:
            request = CURRENT.get()
        if request is None:
            return Request(
                "nobody",
                prompt_tokens=asked.prompt_tokens,
                prefix_tokens=asked.prefix_tokens,
                stream=asked.stream,
            )
        if (
            request.prompt_tokens == asked.prompt_tokens
            and request.prefix_tokens == asked.prefix_tokens
            and (request.max_tokens is None or asked.max_tokens is not None)
        ):
            return request
        return request.replace(
            prompt_tokens=asked.prompt_tokens, prefix_tokens=asked.prefix_tokens, max_tokens=None
        )

    async def _models(self, call: Call, target: Target) -> Answer:
        if call.method != "GET":
            raise Refused(405, "method_not_allowed", f"{call.method} of models, which takes GET")
        place = target.place
        deployment = self._addresses.deployment(place, target.model, _key(call.headers))
        current = CURRENT.get()
        if current is None:
            request = Request("nobody", purpose="check")
        else:
            request = current.derive(purpose="check", prompt_tokens=0, max_tokens=None)
        limits = Timeouts(connect_s=call.connect_s, total_s=_after(call.read_s))
        try:
            await self._transport.send(request, deployment, timeouts=limits, max_tokens=1)
        except AttemptError as error:
            failed = error
        else:
            names = dict.fromkeys(each.model for each in place.deployments)
            if target.model is not None:
                told: dict[str, Any] = _model(target.model)
            else:
                told = {"object": "list", "data": [_model(name) for name in names]}
            body = json.dumps(told).encode()
            return Answer(200, [JSON, _length(body)], body)
        if isinstance(failed, ConnectError | AttemptTimeout | StreamInterrupted):
            raise broken_down(failed)
        status, headers, body = of_error(failed)
        return Answer(status, [*headers, _length(body)], body)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "simsla"}


def _key(headers: Mapping[str, str]) -> str | None:
    """The key of a call; Azure's clients have a header of their own for it."""
    bearer = headers.get("authorization")
    if bearer is None:
        return headers.get("api-key")
    scheme, _, key = bearer.partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def _after(seconds: float | None) -> float | None:
    """The read limit, a hair later, so that a connection with the same limit ends by its own."""
    return None if seconds is None else math.nextafter(seconds, math.inf)


def _length(body: bytes) -> tuple[str, str]:
    return "content-length", str(len(body))
