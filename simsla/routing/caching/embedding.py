"""A text as a vector, without a model: how alike two texts are is how many words they share."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Final
from zlib import crc32

Vector = Mapping[int, float]
"""The features that are not zero, of length 1 in all."""

DIMENSIONS: Final = 1 << 20
"""Features are hashed into so many: two texts of a hundred features each have one in common by accident in
one of a hundred cases, and few pairs of words in a full cache share a list of the index by accident."""

LONGEST: Final = 16_384
"""Characters; a longer text has no vector, because making one would hold up the event loop."""

# Signs count, or "2 + 2" and "2 * 2" would be the same. Chinese and Japanese are written without spaces:
# there each character is a word.
_WORD: Final = re.compile(r"[^\W\u3040-\u30ff\u3400-\u9fff]+|\S")

# The order of words counts, but less than the words.
_PAIR_WEIGHT: Final = 0.7

# The hash of a pair is a polynomial of those of its words.
_MULTIPLIER: Final = 1_000_003


class HashedWords:
    """Words and pairs of neighbouring words, hashed: the same text has the same vector in every process.

    A word that is there n times weighs 1 + ln n, a pair 0.7 times as much. It knows nothing of meaning:
    opposites that differ in one word are alike, and a paraphrase in other words is not. Embeddings of a
    model have the first fault too, if less of the second.
    """

    def __call__(self, text: str) -> Vector | None:
        """The vector, or None for a text without words and for one longer than `LONGEST`."""
        if len(text) > LONGEST:
            return None
        hashes = list(map(_hashed, _WORD.findall(text.casefold())))
        if not hashes:
            return None
        words = [word % DIMENSIONS for word in hashes]
        pairs = [(first * _MULTIPLIER + second) % DIMENSIONS for first, second in pairwise(hashes)]
        # In most questions no feature is there twice, so that all words weigh the same, and all pairs.
        weight, pair_weight = _even_weights(len(words))
        vector = dict.fromkeys(words, weight)
        vector.update(dict.fromkeys(pairs, pair_weight))
        return vector if len(vector) == len(words) + len(pairs) else _uneven(words, pairs)


def _uneven(words: list[int], pairs: list[int]) -> Vector:
    """The vector where a feature is there several times."""
    vector: dict[int, float] = {}
    for features, least in ((words, 1.0), (pairs, _PAIR_WEIGHT)):
        for feature, times in Counter(features).items():
            vector[feature] = vector.get(feature, 0.0) + least * (1.0 + math.log(times))
    length = math.hypot(*vector.values())
    return {feature: weight / length for feature, weight in vector.items()}


@lru_cache(maxsize=1024)
def _even_weights(words: int) -> tuple[float, float]:
    """What each of so many words weighs, and each of their pairs, where all are different."""
    length = math.hypot(*[1.0] * words, *[_PAIR_WEIGHT] * (words - 1))
    return 1.0 / length, _PAIR_WEIGHT / length


@lru_cache(maxsize=8192)
def _hashed(word: str) -> int:
    return crc32(word.encode())


HASHED_WORDS: Final = HashedWords()
