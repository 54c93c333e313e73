"""Wall clocks in virtual time: `time` and `datetime` as unmodified code reads them."""

from simsla.virtualtime.clock.virtual import held, look_everywhere, virtual_clocks

__all__ = ["held", "look_everywhere", "virtual_clocks"]
