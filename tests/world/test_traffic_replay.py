"""Traces that are scaled, looped and thinned."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from simulation.scenarios import scenario

from simsla.scenario import Scenario
from simsla.world.streams import BLOCK
from simsla.world.traffic import ClassTraffic

ROWS = 1500
"""In two blocks: one request every 2 s, whose prompt is its row."""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    file = tmp_path_factory.mktemp("traces") / "even.csv"
    file.write_text("\n".join(["t,p,o", *(f"{2 * n},{n},{n}" for n in range(ROWS))]))
    return str(file)


@pytest.fixture
def replay(path):
    columns = {"time": "t", "prompt": "p", "output": "o"}

    def rows(begin, end, share=(0.0, 1.0), **changes):
        arrivals = {"kind": "trace", "path": path, "columns": columns, "share": list(share)} | changes
        spec = Scenario.from_dict(scenario().to_dict() | {"traffic": {"chat": {"arrivals": arrivals}}})
        found = [
            (block.arrival_s[place] + begin, block.prompt_tokens[place], block.index * BLOCK + place)
            for block, places in ClassTraffic(spec.traffic["chat"], 1, 0, 1).blocks(begin, end)
            for place in places
        ]
        return [np.array(column) for column in zip(*found, strict=True)] if found else [np.empty(0)] * 3

    return rows


def test_a_factor_scales_the_rate(replay):
    at, rows, _ = replay(0, 1e6, rate_factor=4)
    assert rows.tolist() == list(range(ROWS))
    assert at == pytest.approx(rows / 2)


def test_a_trace_ends_unless_it_loops(replay):
    assert len(replay(0, 1e6)[0]) == ROWS
    at, rows, numbers = replay(0, 10_000, loop=True)
    assert len(at) == 5000
    assert at == pytest.approx(2 * np.arange(5000))
    assert rows.tolist() == [n % ROWS for n in range(5000)]
    assert len(set(numbers.tolist())) == 5000


@pytest.mark.parametrize(("begin", "end"), [(0, 100), (2047, 2051), (2999.5, 3000.5), (8000, 8777)])
def test_a_window_of_a_loop_is_a_part_of_the_whole(replay, begin, end):
    options = {"loop": True, "thin": 0.5, "rate_factor": 0.5}
    at, rows, numbers = replay(0, 20_000, **options)
    part = replay(begin, end, **options)
    inside = (at >= begin) & (at < end)
    assert part[0] == pytest.approx(at[inside])
    assert part[1].tolist() == rows[inside].tolist()
    assert part[2].tolist() == numbers[inside].tolist()


def test_thinning_keeps_a_part_and_another_one_in_each_round(replay):
    at, rows, _ = replay(0, 6000, loop=True, thin=0.3)
    rounds = [set(rows[(at >= begin) & (at < begin + 3000)].tolist()) for begin in (0, 3000)]
    for kept in rounds:
        assert stats.binomtest(len(kept), ROWS, 0.3).pvalue > 1e-3
    assert len(rounds[0] & rounds[1]) == pytest.approx(0.09 * ROWS, abs=60)


def test_thinned_classes_still_have_rows_of_their_own(replay):
    one, other = (set(replay(0, 3000, share=share, thin=0.5)[1].tolist()) for share in ((0, 0.6), (0.6, 1)))
    assert one.isdisjoint(other)
    assert stats.binomtest(len(one), ROWS, 0.3).pvalue > 1e-3
    assert stats.binomtest(len(other), ROWS, 0.2).pvalue > 1e-3
