"""Windows meet what a full run meets, and a sample of them stands for all."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from analysis.windows.worlds import outage, two_providers

from simsla.analysis.windows import estimate_availability
from simsla.analysis.windows.lives import States, draw_life
from simsla.analysis.windows.measuring import Window, run_window
from simsla.analysis.windows.sampling import draw_windows
from simsla.analysis.windows.strata import stratify
from simsla.records.intents import GOOD
from simsla.simulation import run_one

MEMORY_S = 12.0
LIFE_S = 1500.0
ROUTING = {"deadline_s": 5, "breaker": {"open_s": 2, "failures": 3}, "retry": {"max_attempts": 1}}


@pytest.fixture(scope="module")
def fast():
    """Faults every minute, and a router that forgets within seconds.

    Its calls are instant: a breaker that nobody asks stays half-open however long, and would refuse requests
    while its probe is out.
    """
    return two_providers(5, outage(60, 8), routing=ROUTING)


def lives(scenario, seed=3, count=2):
    states = States()
    return [draw_life(scenario, seed, i, LIFE_S, MEMORY_S, states) for i in range(count)], states


def every_window(scenario, seed=3):
    drawn, states = lives(scenario, seed)
    population = stratify(drawn, states, MEMORY_S, 40)
    draws = [draw_windows(population, i, 10**9, seed, "main") for i in range(len(population.strata))]
    return drawn, population, draws


def full_run(scenario, life, seed=3):
    return run_one(
        scenario.model_copy(update={"warmup_s": life.start_s}),
        None,
        seed,
        life.number,
        environment=life.environment,
        window=(life.start_s, LIFE_S),
    )


def test_all_windows_together_are_the_full_run_request_by_request(fast):
    drawn, population, draws = every_window(fast)
    met: list[dict[int, int]] = [{}, {}]
    for each in draws:
        assert (each.probability == 1).all()
        for unit, start, end, warmup in zip(each.unit, each.start_s, each.end_s, each.warmup_s, strict=True):
            life = drawn[population.life[unit]]
            run = run_one(
                fast.model_copy(update={"warmup_s": warmup}),
                None,
                3,
                life.number,
                environment=life.slice(start - warmup, end + 130),
                window=(start, end - start),
            )
            log = run.requests
            mine = (log["arrival_s"] >= run.start_s) & (log["arrival_s"] < run.end_s)
            found = dict(zip(log["request"][mine].tolist(), log["outcome"][mine].tolist(), strict=True))
            assert not found.keys() & met[life.number].keys()
            met[life.number] |= found
    failures = 0
    for life in drawn:
        log = full_run(fast, life).requests
        mine = log["arrival_s"] >= life.start_s
        whole = dict(zip(log["request"][mine].tolist(), log["outcome"][mine].tolist(), strict=True))
        assert met[life.number] == whole
        failures += sum(outcome not in GOOD for outcome in whole.values())
    assert failures > 50


def test_the_windows_cut_all_time_into_pieces(fast):
    drawn, population, draws = every_window(fast)
    for life in drawn:
        pieces = sorted(
            (start, end)
            for each in draws
            for unit, start, end in zip(each.unit, each.start_s, each.end_s, strict=True)
            if population.life[unit] == life.number
        )
        assert pieces[0][0] == life.start_s
        assert pieces[-1][1] == life.end_s
        assert all(a[1] == pytest.approx(b[0]) for a, b in pairwise(pieces))
        assert all(end - start <= MEMORY_S * (1 + 1e-9) for start, end in pieces)


@pytest.mark.slow
def test_a_tenth_of_the_windows_has_no_bias_over_500_seeds(fast):
    """Each window's result is known, so only the sampling differs from seed to seed."""
    drawn, population, draws = every_window(fast)
    known = {}
    for each in draws:
        for unit, start, end, warmup in zip(each.unit, each.start_s, each.end_s, each.warmup_s, strict=True):
            life = drawn[population.life[unit]]
            window = Window(life.number, float(start), float(end), float(warmup))
            measured = run_window(fast, None, 3, window, life.slice(start - warmup, end + 130))
            known[int(unit), round(float(start), 6)] = measured.failed
    truth = sum(known.values())
    estimates = []
    for seed in range(500):
        total = 0.0
        for i, stratum in enumerate(population.strata):
            sample = draw_windows(population, i, max(1, stratum.cells // 10), seed, "main")
            lost = [
                known[int(u), round(float(s), 6)] for u, s in zip(sample.unit, sample.start_s, strict=True)
            ]
            total += float((np.array(lost) / sample.probability).sum())
        estimates.append(total)
    error = np.std(estimates, ddof=1) / np.sqrt(len(estimates))
    assert truth > 50
    assert error < 0.06 * truth
    assert abs(np.mean(estimates) - truth) < 3.5 * error


def test_every_second_simulated_gives_the_counts_of_the_full_run(fast):
    result = estimate_availability(
        fast, seed=3, years=2 * LIFE_S / (365 * 86400), requests=10**9, memory_s=MEMORY_S, progress=False
    )
    drawn, _ = lives(fast)
    counts = np.zeros(2)
    for number in range(result._design.lives):
        log = full_run(fast, draw_life(fast, 3, number, result._design.life_s, MEMORY_S, States())).requests
        mine = (log["arrival_s"] >= drawn[0].start_s) & (
            log["arrival_s"] < drawn[0].start_s + result._design.life_s
        )
        good = np.isin(log["outcome"][mine], GOOD)
        counts += (~good).sum(), len(good)
    assert result.unavailability.value == pytest.approx(counts[0] / counts[1], rel=1e-12)
    assert sum(result.outcomes.values()) == counts[1]
