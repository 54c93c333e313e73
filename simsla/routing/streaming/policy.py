"""What a policy says about streams."""

from __future__ import annotations

from dataclasses import dataclass, field

from simsla.routing.config import Section, setting
from simsla.routing.errors import ConfigError
from simsla.routing.streaming.guard import ThroughputGuard
from simsla.routing.types import Timeouts


@dataclass(frozen=True)
class StreamingPolicy(Section):
    """How streams are read. The limits of time are those of ``timeouts``."""

    resume: bool = setting(False)
    """Whether an answer whose stream broke off after tokens had reached the caller is continued by another
    attempt, which gets the partial answer as its last message. The reply's metadata then lists under
    "resumed" what broke off. False: the caller gets the error, as with every gateway we know but LiteLLM;
    not every model continues a text as it was begun."""
    guard: ThroughputGuard | None = field(default=None)
    """The least throughput of a stream; None: any. Without ``resume`` chunks are held back until their stream
    has passed, because afterwards nothing could be done about it, so that the first token is seen later. With
    it they go to the caller at once, and a stream that fails is continued elsewhere."""

    def check(self, timeouts: Timeouts) -> None:
        """Refuse, with `ConfigError`, a guard that could never judge an attempt with these limits."""
        total_s = timeouts.total_s
        if self.guard is not None and total_s is not None and self.guard.over_s >= total_s:
            expected = f"below timeouts.total_s ({total_s:g})"
            raise ConfigError("streaming.guard.over_s", self.guard.over_s, expected)
