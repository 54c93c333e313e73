"""Blocking code in virtual time: greenlets on the simulated loop, and what they wait with."""

from simsla.virtualtime.blocking.calls import (
    OutsideBlockingCodeError,
    handle_of,
    inside,
    run,
    sleep,
    wait,
)
from simsla.virtualtime.blocking.locks import BlockedLoopError, VirtualLock, VirtualRLock
from simsla.virtualtime.blocking.surroundings import blocking_calls

__all__ = [
    "BlockedLoopError",
    "OutsideBlockingCodeError",
    "VirtualLock",
    "VirtualRLock",
    "blocking_calls",
    "handle_of",
    "inside",
    "run",
    "sleep",
    "wait",
]
