from __future__ import annotations

import numpy as np
import pytest

from simsla.records import ATTEMPT_OUTCOMES, PURPOSES, Log
from simsla.records.log import ATTEMPT_ROW, REQUEST_ROW


def log_of(*attempts, requests=(1, 2)):
    """A log of attempts (request, deployment, ordinal, start, end, purpose, cost), ended in that order."""
    rows = np.zeros(len(attempts), ATTEMPT_ROW)
    for row, (request, deployment, ordinal, start, end, purpose, cost) in zip(rows, attempts, strict=True):
        row["request"], row["deployment"], row["ordinal"] = request, deployment, ordinal
        row["start_s"], row["end_s"], row["cost_usd"] = start, end, cost
        row["purpose"] = PURPOSES.index(purpose)
        row["outcome"] = ATTEMPT_OUTCOMES.index("ok")
    owners = np.zeros(len(requests), REQUEST_ROW)
    owners["request"] = requests
    return Log.of(
        {name: owners[name] for name in REQUEST_ROW.names},
        {name: rows[name] for name in ATTEMPT_ROW.names},
        ("chat",),
        ("a", "b"),
    )


def test_first_retry_and_hedge():
    log = log_of(
        (1, 0, 0, 0.0, 2.0, "answer", 0),
        (1, 1, 0, 1.5, 3.0, "answer", 0),  # overlaps the first
        (1, 0, 1, 3.0, 4.0, "answer", 0),  # begins when the second ends
        (1, 0, 0, 0.5, 1.0, "classify", 0),  # of another purpose: no hedge of the answer
        (2, 0, 0, 0.0, 9.0, "answer", 0),
        (2, 1, 0, 1.0, 2.0, "answer", 0),  # inside the first
        (2, 1, 1, 8.0, 8.5, "answer", 0),  # after the second, and still inside the first
        (2, 1, 2, 9.0, 9.5, "answer", 0),
    )
    assert list(log.attempts_frame()["relation"]) == [
        "first",
        "hedge",
        "retry",
        "first",
        "first",
        "hedge",
        "hedge",
        "retry",
    ]


def test_the_order_in_which_attempts_ended_does_not_matter():
    log = log_of((1, 1, 0, 1.0, 2.0, "answer", 0), (1, 0, 0, 0.0, 3.0, "answer", 0))
    assert list(log.attempts_frame()["relation"]) == ["hedge", "first"]


def test_attempts_are_credited_to_their_requests_whenever_they_end():
    log = log_of(
        (2, 0, 0, 0.0, 1.0, "answer", 0.5),
        (-1, 0, 0, 0.0, 1.0, "answer", 0.25),
        (2, 1, 0, 9.0, 99.0, "check", 0.125),
        (7, 1, 0, 9.0, 99.0, "check", 8.0),
        requests=(5, 2, 1),
    )
    assert log.requests["attempts"].tolist() == [0, 2, 0]
    assert log.requests["cost_usd"] == pytest.approx([0, 0.625, 0])
