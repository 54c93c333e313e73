"""Buckets of one relative width: what is kept of values of which there are too many to keep.

A value's bucket is the upper half of its single-precision number: its sign, its exponent and the first 7 of
the 23 bits of its fraction. Its order is that of the values, 0 has a bucket of its own, and finding it costs
one shift. Sketches of this kind are merged by adding up counts, so they depend neither on the order in which
values come nor on how a run is cut into pieces.

**The error.** Every normal value of bucket (e, k) lies in [2^e (1 + k/128), 2^e (1 + (k+1)/128)), where k
is one of 0 .. 127. The bucket is told by its middle, 2^e (1 + (k + 1/2)/128), which is at most 2^e / 256
away; the value is at least 2^e. So the relative error is at most 1/256, below 0.4 %, and rounding to single
precision before adds at most 2^-24 of the value: `RELATIVE_ERROR` covers both. A quantile of the sketch is
the middle of the bucket that holds the quantile of the values (the least value that a share p does not
exceed), since buckets are in the order of their values: it has the same error, at every p, however few
values there are. Values below 1.2e-38, the least normal number, have an absolute error of as much.

The layout is that of HdrHistogram (Tene) with 7 bits; DDSketch (Masson, Rim and Lee 2019, VLDB 12:12) has
the same guarantee with logarithms in place of bits. Their libraries add one value at a time in Python and
keep one distribution each; here values come by the ten thousand, and are counted by class and state as
well.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["RELATIVE_ERROR", "bucket_of", "middle_of"]

RELATIVE_ERROR: Final = 1 / 256 + 2**-23
"""The most by which a value that a sketch tells differs from the one that came, as a share of it."""

DROPPED: Final = 16
LARGEST: Final = np.uint32(0x7F7F)
"""The bucket of the largest finite values; infinity has the next one."""


def bucket_of(values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.int64]:
    """The bucket, from 0 to 32,640, of each value. Raises ValueError for a negative value and for NaN."""
    narrow = np.asarray(values, dtype=np.float32)
    if not bool((narrow >= 0).all()):
        raise ValueError("expected values of at least 0")
    # Adding 0 makes a positive number of a negative zero.
    return ((narrow + np.float32(0)).view(np.uint32) >> DROPPED).astype(np.int64)


def middle_of(buckets: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.float32]:
    """The value that stands for each bucket: its middle, and 0 or infinity for theirs."""
    low = np.asarray(buckets).astype(np.uint32)
    half = np.where((low == 0) | (low > LARGEST), 0, 1 << (DROPPED - 1)).astype(np.uint32)
    return ((low << np.uint32(DROPPED)) | half).view(np.float32)
