"""Where each reference result is reproduced: a line of validation.md, and the tests that do it.

A line that is quoted as somebody else's measurement, and cannot be reproduced, says why instead.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parents[1]

FORMS: Final = "analysis/closed_forms/test_"
WINDOWS: Final = "analysis/windows/test_"
VIRTUAL: Final = "virtualtime/test_"

LINES: Final[dict[str, tuple[str, ...]]] = {
    # Queues
    "M/M/c: P(wait), mean wait, p99 wait and sojourn at (1, .8), (2, .8), (8, .8), (8, .95)": (
        f"{FORMS}queues.py::test_mmc",
        "validation/test_queues.py::test_mm1",
        "validation/test_queues.py::test_mmc_long",
    ),
    "M/G/1 (Pollaczek-Khinchine): 2.0, 4.0, 5.4366": (
        f"{FORMS}queues.py::test_pollaczek_khinchine",
        "validation/test_queues.py::test_md1",
        "validation/test_queues.py::test_mg1_long",
    ),
    "Erlang B(8, 6.4) = .144394": (
        f"{FORMS}queues.py::test_erlang_b",
        "validation/test_queues.py::test_erlang_b",
    ),
    "power of d choices at .9: 10, 2.6141, 2.0279": (
        f"{FORMS}queues.py::test_power_of_d",
        "routing/test_ranking.py::test_power_of_d_choices_meets_the_closed_form",
    ),
    # Availability
    "A = MTBF / (MTBF + MTTR); 30 d and 1 h: U, one of two, double outages a year and their length": (
        f"{FORMS}systems.py::test_thirty_days_and_an_hour",
        f"{FORMS}systems.py::test_double_outages_are_those_of_a_drawn_path",
        "validation/test_failures.py::test_availability_of_two_independent_providers",
        "validation/test_failures.py::test_availability_of_two_independent_providers_long",
        f"{WINDOWS}references.py::test_double_outages_of_an_hour_every_month_within_a_tenth",
    ),
    "common-cause share beta of 1, 5 and 10 %: 1.58e-5, 7.11e-5, 1.40e-4": (
        f"{FORMS}systems.py::test_beta_factor",
        f"{FORMS}systems.py::test_one_per_cent_of_shared_fate_costs_a_factor_of_eight",
        f"{FORMS}fault_levels.py::test_siblings_against_the_simulation",
        "validation/test_failures.py::test_a_common_cause_defeats_redundancy",
    ),
    "two of three at .999: .999997002": (
        f"{FORMS}systems.py::test_two_of_three",
        "validation/test_systems.py::test_two_of_three",
    ),
    "machine repair, lambda/mu = .1: .819672, .016393; .826446, .008264": (
        f"{FORMS}systems.py::test_machine_repair",
        "validation/test_systems.py::test_machine_repair",
    ),
    # Retries, hedging, back-off
    "amplification: 1.875, 4": (
        f"{FORMS}retries_and_hedging.py::test_amplification",
        "validation/test_failures.py::test_amplification_of_retries",
    ),
    "three nested layers of four: 64": (
        f"{FORMS}retries_and_hedging.py::test_layers_are_no_worse_than_their_product",
        "validation/test_systems.py::test_three_layers_of_four_attempts",
    ),
    "hedging at p95 costs 5 %; Exp(1): p99 4.6052 -> 3.8005, p99.9 6.9078 -> 4.9517": (
        f"{FORMS}retries_and_hedging.py::test_hedging_at_p95",
        "routing/test_hedging_simulated.py::test_without_hedges_the_quantiles_are_those_of_the_exponential",
        "routing/test_hedging_simulated.py::test_hedging_at_p95_costs_five_percent_and_takes_the_tail",
    ),
    "fan-out: 1 - .99^100 = 63.4 %": (
        f"{FORMS}retries_and_hedging.py::test_fan_out",
        "validation/test_systems.py::test_fan_out_waits_for_the_slowest",
    ),
    "AWS back-off simulator: calls and completion of five kinds of jitter": (
        "routing/test_backoff.py::test_the_published_contention_is_met_roughly_by_few_runs",
        "routing/test_backoff.py::test_the_published_contention_is_met",
    ),
    "retry storms above 1 / (1 + r): .5, .333, .25; a retry budget of 10 % raises it to .909": (
        f"{FORMS}retries_and_hedging.py::test_retry_storms",
        "validation/test_metastability.py::test_retries_of_clients_keep_a_storm_alive_above_the_bound_only",
        "validation/test_metastability.py::test_a_retry_budget_moves_the_bound",
        "validation/test_metastability.py::test_the_bound_of_a_retry_budget",
    ),
    "real routers": (
        "integrations/test_litellm_reference.py::test_retries_are_slept_through_before_the_fallback",
        "integrations/test_litellm_reference.py::test_a_cooldown_that_is_tuned_spares_the_retries",
    ),
    # Budgets
    "the Workbook's pages and tickets at 14.4x, 6x and 1x: 2, 5 and 10 % of the budget": (
        f"{FORMS}retries_and_hedging.py::test_the_workbooks_alerts",
        "analysis/slo/test_budget_and_burn.py::test_the_workbooks_rules",
        "analysis/slo/test_budget_and_burn.py::test_a_steady_burn_fires_when_the_workbook_says",
    ),
    "budgets of 30 days: 2,592 s, 259.2, 25.92, 2.592": (
        f"{FORMS}retries_and_hedging.py::test_error_budgets_of_thirty_days",
    ),
    # Estimates
    "coverage of 95 % intervals: 93.4 to 96.6 % of 2,000 runs": (
        "analysis/test_intervals.py::test_coverage_of_independent_failures",
        "analysis/test_intervals.py::test_coverage_of_ratios_in_full",
        "analysis/test_intervals.py::test_coverage_of_quantiles_in_full",
        "analysis/test_batch_means.py::test_coverage_of_batch_means",
        "analysis/test_stopping.py::test_coverage_after_stopping_early",
        "validation/test_coverage.py::test_coverage_of_means",
    ),
    "on measured, clustered incidents at horizons of 1, 7 and 30 days": (
        "analysis/test_poststratify.py::test_days_of_measured_incidents_are_covered_where_a_t_interval_fails",
        "analysis/test_poststratify.py::test_coverage_in_full",
        "validation/test_coverage.py::test_coverage_of_availability_by_the_clock",
        "validation/test_coverage.py::test_coverage_of_months_missed_and_of_credits",
    ),
    "crude Monte Carlo at U = 1.9e-6: 7e13 requests for +-10 %": (
        f"{FORMS}systems.py::test_how_long_a_crude_simulation_would_take",
    ),
    "episode windows: strata, a quiet one, weights N/n, interior sub-sampling": (
        f"{WINDOWS}unbiased.py::test_all_windows_together_are_the_full_run_request_by_request",
        f"{WINDOWS}unbiased.py::test_a_tenth_of_the_windows_has_no_bias_over_500_seeds",
        f"{WINDOWS}unbiased.py::test_the_windows_cut_all_time_into_pieces",
        f"{WINDOWS}estimates.py::test_strata_account_for_all_time_and_all_failures",
    ),
    "a stratum in which nothing failed has a bound, never zero variance": (
        f"{WINDOWS}estimates.py::test_no_failures_give_a_bound_and_not_a_zero",
        f"{WINDOWS}estimates.py::test_few_episodes_too_little_precision_and_what_was_not_seen",
    ),
    "the toy breaker: 1.306e-3 to 1.326e-3, where the formula without the router says 1.04e-3": (
        f"{WINDOWS}references.py::test_the_toy_breaker_agrees_with_crude_simulation_at_a_hundredth_of_its_requests",
        f"{FORMS}systems.py::test_the_formula_without_the_router",
    ),
    "30 d and 1 h at 100 req/s: 1.91e-6": (
        f"{WINDOWS}references.py::test_double_outages_of_an_hour_every_month_within_a_tenth",
    ),
    "missing a month: whole months resampled, losses drawn per episode": (
        f"{FORMS}months.py::test_several_kinds_of_episodes_against_drawn_months",
        f"{WINDOWS}estimates.py::test_the_months",
        "analysis/test_months.py::test_losses_are_drawn_per_visit",
        "analysis/test_months.py::test_months_of_drawn_outages_meet_the_compound_poisson_formula",
    ),
    "p99 as a weighted quantile over strata": (
        f"{WINDOWS}estimates.py::test_latency_cost_and_outcomes_have_the_same_weights",
    ),
    "requests that cause outages are told of": (
        f"{WINDOWS}estimates.py::test_requests_that_can_cause_failures_are_named",
    ),
    # Traps of virtual time
    "the clock's resolution stays above the spacing of floats, past a year": (
        f"{VIRTUAL}clock.py::test_short_timeouts_work_past_a_year",
        f"{VIRTUAL}clock.py::test_a_loop_that_waits_for_a_deadline_by_polling_ends_past_a_year",
    ),
    "timers due at one instant fire before any callback they wake": (
        f"{VIRTUAL}timers.py::test_timers_due_at_one_instant_all_fire_before_what_they_wake",
        f"{VIRTUAL}cpython.py::test_cpythons_own_tests_pass_on_the_loop",
    ),
    "sleeps of days": (f"{VIRTUAL}clock.py::test_a_sleep_of_any_length_takes_exactly_so_long",),
    "executors run inline and the clock stands still": (
        f"{VIRTUAL}executors.py::test_the_clock_stands_still_while_a_function_works",
    ),
    "tasks stand in one order in every process": (
        f"{VIRTUAL}task_order.py::test_tasks_stand_in_one_order_in_every_process",
        f"{VIRTUAL}task_order.py::test_tasks_hash_in_the_order_of_their_creation",
    ),
    "draws keyed by component, request and attempt": (
        "simulation/test_common_random_numbers.py::test_more_retries_move_no_draw",
        "simulation/test_common_random_numbers.py::test_a_deployment_added_moves_no_draw",
    ),
    "other threads, sockets and processes are refused by name": (
        f"{VIRTUAL}refusals.py::test_another_thread_cannot_reach_into_the_loop",
        f"{VIRTUAL}refusals.py::test_every_call_of_a_loop_that_does_io_is_refused_by_name",
        f"{VIRTUAL}guards.py::test_a_call_that_leads_out_is_refused_with_its_name_and_place",
    ),
    "cancelled timers leave the heap in time": (
        f"{VIRTUAL}timers.py::test_a_million_cancelled_timeouts_leave_a_small_calendar",
    ),
    "a canary per fault kind": (
        "simulation/test_faults_kinds.py::test_there_is_a_canary_for_every_kind",
        "simulation/test_faults_kinds.py::test_injecting_it_costs_availability_in_its_own_way",
    ),
    "the same seed in two processes with other hash seeds: identical logs": (
        "run/test_determinism.py::test_logs_are_the_same_in_every_process_whatever_its_hash_seed",
    ),
}

QUOTED: Final = {
    "The Tail at Scale: p99.9 from 1,800 to 74 ms for 2 % extra load": "its latencies are not published",
    "speed of the peers": "measured elsewhere; `tests/benchmarks` measures this package",
}


@cache
def names_in(path: Path) -> frozenset[str]:
    return frozenset(
        node.name
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
    )


@pytest.mark.parametrize("line", LINES)
def test_a_line_is_reproduced_by_tests_that_exist(line):
    assert LINES[line]
    for test in LINES[line]:
        path, _, name = test.partition("::")
        assert name.startswith("test_")
        assert name in names_in(TESTS / path), test


def test_what_is_only_quoted_says_why():
    assert all(QUOTED.values())
    assert not QUOTED.keys() & LINES.keys()
