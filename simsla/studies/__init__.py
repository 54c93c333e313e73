"""Many simulations at once: sweeps over a grid."""

from simsla.studies.sweep import Study, sweep

__all__ = ["Study", "sweep"]
