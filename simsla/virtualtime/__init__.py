"""Virtual time: asyncio on the SimPy calendar."""

from simsla.virtualtime.errors import (
    DeadlockError,
    LeakedTasksError,
    LivelockError,
    RealIOError,
    TaskCancelledError,
    VirtualTimeError,
)
from simsla.virtualtime.loop import SimEventLoop
from simsla.virtualtime.run import run_in_virtual_time, running_loop_set_aside

__all__ = [
    "DeadlockError",
    "LeakedTasksError",
    "LivelockError",
    "RealIOError",
    "SimEventLoop",
    "TaskCancelledError",
    "VirtualTimeError",
    "run_in_virtual_time",
    "running_loop_set_aside",
]
