"""Plots of results and studies: each takes `ax` and returns what it drew on."""

from simsla.plots.availability import plot_availability_curve
from simsla.plots.latency import plot_latency
from simsla.plots.timeline import plot_timeline

__all__ = ["plot_availability_curve", "plot_latency", "plot_timeline"]
