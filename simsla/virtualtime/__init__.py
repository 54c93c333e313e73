"""Virtual time: asyncio on the SimPy calendar."""

from simsla.virtualtime.errors import DeadlockError, LivelockError, RealIOError, VirtualTimeError
from simsla.virtualtime.loop import SimEventLoop

__all__ = ["DeadlockError", "LivelockError", "RealIOError", "SimEventLoop", "VirtualTimeError"]
