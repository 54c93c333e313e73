"""Random numbers by name, never by the order in which they are asked for.

A draw is a pure function of the seed, the replication, the names of what it is for, and the numbers of the
request and of the call. So two policies meet the same luck, and adding a deployment moves no other draw.

Requests are numbered in blocks of `BLOCK`; one counter-based generator (Philox) makes the uniforms of a
whole block, because a generator costs 9 us and each of its numbers 6 ns.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
import numpy.typing as npt

BLOCK: Final = 1024
"""Consecutive request numbers whose draws are made together."""

FloatArray = npt.NDArray[np.float64]


def checked_seed(seed: object) -> int:
    """A seed, which is a whole number; 1.0 and True would have other luck than 1. Raises ValueError."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise ValueError(f"seed: expected a whole number, got {seed!r}")
    return int(seed)


class Stream:
    """A named source of uniforms in [0, 1), addressed by block and by ordinal."""

    __slots__ = ("_key",)

    def __init__(self, seed: int, replication: int, *names: str) -> None:
        """`names` say what the draws are for, e.g. a deployment, a purpose and a request class."""
        text = "\x1f".join((str(seed), str(replication), *names))
        self._key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")

    def generator(self, block: int = 0, ordinal: int = 0) -> np.random.Generator:
        """The generator of a block; equal addresses give equal generators."""
        # The last two words of the counter are the address, so that no two addresses ever overlap.
        counter = [0, 0, ordinal, block]
        return np.random.Generator(np.random.Philox(key=self._key, counter=counter))

    def uniforms(self, shape: int | tuple[int, ...], block: int = 0, ordinal: int = 0) -> FloatArray:
        """The first uniforms of a block, in C order."""
        return self.generator(block, ordinal).random(shape)
