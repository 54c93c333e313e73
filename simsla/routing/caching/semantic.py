"""The policy of the semantic cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from simsla.routing.caching.index import MemoryIndex
from simsla.routing.config import Section, setting

PER: Final = ("client", "request_class", "region", "session")
"""What may keep the answers of one request from another."""


@dataclass(frozen=True)
class CachePolicy(Section):
    """Answer from earlier answers to questions that are alike: first word for word, then by similarity.

    Questions are the last message of the user; whatever stands before it must be the same word for word.
    A question with anything but text in it is never answered from here, and only whole answers of the tier
    asked for, or better, are kept. A hit on a question that only looks alike is a wrong answer: choose the
    threshold by the share of false hits, not by the share of hits.
    """

    threshold: float = setting(above=0.0, maximum=1.0)
    """The least similarity, a cosine, that is a hit. There is no default, as in LiteLLM: the right one
    depends on the embedding and on what a wrong answer costs. 1: the same words in the same order."""
    ttl_s: float = setting(86_400.0, above=0.0, unit="s")
    """Seconds for which an answer is kept, from the moment it was given; being used does not prolong it. 24
    hours: what is asked about the news of today is asked again tomorrow."""
    capacity: int = setting(10_000, minimum=1)
    """Answers kept; the least recently used makes room. 10,000 short questions take some 50 MB in memory."""
    timeout_s: float | None = setting(0.2, above=0.0, unit="s")
    """Seconds for a look-up, embedding included, after which it is a miss; None: until the deadline. 0.2: one
    that takes longer than the first token is no gain."""
    per: tuple[str, ...] = setting(("client",), choices=PER)
    """What two requests must have in common. By default no client is shown what another one was told."""
    serve_lower_tiers: bool = setting(False)
    """Whether the answer of a lower tier may be given where a higher one is asked for. Those of a higher tier
    are always given."""

    def build(self) -> MemoryIndex:
        """An empty index in memory."""
        return MemoryIndex(self.threshold, self.ttl_s, self.capacity)
