"""Worker processes: how many, and how they end."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator


def processes(replications: int) -> int:
    """As many as there are cores that this process may use, but none without a replication."""
    import joblib

    return min(replications, int(joblib.cpu_count()))


@contextlib.contextmanager
def quiet_workers() -> Iterator[None]:
    """Leave the answer to Ctrl-C, which reaches every process of a terminal, and all messages to this one."""
    import joblib

    ignore = (signal.SIGINT, signal.SIG_IGN)
    before = os.environ.get("PYTHONWARNINGS")
    # joblib's tracker of resources warns of those that killed workers left, and then frees them.
    os.environ["PYTHONWARNINGS"] = "ignore"
    try:
        with joblib.parallel_config(backend="loky", initializer=signal.signal, initargs=ignore):
            yield
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


def end_workers() -> None:
    """Kill the processes, where any were started, rather than wait for what they are doing."""
    if "joblib.externals.loky" in sys.modules:
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(wait=True, kill_workers=True)
