"""An attempt at a deployment that is shared, from its slot to its end: sent whole, and read as a stream."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Final

from simsla.records import ATTEMPT_OUTCOMES
from simsla.world.conditions import CUT
from simsla.world.sharing import Share

if TYPE_CHECKING:
    from simsla.routing import Timeouts
    from simsla.virtualtime import SimEventLoop
    from simsla.world.attempt import Attempt

SHARED: Final = -5
"""In the place of an outcome while an attempt is in service at a deployment that is shared."""

_OK: Final = ATTEMPT_OUTCOMES.index("ok")
_TIMEOUT: Final = ATTEMPT_OUTCOMES.index("timeout")

# Where a token takes less than this share of the limit between two, a piece of many is watched at once.
_FAR_FROM_IDLE: Final = 0.25

# A token that is due in the very moment has come, in spite of the last bits of its time.
_ROUNDING: Final = 1e-9


def enter(attempt: Attempt, loop: SimEventLoop) -> None:
    """It has its slot and is to be answered: how long that takes depends on who else is there."""
    sharing = attempt.server.sharing
    assert sharing is not None
    attempt.ends_as, attempt.outcome = attempt.outcome, SHARED
    attempt.share = Share(sharing, attempt.first_s, attempt.total_s, loop)


async def serve(attempt: Attempt, total_s: float | None) -> None:
    """Wait until it is served, or until the limit since it began: its outcome is known then."""
    share, limit = attempt.share, attempt.start_s + _limit(total_s)
    in_time = await share.until(share.total_s, limit)
    if share.broken:
        end(attempt, CUT)
        return
    in_time = in_time and await _on_its_way(attempt, limit)
    end(attempt, attempt.ends_as if in_time else _TIMEOUT)


def end(attempt: Attempt, outcome: int) -> None:
    """It leaves; its first token came when it came."""
    share = attempt.share
    if attempt.outcome == SHARED:
        delay_s = attempt.first_s - share.first_s
        attempt.first_s = share.first_token_s + delay_s - attempt.start_s - attempt.queued_s
    share.leave()
    attempt.outcome = outcome


def generating_s(attempt: Attempt) -> float:
    """Seconds of service since its first token, below 0 before; it leaves, if it is still there."""
    share = attempt.share
    end(attempt, attempt.outcome)
    return share.served_s - share.first_s


async def _on_its_way(attempt: Attempt, limit: float) -> bool:
    """Wait for what is no service, a network or a gateway's pod; False if the time `limit` came first."""
    share = attempt.share
    delay_s = attempt.total_s - share.total_s
    return delay_s <= 0 or await share.pause(share.left_at_s + delay_s, limit)


async def pieces(attempt: Attempt, timeouts: Timeouts, most: int) -> AsyncGenerator[tuple[int, bool, str]]:
    """The tokens of its stream as they come, at most so many at once.

    Yields (tokens, whether they are the last, ""), with its outcome known before the last; or, where it
    fails, (0, True, the phase of the limit that it ran into). What is no service, such as a network, delays
    its first and its last piece.
    """
    share = attempt.share
    first_s, per_token_s, total_s = share.first_s, attempt.per_token_s, share.total_s
    total = attempt.start_s + _limit(timeouts.total_s)
    first = attempt.start_s + _limit(timeouts.first_token_s)
    whole = attempt.ends_as == _OK
    readable = attempt.tokens if whole else attempt.readable
    sent = 0
    while sent < readable or not whole:
        spoiled = sent == readable
        piece = 1 if sent == 0 or spoiled else min(most, readable - sent)
        limit, phase = total, "total"
        if sent == 0:
            limit, phase = min((total, "total"), (first, "first_token"))
        elif timeouts.idle_s is not None:
            if per_token_s * share.sharing.slowdown > _FAR_FROM_IDLE * timeouts.idle_s:
                piece = 1
            limit, phase = min((limit, phase), (share.now() + piece * timeouts.idle_s, "idle"))
        due_s = first_s + (sent + piece) * per_token_s if sent else first_s
        in_time = await share.until(total_s if spoiled else due_s, limit)
        if share.broken:
            end(attempt, CUT)
            if come := _come(attempt, sent, 0 if spoiled else piece):
                yield come, False, ""
            yield 0, True, phase
            return
        if in_time and sent == 0 and attempt.first_s > first_s:
            in_time = await share.pause(share.first_token_s + attempt.first_s - first_s, limit)
        if spoiled or not in_time:
            end(attempt, attempt.ends_as if in_time else _TIMEOUT)
            if come := _come(attempt, sent, 0 if spoiled else piece):
                yield come, False, ""
            yield 0, True, phase
            return
        sent += piece
        last = whole and sent == attempt.tokens
        if last:
            # An answer of one token ends later than it begins.
            in_time = await share.until(total_s, total) and not share.broken
            in_time = in_time and await _on_its_way(attempt, total)
            end(attempt, _OK if in_time else CUT if share.broken else _TIMEOUT)
        yield (piece, last, "") if in_time else (0, True, "total")


def _come(attempt: Attempt, sent: int, piece: int) -> int:
    """The tokens of a piece that had been made when the attempt left, after so many that were sent."""
    if not sent:
        return 0
    share = attempt.share
    made = int((share.served_s - share.first_s) / attempt.per_token_s + _ROUNDING)
    return max(0, min(piece, made - sent))


def _limit(seconds: float | None) -> float:
    return math.inf if seconds is None else seconds
