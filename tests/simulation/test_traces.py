from __future__ import annotations

import numpy as np
import pytest
from simulation.policies import patient
from simulation.scenarios import deployment, scenario, traffic

from simsla.scenario import Scenario
from simsla.simulation import run_one


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.csv"
    path.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2023-11-16 18:15:46.5,374,44\n"
        "2023-11-16 18:15:50.0,396,109\n"
        "2023-11-16 18:15:50.0,879,55\n"
        "2023-11-16 18:15:56.5,91,16\n",
        encoding="utf-8",
    )
    return path


def test_a_small_trace_is_replayed_to_its_last_request(small):
    world = scenario(warmup=50).with_trace(small)
    run = run_one(world, patient)
    assert (run.start_s, run.end_s) == (0, pytest.approx(10))
    frame = run.log.requests_frame().sort_values("request")
    assert list(frame["arrival_s"]) == pytest.approx([0, 3.5, 3.5, 10])
    assert list(frame["prompt_tokens"]) == [374, 396, 879, 91]
    assert list(frame["output_tokens"]) == [44, 109, 55, 16]
    assert (frame["arrival_s"] < run.end_s).all()
    assert (frame["end_s"] - frame["arrival_s"]).to_numpy() == pytest.approx(
        0.1 + 0.01 * frame["output_tokens"]
    )


def test_seeds_move_the_world_and_not_the_trace(small):
    world = scenario({"a": deployment(latency={"total": {"kind": "exponential", "mean": 1}})}).with_trace(
        small
    )
    frames = [
        run_one(world, patient, seed).log.requests_frame().sort_values("request", ignore_index=True)
        for seed in (1, 2)
    ]
    assert (frames[0]["arrival_s"] == frames[1]["arrival_s"]).all()
    assert (frames[0]["end_s"] != frames[1]["end_s"]).all()


def test_the_azure_conversations_are_replayed_once_each(azure_conversation):
    rows = np.loadtxt(azure_conversation, delimiter=",", skiprows=1, usecols=(1, 2), dtype=int)
    assert len(rows) == 19_366
    one = scenario(classes={"chat": traffic(1.0, deadline=600)}).with_trace(azure_conversation)
    run = run_one(one, patient)
    requests = run.requests
    assert run.start_s == 0
    assert len(requests["request"]) == len(set(requests["request"].tolist())) == 19_366
    order = np.argsort(requests["request"])
    assert (requests["prompt_tokens"][order] == rows[:, 0]).all()
    assert (requests["output_tokens"][order] == np.maximum(rows[:, 1], 1)).all()
    assert requests["arrival_s"].max() < run.end_s
    assert requests["arrival_s"].max() == pytest.approx(run.end_s)


def test_the_classes_of_the_playbook_divide_the_azure_conversations(azure_conversation):
    world = Scenario.load("playbook").with_trace(azure_conversation)
    assert world.warmup_s == 0
    run = run_one(world)
    requests = run.requests
    assert len(requests["request"]) == 19_366
    shares = np.bincount(requests["request_class"], minlength=3) / 19_366
    # 14,000, 5,000 and 1,000 of 20,000; four standard errors.
    assert shares == pytest.approx([0.7, 0.25, 0.05], abs=0.014)
    assert np.sort(requests["prompt_tokens"]).tolist() == sorted(
        np.loadtxt(azure_conversation, delimiter=",", skiprows=1, usecols=1, dtype=int).tolist()
    )
