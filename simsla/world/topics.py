"""What requests are about, and in which words: drawn in advance by block, put into words only when asked.

A topic is a question of so many words out of one vocabulary. A paraphrase replaces a sixth of them, never the
last, which decides what is meant: it alone is another in the question about the near topic. So with the
default of 12 words the share of words in common is 11/12 between near topics in one wording, but 10/12
between the first wording of a topic and another, and from 8/12 upwards between any two: measured by its words
a near miss is closer than a paraphrase, as it is for real embeddings.
"""

from __future__ import annotations

from functools import cache, lru_cache
from hashlib import shake_128
from itertools import product
from struct import unpack
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from simsla.world.streams import BLOCK, Stream

if TYPE_CHECKING:
    from simsla.scenario import Topics
    from simsla.world.traffic import Block

FloatArray = npt.NDArray[np.float64]

NEAR: Final = "-near"
"""What the name of a near topic has behind that of its neighbour."""

# Words in the vocabulary, of two syllables of 16 x 4 each; as many 16-bit numbers stand for each.
_WORDS: Final = 4096

_REPLACED: Final = 6
"""A paraphrase replaces one word in so many."""

# One row of uniforms per thing that is drawn for a request; new ones are appended, so that no other moves.
_TOPIC, _WORDING, _NEAR_MISS, _ROWS = range(4)


class TopicDraws:
    """The topics of one request class within a run: `chat-1` the most popular, `chat-1-near` its near one."""

    def __init__(self, spec: Topics, request_class: str, seed: int, replication: int) -> None:
        self._spec = spec
        self._class = request_class
        self._stream = Stream(seed, replication, "traffic", request_class, "topics")

    def add_to(self, block: Block) -> None:
        """Draw the topic and the wording of every request of a block."""
        spec, u = self._spec, self._stream.uniforms((_ROWS, BLOCK), block.index)
        ranks = np.searchsorted(_edges(spec.count, spec.zipf), u[_TOPIC], side="right") + 1
        wordings = (u[_WORDING] * spec.paraphrases).astype(np.int64)
        near = u[_NEAR_MISS] < spec.near_misses
        block.topic = [
            f"{self._class}-{rank}{NEAR}" if other else f"{self._class}-{rank}"
            for rank, other in zip(ranks.tolist(), near.tolist(), strict=True)
        ]
        block.wording = wordings.tolist()
        block.words = spec.words


def question(topic: str, wording: int, words: int) -> list[str]:
    """The words in which a topic is asked about: a pure function of its arguments.

    Wording 0 is the topic's own, to which every other is a paraphrase.
    """
    neighbour = topic.removesuffix(NEAR)
    numbers = _numbers(neighbour, words)
    if wording:
        first, *others = _numbers(f"{neighbour}\x1f{wording}", 1 + max(1, words // _REPLACED))
        for at, number in enumerate(others, first % _WORDS):
            numbers[at % (words - 1)] = number
    if neighbour != topic:
        numbers[-1] ^= 1
    return list(map(_vocabulary().__getitem__, numbers))


def _numbers(text: str, count: int) -> list[int]:
    """Numbers of words, fixed by a text."""
    return list(unpack(f">{count}H", shake_128(text.encode()).digest(2 * count)))


@cache
def _vocabulary() -> tuple[str, ...]:
    """The words, by numbers below 65,536."""
    syllables = ["".join(pair) for pair in product("bdfghjklmnprstvz", "aiou")]
    return tuple("".join(pair) for pair in product(syllables, syllables)) * (65_536 // _WORDS)


@lru_cache(maxsize=8)
def _edges(count: int, zipf: float) -> FloatArray:
    """P(rank <= k) for k = 1 .. count - 1: the inverse of a uniform is a search in it."""
    # From the least popular up, so that a long tail of small terms is not lost in a large sum.
    tail = np.cumsum((np.arange(1, count + 1, dtype=np.float64) ** -zipf)[::-1])[::-1]
    edges: FloatArray = 1 - tail[1:] / tail[0]
    return edges
