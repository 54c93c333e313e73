"""The request and attempt logs: what a run is measured by."""

from simsla.records.log import Log
from simsla.records.names import ATTEMPT_OUTCOMES, CACHE_HITS, GOOD_OUTCOMES, NOBODY, OUTCOMES, PURPOSES
from simsla.records.recorder import ColumnRecorder, Recorder

__all__ = [
    "ATTEMPT_OUTCOMES",
    "CACHE_HITS",
    "GOOD_OUTCOMES",
    "NOBODY",
    "OUTCOMES",
    "PURPOSES",
    "ColumnRecorder",
    "Log",
    "Recorder",
]
