"""Chance that nobody gave a seed: the same for a replication in every process."""

from __future__ import annotations

import contextlib
import os
import random
from _thread import get_ident
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from simsla.virtualtime.clock.in_place import Replaced, original_of
from simsla.world.streams import Stream

_real_urandom: Final = original_of(os.urandom)
_real_seed: Final = random.Random.seed


@contextlib.contextmanager
def seeded_luck(seed: int, replication: int) -> Iterator[None]:
    """Seed what code draws from without a seed of its own, and leave all of it as it was before.

    These are the global generators of `random` and `numpy.random`, and `os.urandom`, from which `uuid4`,
    `secrets`, `random.Random()` and `numpy.random.default_rng()` take theirs; the latter in this thread only.
    """
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - the global one is meant
    luck = Stream(seed, replication, "luck without a seed").generator()
    thread = get_ident()

    def urandom(size: int, /) -> bytes:
        # What is no size is for the real one to refuse.
        if get_ident() != thread or not isinstance(size, int) or size < 0:
            return _real_urandom(size)  # type: ignore[no-any-return]
        return luck.bytes(size)

    def reseed(self: random.Random, a: Any = None, version: int = 2) -> None:
        if a is None and get_ident() == thread:
            a = int.from_bytes(luck.bytes(16), "little")
        _real_seed(self, a, version)

    before = vars(random.Random)["seed"]
    replaced = Replaced(os.urandom, urandom)
    try:
        random.Random.seed = reseed  # type: ignore[method-assign]
        random.seed(int(luck.integers(1 << 62)))
        np.random.seed(int(luck.integers(1 << 32)))  # noqa: NPY002
        yield
    finally:
        random.Random.seed = before  # type: ignore[method-assign]
        replaced.undo()
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
