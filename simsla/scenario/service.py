"""How a deployment slows down with the number of attempts that it answers at once."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from simsla.scenario.fields import Model
from simsla.scenario.quantities import Share, Whole

__all__ = ["Batch", "ProcessorSharing", "Service"]


class ProcessorSharing(Model):
    """So many servers, shared evenly: M/G/c-PS. Up to `servers` attempts are answered at full speed.

    service: {kind: processor_sharing, servers: 8}
    """

    kind: Literal["processor_sharing"]
    servers: Annotated[Whole, Field(ge=1)]

    def slowdown(self, n: int) -> float:
        """How much longer each of n attempts takes than it would alone."""
        return max(1.0, n / self.servers)


class Batch(Model):
    """Tokens made for all attempts at once, as by vLLM: a larger batch is slower, and yet makes more of them.

        service: {kind: batch, growth: 0.02, knee: 48}

    In a batch of n everything takes 1 + growth (n - 1) times as long as alone. Beyond the knee the hardware
    is used up: the batch as a whole makes no more tokens, so that each takes longer in proportion to n.
    The time to the first token grows alike, because prompts are read between the steps of the batch.
    """

    kind: Literal["batch"]
    growth: Share
    knee: Annotated[Whole, Field(ge=1)]

    def slowdown(self, n: int) -> float:
        """How much longer each of n attempts takes than it would alone."""
        at_knee = 1.0 + self.growth * (min(n, self.knee) - 1)
        return at_knee * max(1.0, n / self.knee)


Service = Annotated[ProcessorSharing | Batch, Field(discriminator="kind")]
