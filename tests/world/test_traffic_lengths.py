"""Lengths: correlated by a copula, or resampled from a trace."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from simulation.scenarios import exp, scenario, traffic

from simsla.world.traffic import ClassTraffic

LONG = {"kind": "lognormal", "mean": 900, "p99": 3230}


def lengths(**changes):
    spec = scenario(None, {"chat": traffic(10.0, **changes)}).traffic["chat"]
    blocks = [
        (block, place) for block, places in ClassTraffic(spec, 1, 0, 1).blocks(0, 4000) for place in places
    ]
    return np.array([(block.prompt_tokens[place], block.output_tokens[place]) for block, place in blocks])


@pytest.mark.parametrize("rho", [-0.7, 0.0, 0.5, 0.95])
def test_lengths_are_correlated_as_asked_and_keep_their_distributions(rho):
    found = lengths(prompt_tokens=LONG, output_tokens=exp(500), length_correlation=rho)
    assert len(found) > 39_000
    rank = stats.spearmanr(found[:, 0], found[:, 1]).statistic
    assert rank == pytest.approx(6 / np.pi * np.arcsin(rho / 2), abs=0.02)
    assert found[:, 1].mean() == pytest.approx(500, rel=0.03)
    assert np.quantile(found[:, 1], 0.99) == pytest.approx(500 * np.log(100), rel=0.05)
    # The prompts are those that they would be without.
    assert (found[:, 0] == lengths(prompt_tokens=LONG, output_tokens=exp(500))[:, 0]).all()


def test_without_correlation_nothing_moves():
    plain = lengths(prompt_tokens=LONG, output_tokens=exp(500))
    assert (plain == lengths(prompt_tokens=LONG, output_tokens=exp(500), length_correlation=0.0)).all()


@pytest.mark.parametrize("rho", [-1.0, 1.0])
def test_complete_correlation_is_an_order(rho):
    found = lengths(prompt_tokens=exp(1e6), output_tokens=exp(1e6), length_correlation=rho)
    assert stats.spearmanr(found[:, 0], found[:, 1]).statistic == pytest.approx(rho, abs=1e-4)


def test_lengths_out_of_a_trace_are_pairs_of_it(tmp_path):
    path = tmp_path / "mine.csv"
    rows = [f"2023-11-16 18:00:{n:02},{100 + n},{7 * n}" for n in range(50)]
    path.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *rows]))
    found = lengths(prompt_tokens=None, output_tokens=None, lengths={"from_trace": str(path)})
    assert (np.maximum(7 * (found[:, 0] - 100), 1) == found[:, 1]).all()
    counts = np.bincount(found[:, 0] - 100, minlength=50)
    assert stats.chisquare(counts).pvalue > 1e-3
