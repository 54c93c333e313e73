"""The order of sets of texts, which hangs on the hash seed that a process was started with.

Code that iterates a set of strings, as other people's may, does it in another order in every process, unless
PYTHONHASHSEED was set when the process began.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Final

__all__ = ["fixed_hashes", "hash_seed"]

_NAME: Final = "PYTHONHASHSEED"
_AT_START: Final = "" if sys.flags.ignore_environment else os.environ.get(_NAME, "")


def hash_seed() -> int | None:
    """The seed of this process's hashes of texts; None where it is random."""
    return int(_AT_START) if _AT_START.isdecimal() else None


@contextlib.contextmanager
def fixed_hashes() -> Iterator[None]:
    """Processes started meanwhile have the seed 0, unless one was set for all."""
    before = os.environ.get(_NAME)
    if before is None or not before.isdecimal():
        os.environ[_NAME] = "0"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_NAME, None)
        else:
            os.environ[_NAME] = before
