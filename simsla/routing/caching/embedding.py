"""A text as a vector, without a model: how alike two texts are is how many words they share."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Final
from zlib import crc32

Vector = Mapping[int, float]
"""The features that are not zero, of length 1 in all."""

DIMENSIONS: Final = 1 << 16
"""Features are hashed into so many: few enough for an index to stay small, and two texts of a hundred
features each have one in common by accident in one of six pairs, which is a similarity of 0.01."""

LONGEST: Final = 16_384
"""Characters; a longer text has no vector, because making one would hold up the event loop."""

# Signs count, or "2 + 2" and "2 * 2" would be the same. Chinese and Japanese are written without spaces:
# there each character is a word.
_WORD: Final = re.compile(r"[^\W\u3040-\u30ff\u3400-\u9fff]+|\S")

# The order of words counts, but less than the words.
_PAIR_WEIGHT: Final = 0.7


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
        words = [word.encode() for word in _WORD.findall(text.casefold())]
        if not words:
            return None
        vector: dict[int, float] = {}
        for word, times in Counter(words).items():
            feature = crc32(word) % DIMENSIONS
            vector[feature] = vector.get(feature, 0.0) + 1.0 + math.log(times)
        for (first, second), times in Counter(pairwise(words)).items():
            feature = crc32(second, crc32(first + b" ")) % DIMENSIONS
            vector[feature] = vector.get(feature, 0.0) + _PAIR_WEIGHT * (1.0 + math.log(times))
        length = math.sqrt(math.fsum(weight * weight for weight in vector.values()))
        return {feature: weight / length for feature, weight in vector.items()}


HASHED_WORDS: Final = HashedWords()
