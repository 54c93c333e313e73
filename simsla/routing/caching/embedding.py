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
_PRIME: Final = (1 << 61) - 1


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
        words = [_hashed(word) for word in _WORD.findall(text.casefold())]
        if not words:
            return None
        vector: dict[int, float] = {}
        get = vector.get
        pairs = [(first * _MULTIPLIER + second) % _PRIME for first, second in pairwise(words)]
        for features, least in ((words, 1.0), (pairs, _PAIR_WEIGHT)):
            if len(set(features)) == len(features):
                for feature in features:
                    vector[feature % DIMENSIONS] = get(feature % DIMENSIONS, 0.0) + least
            else:
                for feature, times in Counter(features).items():
                    weight = least * (1.0 + math.log(times))
                    vector[feature % DIMENSIONS] = get(feature % DIMENSIONS, 0.0) + weight
        length = math.hypot(*vector.values())
        return {feature: weight / length for feature, weight in vector.items()}


@lru_cache(maxsize=8192)
def _hashed(word: str) -> int:
    return crc32(word.encode())


HASHED_WORDS: Final = HashedWords()
