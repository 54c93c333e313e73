"""Formulas to hold a simulation against, each with what it assumes and where it comes from.

Every function is small and pure; those whose arguments are called array-like take arrays and return arrays.
`ClosedForm.of(erlang_b, 8, 6.4, metric="error_share")` says all of it, and `result.against(...)` puts it
beside what was simulated.
"""

from simsla.analysis.closed_forms.against import Pair, SideBySide, side_by_side
from simsla.analysis.closed_forms.budgets import (
    MONTH_S,
    budget_burned,
    burn_rate,
    error_budget_s,
    seconds_to_exhaustion,
)
from simsla.analysis.closed_forms.common_cause import beta_factor
from simsla.analysis.closed_forms.composite import composite_sla
from simsla.analysis.closed_forms.covered import covered_share
from simsla.analysis.closed_forms.erlang import erlang_b, erlang_c
from simsla.analysis.closed_forms.form import ClosedForm
from simsla.analysis.closed_forms.formula import FORMULAS, Formula
from simsla.analysis.closed_forms.hedging import (
    fan_out_quantile_s,
    fan_out_slow_share,
    first_of_quantile_s,
    hedge_extra_load,
    hedged_quantile_s,
    hedged_survival,
)
from simsla.analysis.closed_forms.mg1 import mg1_mean_wait_s, mgc_ps_mean_sojourn_s
from simsla.analysis.closed_forms.mmc import (
    mmc_mean_sojourn_s,
    mmc_mean_wait_s,
    mmc_sojourn_quantile_s,
    mmc_sojourn_survival,
    mmc_wait_probability,
    mmc_wait_quantile_s,
)
from simsla.analysis.closed_forms.months import Episodes, MissProbability, miss_probability
from simsla.analysis.closed_forms.power_of_d import power_of_d_mean_sojourn
from simsla.analysis.closed_forms.renewal import (
    YEAR_S,
    expected_episodes,
    simultaneous_outage_s,
    simultaneous_outages,
    simultaneous_unavailability,
    steady_availability,
)
from simsla.analysis.closed_forms.repairmen import machine_repair, machine_repair_availability
from simsla.analysis.closed_forms.retries import (
    amplification,
    amplification_by_state,
    nested_amplification,
    retry_availability,
    retry_availability_by_state,
    retry_storm_load,
)
from simsla.analysis.closed_forms.shared_fate import Independence, independence
from simsla.analysis.closed_forms.systems import k_of_n, parallel, series

__all__ = [
    "FORMULAS",
    "MONTH_S",
    "YEAR_S",
    "ClosedForm",
    "Episodes",
    "Formula",
    "Independence",
    "MissProbability",
    "Pair",
    "SideBySide",
    "amplification",
    "amplification_by_state",
    "beta_factor",
    "budget_burned",
    "burn_rate",
    "composite_sla",
    "covered_share",
    "erlang_b",
    "erlang_c",
    "error_budget_s",
    "expected_episodes",
    "fan_out_quantile_s",
    "fan_out_slow_share",
    "first_of_quantile_s",
    "hedge_extra_load",
    "hedged_quantile_s",
    "hedged_survival",
    "independence",
    "k_of_n",
    "machine_repair",
    "machine_repair_availability",
    "mg1_mean_wait_s",
    "mgc_ps_mean_sojourn_s",
    "miss_probability",
    "mmc_mean_sojourn_s",
    "mmc_mean_wait_s",
    "mmc_sojourn_quantile_s",
    "mmc_sojourn_survival",
    "mmc_wait_probability",
    "mmc_wait_quantile_s",
    "nested_amplification",
    "parallel",
    "power_of_d_mean_sojourn",
    "retry_availability",
    "retry_availability_by_state",
    "retry_storm_load",
    "seconds_to_exhaustion",
    "series",
    "side_by_side",
    "simultaneous_outage_s",
    "simultaneous_outages",
    "simultaneous_unavailability",
    "steady_availability",
]
