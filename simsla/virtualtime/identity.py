"""Which request a call belongs to that a policy makes past the transport, over HTTP."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simsla.routing import Request

CURRENT: ContextVar[Request | None] = ContextVar("simsla_request", default=None)
"""The request for which this code runs.

It is set where a policy's `handle` begins. Tasks and executors inherit it, for asyncio gives each a copy of
the context of its maker; a greenlet must be given one. None: code of nobody's, such as a worker that the
factory started.
"""
