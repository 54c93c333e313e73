from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from simsla.world.streams import BLOCK, Stream


def test_a_draw_depends_on_its_address_alone():
    one, other = Stream(1, 0, "deployment", "a"), Stream(1, 0, "deployment", "a")
    other.uniforms(10, block=7)
    assert (one.uniforms(10, 3, 1) == other.uniforms(10, 3, 1)).all()


def test_addresses_do_not_overlap():
    streams = [
        Stream(seed, replication, *names)
        for seed, replication, names in itertools.product(
            (1, 2), (0, 1), (("a",), ("b",), ("a", "b"), ("ab",))
        )
    ]
    addresses = itertools.product(streams, (0, 1), (0, 1))
    draws = [stream.uniforms(BLOCK, block, ordinal) for stream, block, ordinal in addresses]
    assert len(np.unique(np.concatenate(draws))) == len(draws) * BLOCK


def test_more_numbers_of_a_block_begin_with_the_same():
    stream = Stream(1, 0, "x")
    assert (stream.uniforms(100)[:10] == stream.uniforms(10)).all()


@pytest.mark.parametrize("axis", ["block", "ordinal", "replication"])
def test_numbers_at_neighbouring_addresses_are_uniform_and_independent(axis):
    def first(at):
        if axis == "replication":
            return Stream(1, at, "x").uniforms(1)[0]
        return Stream(1, 0, "x").uniforms(1, **{axis: at})[0]

    u = np.array([first(at) for at in range(3000)])
    assert stats.kstest(u, "uniform").pvalue > 1e-4
    assert abs(np.corrcoef(u[1:], u[:-1])[0, 1]) < 0.08
