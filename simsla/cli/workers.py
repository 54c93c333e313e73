"""Worker processes: how many, and how they end."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator


def processes(replications: int) -> int:
    """As many as there are cores that this process may use, but none without a replication."""
    import joblib

    return min(replications, int(joblib.cpu_count()))


@contextlib.contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Ctrl-C goes to every process of the terminal: only this one answers, and ends the workers."""
    import joblib

    ignore = (signal.SIGINT, signal.SIG_IGN)
    with joblib.parallel_config(backend="loky", initializer=signal.signal, initargs=ignore):
        yield


def end_workers() -> None:
    """Kill the processes, where any were started, rather than wait for what they are doing."""
    if "joblib.externals.loky" in sys.modules:
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(wait=True, kill_workers=True)
