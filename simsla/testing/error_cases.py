"""How a transport's attempts fail."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Final, Literal

from simsla.routing import (
    AttemptError,
    AttemptTimeout,
    AuthenticationFailed,
    BadRequest,
    Chunk,
    ConnectError,
    ContentFiltered,
    ContextLengthExceeded,
    MalformedReply,
    NotFound,
    RateLimited,
    ServerError,
    ServiceUnavailable,
    StreamInterrupted,
    Timeouts,
)
from simsla.testing import behaviours as b
from simsla.testing.arms import Bench
from simsla.testing.asking import AMPLE, SHORT_S, TransportCase, ask, ensure, limits, read
from simsla.testing.behaviours import Behaviour

How = Literal["send", "stream"]


def failing(
    name: str,
    behaviour: Behaviour,
    error: type[AttemptError],
    how: How = "send",
    timeouts: Timeouts = AMPLE,
    *,
    phase: str | None = None,
    status: int | None = None,
    chunks: bool | None = None,
) -> TransportCase:
    """A case in which an attempt ends in an error of exactly this class.

    ``chunks``: whether some must come before it; None: it does not matter.
    """

    async def body(bench: Bench) -> None:
        seen: list[Chunk] = []
        try:
            if how == "send":
                await ask(bench, timeouts)
            else:
                await read(bench, timeouts, into=seen)
        except AttemptError as found:
            caught = found
        else:
            raise AssertionError(f"it was answered; expected {error.__name__}")
        ensure(type(caught) is error, f"{caught!r}; expected {error.__name__}")
        place = bench.deployments[0].name
        ensure(caught.deployment == place, f"the error's deployment is {caught.deployment!r}, not {place!r}")
        if status is not None:
            ensure(caught.status == status, f"the error's status is {caught.status}, not {status}")
        if isinstance(caught, AttemptTimeout):
            ensure(caught.phase == phase, f"the time-out's phase is {caught.phase!r}, not {phase!r}")
        wish = behaviour.retry_after_s
        ensure(caught.retry_after_s == wish, f"retry_after_s is {caught.retry_after_s}, not {wish}")
        if chunks is not None:
            ensure(bool(seen) == chunks, f"{len(seen)} chunks before the error")
        ensure(all(chunk.finish_reason is None for chunk in seen), "a last chunk before the error")
        ensure(await bench.quiet(), "the attempt is still in flight")

    return TransportCase(name, (behaviour,), body)


_LATER: Final = replace(b.RATE_LIMITED, retry_after_s=7.0)
_SOON: Final = replace(b.UNAVAILABLE, retry_after_s=0.25)


def _errors(how: How) -> tuple[TransportCase, ...]:
    return (
        failing(f"{how}: 500", b.SERVER_ERROR, ServerError, how, status=500, chunks=None),
        failing(f"{how}: 503", b.UNAVAILABLE, ServiceUnavailable, how, status=503),
        failing(f"{how}: 503, to be retried after less than a second", _SOON, ServiceUnavailable, how),
        failing(f"{how}: 429", b.RATE_LIMITED, RateLimited, how, status=429),
        failing(f"{how}: 429, to be retried after seven seconds", _LATER, RateLimited, how, status=429),
        failing(f"{how}: 400", b.BAD_REQUEST, BadRequest, how, status=400),
        failing(f"{how}: context length", b.CONTEXT_LENGTH, ContextLengthExceeded, how, status=400),
        failing(f"{how}: content filter", b.CONTENT_FILTER, ContentFiltered, how, status=400),
        failing(f"{how}: 401", b.UNAUTHORIZED, AuthenticationFailed, how, status=401),
        failing(f"{how}: 404", b.NOT_FOUND, NotFound, how, status=404),
        failing(f"{how}: refused connection", b.REFUSED, ConnectError, how),
        failing(f"{how}: malformed answer", b.MALFORMED, MalformedReply, how),
    )


_BROKEN_OFF: Final = (
    failing("send: cut answer", b.CUT, StreamInterrupted),
    failing("stream: cut answer", b.CUT, StreamInterrupted, "stream", chunks=True),
)

_TIMEOUTS: Final = (
    failing("send: hang", b.HANG, AttemptTimeout, "send", limits(total_s=SHORT_S), phase="total"),
    failing(
        "send: slow answer", b.SLOW_STREAM, AttemptTimeout, "send", limits(total_s=SHORT_S), phase="total"
    ),
    failing(
        "stream: hang",
        b.HANG,
        AttemptTimeout,
        "stream",
        limits(first_token_s=SHORT_S),
        phase="first_token",
        chunks=False,
    ),
    failing(
        "stream: slow first token",
        b.SLOW_FIRST_TOKEN,
        AttemptTimeout,
        "stream",
        limits(first_token_s=SHORT_S),
        phase="first_token",
        chunks=False,
    ),
    failing(
        "stream: stall",
        b.STALLED_STREAM,
        AttemptTimeout,
        "stream",
        limits(idle_s=SHORT_S),
        phase="idle",
        chunks=True,
    ),
    failing(
        "stream: tokens beyond the total",
        b.SLOW_STREAM,
        AttemptTimeout,
        "stream",
        limits(total_s=2 * SHORT_S),
        phase="total",
        chunks=True,
    ),
)

# Other systems treat a full queue of connections in other ways.
_UNREACHABLE: Final = tuple(
    failing(
        f"{how}: no connection",
        b.UNREACHABLE,
        AttemptTimeout,
        how,
        limits(connect_s=SHORT_S),
        phase="connect",
    )
    for how in (("send", "stream") if sys.platform == "linux" else ())
)

ERROR_CASES: Final = (
    *_errors("send"),
    *_errors("stream"),
    *_BROKEN_OFF,
    *_TIMEOUTS,
    *_UNREACHABLE,
)
