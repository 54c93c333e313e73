"""One attempt at one deployment: what it is, and what becomes of it when it gets its slot."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from simsla.records import ATTEMPT_OUTCOMES
from simsla.world.conditions import CONNECT, CUT, HANG, MALFORMED, UNREACHED, Condition

if TYPE_CHECKING:
    from simsla.routing import Request
    from simsla.world.gateway.transport import Visit
    from simsla.world.requests import OpenRequest
    from simsla.world.server import Luck, Server
    from simsla.world.sharing import Share

OK: Final = ATTEMPT_OUTCOMES.index("ok")
TIMEOUT: Final = ATTEMPT_OUTCOMES.index("timeout")
CANCELLED: Final = ATTEMPT_OUTCOMES.index("cancelled")
CONTEXT_LENGTH: Final = ATTEMPT_OUTCOMES.index("context_length")
RATE_LIMITED: Final = ATTEMPT_OUTCOMES.index("rate_limited")
SERVER_ERROR: Final = ATTEMPT_OUTCOMES.index("server_error")
UNAVAILABLE: Final = ATTEMPT_OUTCOMES.index("unavailable")
BAD_REQUEST: Final = ATTEMPT_OUTCOMES.index("bad_request")

QUEUED: Final = -2
"""In the place of an outcome while an attempt waits for a slot."""

CLOSED: Final = -3
"""In the place of an outcome once the attempt is in the log."""


class Attempt:
    """One call, from its arrival to its row in the log.

    `total_s` and `first_s` count from the moment of service. `served` is False for an attempt that is turned
    away, fails or hangs, and so generates nothing. `readable` are the tokens that a stream shows of an answer
    that breaks off or ends in what cannot be read.
    """

    __slots__ = (
        "ends_as",
        "finish_reason",
        "first_s",
        "holds_slot",
        "luck",
        "most",
        "ordinal",
        "outcome",
        "per_token_s",
        "purpose",
        "queued_s",
        "readable",
        "request",
        "retry_after_s",
        "served",
        "server",
        "share",
        "start_s",
        "tokens",
        "total_s",
        "turned_away",
        "visit",
        "whose",
    )

    outcome: int
    total_s: float
    first_s: float
    per_token_s: float
    readable: int
    retry_after_s: float | None  # only where the answer is an error, as whether it got no slot
    turned_away: bool
    share: Share  # only where those in service slow one another down, as what it will end as
    ends_as: int
    visit: Visit | None  # only where there are gateway pods

    def __init__(
        self,
        request: Request,
        whose: OpenRequest,
        server: Server,
        luck: Luck,
        purpose: int,
        ordinal: int,
        start_s: float,
        tokens: int,
        most: int | None,
        finish_reason: str,
    ) -> None:
        """`tokens` are those of the answer, of at most the `most` asked for; `purpose` is a code."""
        self.request = request
        self.whose = whose
        self.server = server
        self.luck = luck
        self.purpose = purpose
        self.ordinal = ordinal
        self.start_s = start_s
        self.tokens = tokens
        self.most = most
        self.finish_reason = finish_reason
        self.queued_s = 0.0
        self.holds_slot = False
        self.served = False

    def turn_away(self, outcome: int) -> None:
        """It gets no slot; its answer is an error, or a refused connection."""
        self.outcome = outcome
        self.total_s = self.luck[3][self.whose.place]
        self.retry_after_s = self.server.retry_after_s
        self.turned_away = True

    def serve(self, condition: Condition) -> None:
        """It has its slot: what becomes of it, and when."""
        place = self.whose.place
        fails, firsts, per_tokens, _ = self.luck
        if fails[place] < condition.failing:
            self.fail(condition)
            return
        self.outcome = OK
        self.served = True
        slowdown = condition.slowdown
        self.first_s = first_s = firsts[place] * slowdown
        self.per_token_s = per_token_s = per_tokens[place] * slowdown
        self.total_s = first_s + self.tokens * per_token_s

    def fail(self, condition: Condition) -> None:
        """A fault hits it: an error, no answer ever, or an answer that is spoiled on its way."""
        place = self.whose.place
        fails, firsts, per_tokens, errors = self.luck
        self.outcome, where = condition.failure(fails[place])
        if self.outcome not in (CUT, MALFORMED):
            self.total_s = errors[place]
            self.retry_after_s = self.server.retry_after_s
            self.turned_away = False
            if self.outcome == HANG:
                self.total_s = math.inf
            elif self.outcome == UNREACHED:
                self.outcome, self.total_s = CONNECT, math.inf
            elif condition.told and (told_s := condition.retry_after_s(fails[place])) is not None:
                self.retry_after_s = told_s
            return
        # A cut comes after the first token, at any moment alike; what cannot be read is seen at the end.
        self.served = True
        self.first_s = firsts[place] * condition.slowdown
        self.per_token_s = per_tokens[place] * condition.slowdown
        generated = where * self.tokens if self.outcome == CUT else self.tokens
        self.total_s = self.first_s + generated * self.per_token_s
        self.readable = max(1, int(generated)) if self.outcome == CUT else self.tokens - 1
