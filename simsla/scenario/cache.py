"""The store behind a policy's semantic cache: an embedding and an index of vectors outside of its process.

cache:
  components: [redis]                                            # what it fails with
  look_up: {kind: lognormal, mean: 12, p99: 60, unit: ms}        # embedding and search together
"""

from __future__ import annotations

from pydantic import Field

from simsla.scenario.fields import Model, Name
from simsla.scenario.quantities import TimeDist

__all__ = ["CacheStore"]


class CacheStore(Model):
    """Where the answers of ``routing.cache`` are kept, in place of an index in the router's own memory.

    What is kept, for how long, and what is alike enough is the policy's to say. Questions about one topic are
    as alike as their words, those about different topics not at all. A look-up that fails, or takes longer
    than ``routing.cache.timeout_s``, is a miss, and an answer that comes while the store fails is not kept.
    Questions in the very same words are found in the router's memory all the same. A policy of your own has
    the store where it makes a `Router`.
    """

    components: tuple[Name, ...] = ()
    """The components that it depends on, with whose faults it fails."""
    look_up_s: TimeDist | None = Field(default=None, alias="look_up")
    """How long a look-up takes; None: no time."""
