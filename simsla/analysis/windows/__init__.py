"""Rare events: availability from windows around faults, for policies that fail too seldom to be simulated.

Outages are slow, cheap to draw and independent of the policy; only requests are dear. So the environment is
drawn for thousands of years and the router runs in sampled windows of it (see `estimate_availability`).
"""

from __future__ import annotations

from simsla.analysis.windows.result import RareResult
from simsla.analysis.windows.study import estimate_availability

__all__ = ["RareResult", "estimate_availability"]
