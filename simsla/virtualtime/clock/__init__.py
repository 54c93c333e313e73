"""Wall clocks in virtual time: `time` and `datetime` as unmodified code reads them."""

from simsla.virtualtime.clock.virtual import virtual_clocks

__all__ = ["virtual_clocks"]
