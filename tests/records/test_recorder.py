from __future__ import annotations

import numpy as np
import pytest
from simulation.policies import naive
from simulation.scenarios import deployment, scenario, traffic, varied

from simsla.records import ATTEMPT_OUTCOMES, CACHE_HITS, OUTCOMES, ColumnRecorder
from simsla.simulation import run_one


class Told:
    """A recorder that keeps what it is told, in order."""

    def __init__(self):
        self.told = []

    def open_request(self, request, request_class, arrival_s):
        self.told.append(("open", request, request_class, arrival_s))

    def attempt(self, *row):
        self.told.append(("attempt", *row))

    def close_request(self, *row):
        self.told.append(("close", *row))


def test_a_recorder_of_ones_own_is_told_everything_in_order():
    recorder = Told()
    run = run_one(varied(60), naive, recorder=recorder)
    columns = run_one(varied(60), naive)
    kinds = {
        kind: [row[1:] for row in recorder.told if row[0] == kind] for kind in ("open", "attempt", "close")
    }
    assert len(kinds["open"]) == len(kinds["close"]) == len(columns.requests["request"])
    assert len(kinds["attempt"]) == len(columns.attempts["request"])
    # The logs of the result stay empty.
    assert len(run.requests["request"]) == 0

    for name, position in (("request", 0), ("outcome", 4), ("end_s", 3), ("output_tokens", 8)):
        assert [row[position] for row in kinds["close"]] == columns.requests[name].tolist(), name
    for name, position in (("request", 0), ("deployment", 1), ("end_s", 7), ("outcome", 8), ("cost_usd", 11)):
        assert [row[position] for row in kinds["attempt"]] == columns.attempts[name].tolist(), name

    life = {}
    for kind, request, *_ in recorder.told:
        life.setdefault(request, []).append(kind)
    for story in life.values():
        assert story[0] == "open"
        assert story[-1] == "close"
        assert story.count("open") == story.count("close") == 1
        assert 1 <= story.count("attempt") <= 2


def test_columns_keep_more_rows_than_a_block_holds():
    recorder = ColumnRecorder()
    for number in range(100_000):
        recorder.open_request(number, 0, number * 0.5)
        recorder.attempt(
            number, 1, 2, 0, number * 0.5, 0.25, 1.5, 2.5, OUTCOMES.index("ok"), 7, 9, number * 1e-6, False
        )
        recorder.close_request(number, 0, number * 0.5, 3.5, 0, -1, float("nan"), 7, 9, 120.0, True, 3)
    log = recorder.log(("chat",), ("a", "b"))
    assert (log.requests["request"] == np.arange(100_000)).all()
    assert (log.requests["arrival_s"] == np.arange(100_000) * 0.5).all()
    assert (log.attempts["cost_usd"] == np.arange(100_000) * 1e-6).all()
    assert (log.requests["attempts"] == 1).all()
    assert (log.requests["cost_usd"] == log.attempts["cost_usd"]).all()
    assert log.requests["valid"].dtype == bool
    assert (log.requests["cache_hit"] == CACHE_HITS.index("false")).all()
    assert np.isnan(log.requests["first_token_s"]).all()


def test_columns_hold_what_a_long_run_brings():
    recorder = ColumnRecorder()
    recorder.attempt(
        2**40,
        3,
        100_000,
        2,
        1e9,
        0.0,
        float("nan"),
        1e9 + 1,
        ATTEMPT_OUTCOMES.index("cancelled"),
        2_000_000,
        0,
        1.5,
        True,
    )
    attempts = recorder.log(("chat",), ("a", "b", "c", "d")).attempts
    assert attempts["request"].tolist() == [2**40]
    assert attempts["ordinal"].tolist() == [100_000]
    assert attempts["tokens_in"].tolist() == [2_000_000]
    assert attempts["cancelled"].tolist() == [True]


def test_frames_have_names_in_place_of_codes():
    run = run_one(varied(60), naive)
    requests, attempts = run.log.requests_frame(), run.log.attempts_frame()
    assert set(requests["request_class"]) == {"chat", "batch"}
    assert set(requests["outcome"]) <= set(OUTCOMES)
    assert set(requests["deployment"].dropna()) == {"a", "b"}
    assert (requests["deployment"].isna() == ~requests["outcome"].isin(["ok"])).all()
    assert set(attempts["deployment"]) == {"a", "b"}
    assert {"ok", "connect", "server_error", "unavailable", "rate_limited"} <= set(attempts["outcome"])
    assert set(attempts["purpose"]) == {"answer"}
    assert list(requests.columns) == list(run.requests)
    assert set(attempts.columns) == {*run.attempts, "relation"}


def test_the_relation_of_retries_is_derived_from_their_times():
    run = run_one(
        scenario({"a": deployment(errors={500: 1}), "b": deployment()}, {"chat": traffic(1)}), naive
    )
    frame = run.log.attempts_frame().sort_values("start_s")
    assert set(frame["relation"][frame["deployment"] == "a"]) == {"first"}
    assert set(frame["relation"][frame["deployment"] == "b"]) == {"retry"}
    assert frame["cost_usd"].sum() == pytest.approx(run.requests["cost_usd"].sum())
