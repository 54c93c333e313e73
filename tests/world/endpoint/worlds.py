"""Policies on HTTP clients, run against a small world."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from unittest import mock

from simsla.records import ATTEMPT_OUTCOMES, OUTCOMES
from simsla.scenario import Scenario
from simsla.simulation import Replication, replication
from simsla.simulation.luck import seeded_luck
from simsla.simulation.surroundings import Surroundings
from simsla.virtualtime.http import answered_by
from simsla.world.endpoint import Endpoint, keys_in_environment

URL = "https://gateway.example/v1"
CHAT = f"{URL}/chat/completions"


def world(
    deployments: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    horizon: float = 100.0,
    rate: float = 1.0,
    prompt_tokens: int = 100,
    output_tokens: int = 50,
    **traffic: Any,
) -> Scenario:
    """Deployments that answer after 0.2 s with a token each 0.01 s, unless they say otherwise."""
    usual = {"model": "gpt-4o", "base_url": URL, "latency": {"first_token": 0.2, "per_token": 0.01}}
    return Scenario.from_dict(
        {
            "name": "endpoint",
            "horizon": horizon,
            "deployments": {
                name: {**usual, **spec}
                for name, spec in (deployments or {"us": {"api_key": "key-us"}}).items()
            },
            "traffic": {
                "chat": {
                    "arrivals": {"kind": "poisson", "rate": rate},
                    "prompt_tokens": prompt_tokens,
                    "output_tokens": output_tokens,
                    **traffic,
                }
            },
        }
    )


class Played(NamedTuple):
    """What came of a run."""

    run: Replication

    def attempts(self, column: str) -> list[Any]:
        return self.run.attempts[column].tolist()

    def attempt_outcomes(self) -> list[str]:
        return [ATTEMPT_OUTCOMES[code] for code in self.attempts("outcome")]

    def outcomes(self) -> list[str]:
        return [OUTCOMES[code] for code in self.run.requests["outcome"].tolist()]


class OnlyHttp(Surroundings):
    """HTTP clients are answered, and luck is seeded. The rest, of which these tests have no need, costs more
    than most of them: everything in memory is looked through for clocks and locks.
    """

    @contextlib.contextmanager
    def entered(
        self, transport: Any, specs: Any, start: datetime, seed: int, replication: int
    ) -> Iterator[None]:
        with seeded_luck(seed, replication), keys_in_environment(transport.deployments):
            self.endpoint = Endpoint(transport, specs)
            with answered_by(self.endpoint):
                yield


def play(scenario: Scenario, factory: Callable[[Any], Any], **run: Any) -> Played:
    """Run a policy whose clients are answered by the scenario's world."""
    with mock.patch.object(replication, "Surroundings", OnlyHttp):
        return Played(replication.run_one(scenario, factory, **run))
