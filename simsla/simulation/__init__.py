"""One replication: scenario, policy and environment become records."""

from simsla.simulation.harness import Failures
from simsla.simulation.policies import (
    Policy,
    PolicyError,
    PolicyFactoryError,
    name_of,
    resolve_policy,
)
from simsla.simulation.replication import Replication, run_one
from simsla.simulation.surroundings import Fidelity, surroundings_held

__all__ = [
    "Failures",
    "Fidelity",
    "Policy",
    "PolicyError",
    "PolicyFactoryError",
    "Replication",
    "name_of",
    "resolve_policy",
    "run_one",
    "surroundings_held",
]
