"""Sketches: the error that is stated, and that cutting and merging change nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from simsla.analysis import RELATIVE_ERROR
from simsla.analysis.intervals import quantile_rank
from simsla.analysis.sample import Ranked, Sample
from simsla.analysis.sketch import bucket_of, middle_of

LEAST_NORMAL = 2.0**-126
SECONDS = st.floats(0, 1e9, allow_nan=False)


def sketch(values, group=None, cell=None, cells=1):
    values = np.asarray(values, dtype=np.float64)
    nothing = np.zeros(len(values), dtype=np.int64)
    return Sample.sketched(
        values, nothing if group is None else group, nothing if cell is None else cell, cells
    )


def within(told, true):
    return abs(float(told) - true) <= RELATIVE_ERROR * true + LEAST_NORMAL


def same(a, b):
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in Sample.__slots__)


def test_the_stated_error_is_at_most_one_per_cent():
    assert RELATIVE_ERROR <= 0.01


@given(st.floats(0, 3e38, allow_nan=False))
def test_a_bucket_tells_a_value_within_the_stated_error(value):
    assert within(middle_of(bucket_of(np.array([value])))[0], value)


@given(arrays(np.float64, st.integers(2, 50), elements=st.floats(0, 3e38)))
def test_buckets_are_in_the_order_of_their_values(values):
    values = np.sort(values)
    assert (np.diff(bucket_of(values)) >= 0).all()


def test_the_error_is_no_smaller_than_stated():
    """One bit less, or a middle elsewhere, would show."""
    values = 1 + np.arange(1 << 12) / (1 << 12)
    error = np.abs(middle_of(bucket_of(values)) / values - 1).max()
    assert RELATIVE_ERROR / 1.01 < error < RELATIVE_ERROR


def test_ends_of_the_line():
    values = np.array([0.0, -0.0, np.inf, np.finfo(np.float32).max])
    assert middle_of(bucket_of(values))[:3].tolist() == [0, 0, np.inf]
    assert np.isfinite(middle_of(bucket_of(values))[3])


@pytest.mark.parametrize("value", [-1e-9, np.nan, -np.inf])
def test_what_is_no_time_is_refused(value):
    with pytest.raises(ValueError, match="at least 0"):
        sketch([1.0, value])


@given(arrays(np.float64, st.integers(1, 200), elements=SECONDS), st.floats(0.001, 0.999))
def test_every_quantile_is_within_the_stated_error(values, p):
    rank = quantile_rank(p, len(values))
    ordered = Sample.ordered([sketch(values)])
    assert isinstance(ordered, Ranked)
    assert len(ordered) == len(values)
    assert within(ordered[rank], float(np.sort(values)[rank]))
    assert ordered[-1] == ordered.repeated()[-1]


@given(st.data())
def test_pieces_merged_are_the_whole(data):
    count = data.draw(st.integers(1, 120))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    values, group, cell = rng.lognormal(0, 2, count), rng.integers(0, 3, count), rng.integers(0, 4, count)
    cuts = np.sort(rng.integers(0, count + 1, data.draw(st.integers(0, 5))))
    order = rng.permutation(count)
    pieces = [Sample.sketched(values[rows], group[rows], cell[rows], 4) for rows in np.split(order, cuts)]
    whole = Sample.sketched(values, group, cell, 4)
    assert same(Sample.merged(pieces, 4), whole)
    # In any grouping, too.
    assert same(Sample.merged([Sample.merged(pieces[:2], 4), *pieces[2:]], 4), whole)


@pytest.mark.parametrize("make", [Sample.of, Sample.sketched])
def test_counts_by_group_and_cell(make):
    rng = np.random.default_rng(5)
    values, group, cell = rng.lognormal(0, 1, 500), rng.integers(0, 3, 500), rng.integers(0, 4, 500)
    sample = make(values, group, cell, 4)
    limit = float(middle_of(bucket_of(np.array([1.0])))[0])
    apart = bucket_of(values) != bucket_of(np.array([1.0]))  # what shares the limit's bucket has its value
    assert apart.sum() > 490
    for of in (None, 0, 1, 2):
        mine = sample.only(of)
        chosen = np.ones(500, bool) if of is None else group == of
        assert len(mine) == chosen.sum()
        assert mine.sizes(4).tolist() == np.bincount(cell[chosen], minlength=4).tolist()
        above = np.bincount(cell[chosen & apart & (values > limit)], minlength=4)
        strictly = mine.above(limit, 4) - above
        assert (strictly >= 0).all()
        assert (strictly <= np.bincount(cell[chosen & ~apart], minlength=4)).all()
    assert sample.only(7).sizes(4).sum() == 0


@pytest.mark.parametrize("make", [Sample.of, Sample.sketched])
def test_groups_put_together(make):
    rng = np.random.default_rng(6)
    values, group, cell = rng.lognormal(0, 1, 300), rng.integers(0, 3, 300), rng.integers(0, 2, 300)
    new = np.array([1, 0, 1])
    assert same(make(values, group, cell, 2).regrouped(new, 2), make(values, new[group], cell, 2))


def test_nothing_has_no_quantile():
    empty = sketch([])
    assert len(empty) == 0
    assert len(Sample.ordered([empty, empty])) == 0
    with pytest.raises(IndexError, match="rank 0 of 0"):
        Sample.ordered([empty])[0]


def test_a_sketch_does_not_grow_with_the_number_of_values():
    rng = np.random.default_rng(7)
    few, many = (sketch(rng.lognormal(0, 1, count)) for count in (20_000, 400_000))
    assert len(many.values) < 2 * len(few.values)
