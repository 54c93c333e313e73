"""The end of an attempt: its slot is given back, its bill is made, and it goes into the log."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from simsla.routing.errors import (
    AttemptError,
    AttemptTimeout,
    BadRequest,
    ConnectError,
    ContextLengthExceeded,
    MalformedReply,
    RateLimited,
    ServerError,
    ServiceUnavailable,
    StreamInterrupted,
)
from simsla.world import shares
from simsla.world.attempt import (
    BAD_REQUEST,
    CANCELLED,
    CLOSED,
    CONTEXT_LENGTH,
    OK,
    RATE_LIMITED,
    SERVER_ERROR,
    TIMEOUT,
    UNAVAILABLE,
    Attempt,
)
from simsla.world.conditions import CONNECT, CUT, MALFORMED

if TYPE_CHECKING:
    import simpy

    from simsla.records import Recorder

_ERROR_CLASSES: Final[dict[int, type[AttemptError]]] = {
    CONNECT: ConnectError,
    CONTEXT_LENGTH: ContextLengthExceeded,
    RATE_LIMITED: RateLimited,
    SERVER_ERROR: ServerError,
    UNAVAILABLE: ServiceUnavailable,
    BAD_REQUEST: BadRequest,
    CUT: StreamInterrupted,
    MALFORMED: MalformedReply,
}

_RETRIABLE_LATER = (RATE_LIMITED, UNAVAILABLE)
_SERVER_ERRORS = (SERVER_ERROR, UNAVAILABLE)

# Times are sums of floats: a token that is due counts as generated in spite of their last bits.
_ROUNDING_S = 1e-9

_NAN = math.nan


class Ending:
    """The part of a transport that ends attempts."""

    def __init__(self, env: simpy.Environment, recorder: Recorder) -> None:
        self._env = env
        self._log = recorder.attempt

    def _answered(self, attempt: Attempt) -> dict[str, Any] | None:
        """It was answered, whole and just now; what comes with the answer beside it."""
        server, whose = attempt.server, attempt.whose
        tokens_in, tokens_out = attempt.request.prompt_tokens, attempt.tokens
        start_s = attempt.start_s
        first_token_s = start_s + attempt.queued_s + attempt.first_s
        if attempt.purpose == 0:
            whose.answered_by = server.index
            prefix = attempt.request.prefix_tokens
            if not prefix or math.isnan(whose.first_token_s):
                whose.first_token_s = first_token_s
            whose.output_tokens = prefix + tokens_out
        server.in_flight -= 1
        now = self._env._now
        metadata = None
        if attempt.holds_slot:
            server.release()
            if server.gate is not None:
                server.gate.leave(attempt)
                metadata = {"headers": server.gate.headers(now)}
        self._log(
            whose.number,
            server.index,
            attempt.ordinal,
            attempt.purpose,
            start_s,
            attempt.queued_s,
            first_token_s,
            now,
            OK,
            tokens_in,
            tokens_out,
            tokens_in * server.usd_per_token_in + tokens_out * server.usd_per_token_out
            if server.tariff is None
            else server.tariff.cost_usd(attempt.request, start_s, now, tokens_in, tokens_out),
            False,
        )
        attempt.outcome = CLOSED
        return metadata

    def _failed(self, attempt: Attempt, phase: str) -> AttemptError:
        """The error of an attempt that failed or ran into the limit of a `phase`."""
        outcome, server = attempt.outcome, attempt.server
        self._close(attempt, outcome)
        if outcome == TIMEOUT:
            return AttemptTimeout(f"no answer within its {phase} limit", phase=phase, deployment=server.name)
        error = _ERROR_CLASSES[outcome]
        retry_after_s = attempt.retry_after_s if outcome in _RETRIABLE_LATER else None
        failed = error(deployment=server.name, retry_after_s=retry_after_s)
        if server.gate is not None and failed.status is not None:
            failed.headers = server.gate.headers(self._env._now)
        return failed

    def _close(self, attempt: Attempt, outcome: int) -> None:
        """The end of an attempt that was not answered: its slot, its bill and its row."""
        server, now = attempt.server, self._env._now
        first_token_s, tokens_in, tokens_out = _NAN, 0, 0
        if attempt.served:
            # A reader who lags learns late that the answer broke off.
            served_s = min(now - attempt.start_s - attempt.queued_s, attempt.total_s)
            generated = 0
            generating_s = served_s - attempt.first_s + _ROUNDING_S
            if server.sharing is not None:
                generating_s = shares.generating_s(attempt) + _ROUNDING_S
            if generating_s >= 0:
                first_token_s = attempt.start_s + attempt.queued_s + attempt.first_s
                if attempt.purpose == 0 and math.isnan(attempt.whose.first_token_s):
                    attempt.whose.first_token_s = first_token_s  # in case the answer is continued
                generated = attempt.tokens
                if generating_s < attempt.tokens * attempt.per_token_s:
                    generated = max(1, int(generating_s / attempt.per_token_s))
            tokens_in, tokens_out = server.billed(
                outcome,
                tokens_in=attempt.request.prompt_tokens,
                generated=generated,
                whole=attempt.tokens,
            )
        elif outcome in _SERVER_ERRORS and not attempt.turned_away:
            tokens_in, tokens_out = server.billed(
                outcome,
                tokens_in=attempt.request.prompt_tokens,
                generated=0,
                whole=max(attempt.tokens, 0),  # a poisoned request would have no answer at all
            )
        server.in_flight -= 1
        if server.gate is not None:
            server.gate.leave(attempt)
        if attempt.holds_slot:
            server.release()
        self._log(
            attempt.whose.number,
            server.index,
            attempt.ordinal,
            attempt.purpose,
            attempt.start_s,
            attempt.queued_s,
            first_token_s,
            now,
            outcome,
            tokens_in,
            tokens_out,
            tokens_in * server.usd_per_token_in + tokens_out * server.usd_per_token_out
            if server.tariff is None
            else server.tariff.cost_usd(attempt.request, attempt.start_s, now, tokens_in, tokens_out),
            outcome == CANCELLED,
        )
        attempt.outcome = CLOSED
